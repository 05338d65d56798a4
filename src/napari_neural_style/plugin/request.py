"""What the widget's controls ask for, as jobs and as changes of a run."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from magicgui.widgets import Container
from napari.layers import Image

from ..record import Record
from ..settings import Settings, strength_to_weight
from .channels import Channels, layers_of
from .equalizer import Equalizer
from .fields import EVERYWHERE, NO_STYLE, WHOLE_STYLE
from .job import Job
from .layers import (
    METADATA_KEY,
    Composite,
    Plane,
    StackSource,
    canvas_background,
    content_mask,
    displayed_composite,
    displayed_plane,
    earlier_picture,
    layer_geometry,
    layer_levels,
    quoted,
    stack_composite,
    stack_mask,
    stack_planes,
)
from .origins import origin_of
from .preferences import preference
from .redone_job import RedoneJob
from .redone_stack_job import RedoneStackJob
from .stack_job import StackJob
from .worker import Change

_NO_GUIDES: Mapping[str, Any] = {"mask": None, "style_masks": ()}


class Request:
    """Reads the controls; to be used in the GUI's thread.

    Parameters
    ----------
    controls
        Those of :func:`~.fields.make_controls`.
    equalizer
        With the weights of the style's layers.
    viewer
        The viewer, whose dims say which planes are meant.
    preferences
        As :func:`~.preferences.remembered` has them.
    """

    def __init__(
        self, controls: Container[Any], equalizer: Equalizer, viewer: Any, preferences: Any | None
    ) -> None:
        self._controls, self._equalizer, self._viewer = controls, equalizer, viewer
        self._preferences = preferences
        self.base = Settings()
        """What the controls refine: a preset, or a recipe."""
        self.base_strength = 50
        """The style strength that stands for the base's own style weight."""

    def settings(self) -> Settings:
        """Return all settings but the regions.

        Raises
        ------
        ValueError
            For what does not go together.
        """
        value = self._value
        changes: dict[str, Any] = {
            "style_weight": self.style_weight,
            "style_layers": self._equalizer.weights,
            "content_weight": value("content_weight"),
            "tv_weight": value("tv_weight"),
            "weights": value("weights"),
            "color": self.color,
            "size": value("size") or None,
            "steps": self.steps,
            "device": value("device"),
            "style_weights": self.style_weights,
            "memory_limit": preference(self._preferences, "memory_limit") or None,
            "feather": float(value("feather")),
            **_NO_GUIDES,
        }
        return replace(self.base, **changes)

    def settings_with_regions(self) -> Settings:
        """Return all settings, the regions of the content being those of the plane shown.

        Raises
        ------
        ValueError
            For what does not go together, or regions that do not fit their images.
        """
        if not self.regions:
            return self.settings()
        job = Job(content=self.plane(), **self._asked(self._value("content")))
        return job.but(**self._guides(job)).settings

    @property
    def regions(self) -> tuple[str, ...]:
        """Which regions are chosen: ``mask`` in the content, ``style_mask`` in the style."""
        if self._value("mask") in (None, EVERYWHERE):
            return ()
        whole = self._value("style_mask") in (None, WHOLE_STYLE) or len(self.styles) > 1
        return ("mask",) if whole else ("mask", "style_mask")

    @property
    def style_weight(self) -> float:
        """The weight of the style loss."""
        strength = self._value("style_strength")
        if strength == self.base_strength:
            return self.base.style_weight
        return strength_to_weight(strength, self.base.preset)

    @property
    def color(self) -> str:
        """The colour mode."""
        # One channel has no colours that the style could change.
        return "luminance" if self._value("output") == "intensity" else str(self._value("color"))

    @property
    def steps(self) -> int | tuple[int, ...]:
        """The number of steps; for each scale, where the base has it so."""
        steps, own = self._value("steps"), self.base.steps
        return own if steps in (0, np.sum(own)) else steps

    @property
    def styles(self) -> tuple[Any, ...]:
        """The layers to paint with."""
        second = self._value("style_2")
        return (self._value("style"), *(() if second in (None, NO_STYLE) else (second,)))

    @property
    def names(self) -> dict[str, str]:
        """The names of content and style, for the recipe."""
        content = self._value("content")
        shown = content.visible if isinstance(content, Channels) else content
        styles = " and ".join(style.name for style in self.styles)
        return {"content": str(shown.name), "style": styles}

    @property
    def style_weights(self) -> tuple[float, ...]:
        """A weight for each style, or nothing for one."""
        share = self._value("mix") / 100
        return (1 - share, share) if len(self.styles) > 1 else ()

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of the content, in pixels; None where it cannot be painted."""
        content = self._value("content")
        try:
            return None if content is None else self._plane(content).geometry.shape
        except ValueError:
            return None

    @property
    def planes(self) -> int:
        """How many planes of the content are painted.

        Raises
        ------
        ValueError
            If the whole stack cannot be painted.
        """
        if not self._value("whole_stack"):
            return 1
        return math.prod(self._stack(self._value("content")).shape)

    def plane(self) -> Plane | Composite:
        """Return what is painted of the content.

        Raises
        ------
        ValueError
            If there is no content, or nothing of it is shown.
        """
        content = self._value("content")
        if content is None:
            raise ValueError("There is no image to paint: open one, then choose it as content.")
        return self._plane(content)

    def job(self) -> Job | StackJob:
        """Return what Run shall do.

        Raises
        ------
        ValueError
            If it cannot be done; the message says why.
        """
        content = self._value("content")
        if content is None or None in self.styles:
            raise ValueError(
                "There is no image to paint: open one, and another for the style "
                "(File ▸ Open Sample ▸ Neural Style has pairs of both)."
            )
        if self._value("whole_stack"):
            return self._stack_job(content)
        job = Job(
            content=self._plane(content),
            checkpoint=self._value("checkpoint"),
            **self._asked(content),
        )
        return job.but(**self._guides(job))

    def onward(self, job: Job, layer: Any) -> Job:
        """Return a job that goes on from an earlier result.

        Raises
        ------
        ValueError
            If the layer is no picture of the job's content.
        """
        made_of = layer.metadata[METADATA_KEY].get("content")
        there = [other.name for other in self._viewer.layers]
        if made_of != self.names["content"] and made_of in there:
            raise ValueError(f"{quoted(layer)} was painted from “{made_of}”: choose that content.")
        if sum(length > 1 for length in layer.data.shape[: layer.ndim]) > 2:
            raise ValueError(
                f"{quoted(layer)} is a whole stack: choose Whole stack and press Run, which paints "
                "what is missing."
            )
        if layer.rgb != job.in_color:
            kinds = "in colour", "one channel"
            its, asked = kinds if layer.rgb else kinds[::-1]
            raise ValueError(f"{quoted(layer)} is {its} and the output {asked}: choose the other.")
        try:
            return job.onward(earlier_picture(layer, job.content, self._viewer.dims))
        except ValueError as error:
            if made_of is None or made_of in there:
                raise
            raise ValueError(
                f"{quoted(layer)} was painted from “{made_of}”, and no layer is called so: open "
                "that image, or choose it as content by the name that it has now."
            ) from error

    def redone(self, layer: Any) -> RedoneJob | RedoneStackJob:
        """Return a job that paints a result again, from its recipe.

        Raises
        ------
        ValueError
            If the recipe does not say how, or no plane of the result is shown.
        """
        data = layer.metadata[METADATA_KEY]
        if data.get("axes"):
            return self._redone_stack(layer)
        record = Record.from_dict(data, self._value("weights"), quoted(layer))
        chosen = None
        with suppress(ValueError):
            asked = self.job()
            chosen = asked if isinstance(asked, Job) else None
        images = [other for other in self._viewer.layers if isinstance(other, Image)]
        return RedoneJob(
            styles=(),
            settings=record.settings,
            appearance={"rgb": True} if layer.rgb else _shading(layer),
            names={name: data[name] for name in ("content", "style", "views") if name in data},
            record=record,
            painted=displayed_plane(layer, self._viewer.dims),
            layers=tuple(map(layer_levels, images)),
            chosen=chosen,
            origin=origin_of(layer),
        )

    def _redone_stack(self, layer: Any) -> RedoneStackJob:
        data = layer.metadata[METADATA_KEY]
        images = [other for other in self._viewer.layers if isinstance(other, Image)]
        full = layer.data.shape[: layer.ndim]
        return RedoneStackJob(
            styles=(),
            settings=self.settings(),
            appearance={"rgb": True} if layer.rgb else _shading(layer),
            names={name: data[name] for name in ("content", "style", "views") if name in data},
            recipe=data,
            weights=self._value("weights"),
            painted=layer.data,
            name=layer.name,
            where=layer_geometry(layer, self._viewer.dims, full),
            layers=tuple(map(layer_levels, images)),
            origin=origin_of(layer),
        )

    def change(self, name: str, job: Job) -> Change:
        """Return how a control changes a run that goes on.

        Parameters
        ----------
        name
            Of the control; ``layers`` for the equalizer; ``strokes`` for the pixels of a style.
        job
            What the run does now.
        """
        if name in ("style", "style_2", "style_mask", "strokes"):
            return self._restyle(job)
        if name == "size":
            return self._resize(job)
        if name in ("mask", "feather"):
            return _set(job, **self._guides(job))
        if name == "style_strength":
            return _set(job, style_weight=self.style_weight)
        if name == "layers":
            return _set(job, style_layers=self._equalizer.weights)
        if name == "mix":
            return _set(job, style_weights=self.style_weights)
        if name == "steps":
            return _set(job, steps=self.steps)
        if name == "color":
            return _set(job, color=self.color)
        return _set(job, **{name: self._value(name)})

    def _restyle(self, job: Job) -> Change:
        names = {**self.names, "content": job.names["content"]}
        restyled = job.but(styles=self._planes(), names=names)
        changes = {**self._guides(restyled), "style_weights": self.style_weights}
        restyled = restyled.but(**changes)

        # Layers tell of more than their pixels; the engine goes on where these are the same.
        return Change(restyled, lambda: {**changes, "style": restyled.read_styles()})

    def _resize(self, job: Job) -> Change:
        resized = job.but(size=self._value("size") or None)
        changes = {**self._guides(resized), "size": resized.settings.size}
        resized = resized.but(**changes)
        return Change(
            resized,
            lambda: {
                **changes,
                "content": resized.read_content(),
                "style": resized.read_styles(),
            },
        )

    # --------------------------------------------------------------------- layers

    def _value(self, name: str) -> Any:
        return self._controls[name].value

    def _plane(self, content: Any) -> Plane | Composite:
        dims = self._viewer.dims
        if not isinstance(content, Channels):
            return displayed_plane(content, dims)
        return displayed_composite(_seen(content), dims, canvas_background(self._viewer))

    def _stack(self, content: Any) -> StackSource:
        dims = self._viewer.dims
        if not isinstance(content, Channels):
            return stack_planes(content, dims)
        return stack_composite(_seen(content), dims, canvas_background(self._viewer))

    def _planes(self) -> tuple[Plane, ...]:
        for style in self.styles:
            if style in layers_of(self._value("content")):
                raise ValueError(
                    f"Content and style are both {quoted(style)}: choose two different layers."
                )
        return tuple(displayed_plane(style, self._viewer.dims) for style in self.styles)

    def _stack_job(self, content: Any) -> StackJob:
        dims = self._viewer.dims
        source = self._stack(content)
        try:
            plane = self._plane(content)
        except ValueError:  # the slider is elsewhere
            plane = source.plane((0,) * len(source.shape))
        job = StackJob(
            **self._asked(content),
            source=source,
            guides={},
            save_to=self._value("save_to"),
            scheduler=self._value("scheduler").strip(),
        )
        if self.regions:
            # A stack takes its masks apart, for each of its planes may have its own.
            job.guides = {
                "mask": stack_mask(self._value("mask"), source, plane, dims, job.size),
                "style_masks": self._style_masks(job),
            }
        return job

    def _asked(self, content: Any) -> dict[str, Any]:
        """What is asked for of an image and of a stack alike."""
        return {
            "styles": self._planes(),
            "settings": self.settings(),
            "appearance": self._appearance(content),
            "names": self.names,
        }

    def _appearance(self, content: Any) -> dict[str, Any]:
        """How the result's layer shows its values."""
        return {"rgb": True} if self._value("output") == "rgb" else _shading(content)

    def _guides(self, job: Job) -> dict[str, Any]:
        """Return the settings that say what is painted with what."""
        feather = {"feather": float(self._value("feather"))}
        if not self.regions:
            return {**_NO_GUIDES, **feather}
        mask = content_mask(self._value("mask"), job.content, self._viewer.dims, job.size)
        return {"mask": mask, "style_masks": self._style_masks(job), **feather}

    def _style_masks(self, job: Job | StackJob) -> tuple[Any, ...]:
        if "style_mask" not in self.regions:
            return ()
        chosen, dims = self._value("style_mask"), self._viewer.dims
        return (content_mask(chosen, job.styles[0], dims, job.style_size),)


def _seen(channels: Channels) -> tuple[Any, ...]:
    """Return those of several layers that are shown."""
    seen = channels.visible.layers
    if not seen:
        raise ValueError(f"All of {channels.name} are hidden: show what is to be painted.")
    return seen


def _shading(layer: Any) -> dict[str, Any]:
    """How a layer of one channel shows its values."""
    names = ("colormap", "contrast_limits", "gamma")
    return {"rgb": False} | {name: getattr(layer, name) for name in names}


def _set(job: Job, **changes: Any) -> Change:
    return Change(job.but(**changes), lambda: changes)
