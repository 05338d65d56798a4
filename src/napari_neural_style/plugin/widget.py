"""The dock widget: choose two layers, press Run, watch the result paint itself."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container
from napari.layers import Image, Labels, Shapes
from napari.utils.notifications import notification_manager, show_error, show_info
from napari.utils.theme import get_theme
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QWidget

from ..settings import PRESETS, Settings, strength_to_weight
from .activity import ActivityBar
from .channels import Channels, layers_of
from .form import EVERYWHERE, PROGRESS_TICKS, WHOLE_STYLE, Form, make_controls
from .job import Job
from .layers import (
    Composite,
    Plane,
    canvas_background,
    content_mask,
    displayed_composite,
    displayed_plane,
    is_result,
    quoted,
    stack_mask,
    stack_planes,
    thumbnail,
)
from .machine import Machine
from .preferences import remembered
from .result import ResultLayer
from .stack_job import StackJob
from .stack_worker import StackPainter
from .worker import Frame, Outcome, Painter, Worker, explain

if TYPE_CHECKING:
    import napari.viewer

_PICTURE_PIXELS = 256
_QUIET = 175
"""Opacity, of 255, of text that only accompanies."""
_WARNING = "⚠"
_REMEMBERED = ("preset", "style_strength", "size", "steps", "device")
_LIVE = ("style_strength", "color", "mask", "style_mask", "feather")
"""What may be changed while a run goes on."""


class StyleTransferWidget(Container[Any]):
    """Paint one image layer in the style of another, live.

    Children, by name: ``content``, ``style``, ``preset``, ``style_strength``, ``color``,
    ``size``, ``steps``, ``device``; ``mask``, ``style_mask``, ``feather``; ``output``,
    ``whole_stack``, ``save_to``, ``scheduler``; ``run``, ``pause``, ``stop``.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are offered, and that gets the results.
    remember
        Start with the settings of the last use, and keep those of this one.
    """

    run_ended = Signal(Outcome, description="Emitted when a run has ended, however it did.")

    def __init__(self, napari_viewer: "napari.viewer.Viewer", remember: bool = True) -> None:
        self._viewer = napari_viewer
        self._painter: Worker | None = None
        self._running_job: Job | StackJob | None = None
        self._result: ResultLayer | None = None
        self._activity: ActivityBar | None = None
        self._docked = self._gone = self._offering = False
        self._shown: dict[str, Any] = {}
        self._wanted_device = "auto"

        super().__init__(
            widgets=make_controls(self._contents, self._styles, self._regions), labels=False
        )
        self._form = Form(self)
        self._memory = remembered() if remember else None
        self._recall()
        self._connect()
        self._follow_theme()
        self._show_running(False)
        self._describe_preset()
        self._show_what_applies()
        for name in ("content", "style"):
            self._choose_picture(name, self[name].value)
        self.reset_choices()
        self._machine = Machine()
        self._machine.found.connect(self._offer_devices)
        self._machine.failed.connect(self._miss_torch)
        self._machine.look()

    def open_section(self, title: str) -> None:
        """Unfold ``Regions`` or ``Output and stack``."""
        self._form.sections[title].expand(animate=False)

    def _follow_theme(self, _event: Any = None) -> None:
        """Let Run stand out, and the running text stand back, in the theme's colours."""
        theme = get_theme(self._viewer.theme)
        self["run"].native.setStyleSheet(
            f"QPushButton:enabled {{ background-color: {theme.current.as_hex()}; "
            f"color: {theme.text.as_hex()}; font-weight: bold; }}"
        )
        red, green, blue = theme.text.as_rgb_tuple()
        self._loud = f"color: rgb({red}, {green}, {blue});"
        self._quiet = f"color: rgba({red}, {green}, {blue}, {_QUIET});"
        self._form.description.setStyleSheet(self._quiet)
        self._say(self._form.status.text())

    # ---------------------------------------------------------------- settings

    def _recall(self) -> None:
        if self._memory is None:
            return
        for name in ("preset", "style_strength", "size", "steps"):
            self[name].value = getattr(self._memory, name)
        self._wanted_device = self._memory.device
        if self._wanted_device in self["device"].choices:
            self["device"].value = self._wanted_device

    def _connect(self) -> None:
        for name in _REMEMBERED:
            self[name].changed.connect(partial(self._keep, name))
        self["preset"].changed.connect(self._describe_preset)
        for name in ("content", "style"):
            self[name].changed.connect(partial(self._choose_picture, name))
        for name in _LIVE:
            self[name].changed.connect(partial(self._steer, name))
        for name in ("content", "mask", "output", "whole_stack"):
            self[name].changed.connect(self._show_what_applies)
        self._viewer.layers.selection.events.changed.connect(self._offer_selection)
        self["run"].changed.connect(self._start)
        self["pause"].changed.connect(self._toggle_pause)
        self["stop"].changed.connect(self._stop)
        self.native_parent_changed.connect(self._follow_dock)
        self.native.destroyed.connect(self._let_go)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self._abandon)
        self._viewer.events.theme.connect(self._follow_theme)

    def _keep(self, name: str, value: Any) -> None:
        if name == "device":
            self._wanted_device = value
        if self._memory is not None:
            setattr(self._memory, name, value)

    def _settings(self, **guides: Any) -> Settings:
        preset = self["preset"].value
        given: dict[str, Any] = {
            "style_weight": strength_to_weight(self["style_strength"].value, preset),
            "color": self._color,
            "size": self["size"].value or None,
            "device": self["device"].value,
            **guides,
        }
        if self["steps"].value:
            given["steps"] = self["steps"].value
        return Settings(preset=preset, **given)

    @property
    def _color(self) -> str:
        # One channel has no colours that the style could change.
        return "luminance" if self["output"].value == "intensity" else str(self["color"].value)

    def _show_what_applies(self, _value: Any = None) -> None:
        """Enable what has an effect with the other choices."""
        content = self["content"].value
        channels = isinstance(content, Channels)
        self["output"].enabled = content is not None and not channels and not content.rgb
        if not self["output"].enabled:
            self["output"].value = "rgb"
        self["color"].enabled = self["output"].value == "rgb"
        stack = content is not None and not channels and content.ndim > 2
        self["whole_stack"].enabled = stack
        if not stack:
            self["whole_stack"].value = False
        self["save_to"].enabled = self["scheduler"].enabled = self["whole_stack"].value
        self["style_mask"].enabled = self["feather"].enabled = self["mask"].value != EVERYWHERE

    def _describe_preset(self, _value: Any = None) -> None:
        preset = self["preset"].value
        self._form.description.setText(PRESETS[preset].description)
        settings = Settings(preset=preset)
        self["size"].set_words_for_smallest(
            "content's own size"
            if settings.scales == "auto"
            else f"preset's ({settings.scales[-1]} px)"
        )
        steps = settings.steps if isinstance(settings.steps, tuple) else (settings.steps,)
        self["steps"].set_words_for_smallest(f"preset's ({sum(steps)})")

    def _miss_torch(self, sentence: str) -> None:
        if not self._gone:
            self._fail(sentence)

    def _offer_devices(self, devices: Any, advice: str | None) -> None:
        if self._gone:
            return
        wanted = self._wanted_device
        names = [device.name for device in devices]
        box = self["device"]
        with box.changed.blocked():
            box.choices = [
                (f"auto: {devices[0].label}", "auto"),
                *((device.label, device.name) for device in devices),
            ]
            # CUDA without a number is the first card.
            wanted = "cuda:0" if wanted == "cuda" else wanted
            box.value = wanted if wanted in names else "auto"
        if advice is not None:
            box.tooltip = f"{box.tooltip} {advice}"
            self._say(advice)

    # ------------------------------------------------------------------ layers

    def _styles(self, _box: Any = None) -> list[tuple[str, Any]]:
        return [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not is_result(layer)
        ]

    def _contents(self, box: Any) -> list[tuple[str, Any]]:
        single = self._styles()
        together = [Channels(tuple(layer for _, layer in single if layer in self._selected))]
        # What was chosen stays, whatever is selected later.
        chosen = box.value if box is not None else None
        if isinstance(chosen, Channels) and all(layer in self._viewer.layers for layer in chosen):
            together.append(chosen)
        several = {channels: None for channels in together if len(channels) > 1}
        return [*single, *((channels.name, channels) for channels in several)]

    @property
    def _selected(self) -> Any:
        return self._viewer.layers.selection

    def _regions(self, _box: Any = None) -> list[tuple[str, Any]]:
        return [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, Labels | Shapes)
        ]

    def reset_choices(self, *_: Any) -> None:
        """Offer the layers there are now; napari calls this when they change."""
        if self._gone:
            return
        self._offering = True
        for name in ("content", "style", "mask", "style_mask"):
            self[name].reset_choices()
        self._offering = False
        content, style = self["content"], self["style"]
        others = [layer for layer in style.choices if layer is not content.value]
        if style.value is content.value and others:
            style.value = others[0]
        if self._painter is not None and (
            not self._viewer.layers or (self._result is not None and self._result.deleted)
        ):
            self._stop()

    def _offer_selection(self, _event: Any = None) -> None:
        if not self._gone:
            self["content"].reset_choices()

    def _choose_picture(self, name: str, chosen: Any) -> None:
        for layer in layers_of(self._shown.get(name)):
            layer.events.thumbnail.disconnect(self._update_pictures)
            layer.events.visible.disconnect(self._update_pictures)
        self._shown[name] = chosen
        self._form.pictures[name].setToolTip("" if chosen is None else chosen.name)
        for choice in self._shown.values():
            for layer in layers_of(choice):
                layer.events.thumbnail.connect(self._update_pictures)
                layer.events.visible.connect(self._update_pictures)
        self._update_pictures()

    def _update_pictures(self, _event: Any = None) -> None:
        for name, chosen in self._shown.items():
            layers = layers_of(chosen.visible if isinstance(chosen, Channels) else chosen)
            background = canvas_background(self._viewer)
            self._form.pictures[name].show_pixels(
                thumbnail(layers, self._viewer.dims, _PICTURE_PIXELS, background)
                if layers
                else None
            )

    # --------------------------------------------------------------------- run

    def _start(self) -> None:
        if self._painter is not None:
            self._say("A run is going on: stop it before the next one.")
            return
        try:
            job = self._job()
        except Exception as error:
            self._report(error)
            self.run_ended.emit(Outcome(error=error))
            return
        if isinstance(job, StackJob):
            geometry = job.source.geometry
            place: Callable[[Any], tuple[Any, dict[str, Any]]] = job.place
            painter: Worker = StackPainter(job.prepare)
        else:
            geometry = job.content.geometry
            place = geometry.place
            painter = Painter(job.prepare, job.develop)
        self._result = ResultLayer(
            self._viewer,
            place,
            geometry.orientation,
            _name(self["content"].value),
            self["style"].value.name,
            job.appearance,
        )
        self._running_job, self._painter = job, painter
        painter.started.connect(partial(self._on_started, painter))
        painter.framed.connect(partial(self._on_framed, painter))
        painter.noted.connect(partial(self._on_noted, painter))
        painter.ended.connect(partial(self._on_ended, painter))
        self._show_running(True)
        self._form.progress.setRange(0, 0)
        self._say("Getting ready …")
        activity = ActivityBar("Style transfer", self._stop)
        # The bar lets napari process events: the dock may have been closed meanwhile.
        if painter is self._painter:
            self._activity = activity
            painter.start()
        else:
            activity.close()

    def _job(self) -> Job | StackJob:
        content, style = self["content"].value, self["style"].value
        if content is None or style is None:
            raise ValueError(
                "There is no image to paint: open one, and another for the style "
                "(File ▸ Open Sample ▸ Neural Style has pairs of both)."
            )
        if style in layers_of(content):
            raise ValueError(
                f"Content and style are both {quoted(style)}: choose two different layers."
            )
        dims = self._viewer.dims
        style_plane = displayed_plane(style, dims)
        if self["whole_stack"].value:
            return self._stack_job(content, style_plane)
        if isinstance(content, Channels):
            seen = content.visible.layers
            if not seen:
                raise ValueError(f"All of {content.name} are hidden: show what is to be painted.")
            background = canvas_background(self._viewer)
            plane: Plane | Composite = displayed_composite(seen, dims, background)
        else:
            plane = displayed_plane(content, dims)
        job = Job(plane, style_plane, self._settings(), self._appearance(content))
        job.guide(**self._guides(job))
        return job

    def _stack_job(self, content: Any, style: Plane) -> StackJob:
        dims = self._viewer.dims
        source = stack_planes(content, dims)
        try:
            plane = displayed_plane(content, dims)
        except ValueError:  # the slider is elsewhere
            plane = source.plane((0,) * len(source.shape))
        settings = self._settings()
        # A stack takes its masks apart, for each of its planes may have its own.
        sizes = Job(plane, style, settings, {"rgb": True})
        mask, guides = self["mask"].value, {}
        if mask not in (None, EVERYWHERE):
            guides = {
                "mask": stack_mask(mask, source, plane, dims, sizes.size),
                "style_masks": self._style_masks(sizes),
            }
            settings = replace(settings, feather=float(self["feather"].value))
        return StackJob(
            content.name,
            source,
            style,
            settings,
            guides,
            self._appearance(content),
            self["save_to"].value,
            self["scheduler"].value.strip(),
        )

    def _appearance(self, content: Any) -> dict[str, Any]:
        """How the result's layer shows its values."""
        if self["output"].value == "rgb":
            return {"rgb": True}
        names = ("colormap", "contrast_limits", "gamma")
        return {"rgb": False} | {name: getattr(content, name) for name in names}

    def _guides(self, job: Job) -> dict[str, Any]:
        """Return the settings that say what is painted with what."""
        mask = self["mask"].value
        if mask in (None, EVERYWHERE):
            return {"mask": None, "style_masks": (), "feather": 0.0}
        return {
            "mask": content_mask(mask, job.content, self._viewer.dims, job.size),
            "style_masks": self._style_masks(job),
            "feather": float(self["feather"].value),
        }

    def _style_masks(self, job: Job) -> tuple[Any, ...]:
        chosen = self["style_mask"].value
        if chosen in (None, WHOLE_STYLE):
            return ()
        return (content_mask(chosen, job.style, self._viewer.dims, job.style_size),)

    def _steer(self, name: str, _value: Any = None) -> None:
        """Let the run that goes on follow a control."""
        painter, job = self._painter, self._running_job
        # Where a layer has gone, the run keeps the regions that it had.
        if painter is None or not isinstance(job, Job) or self._offering:
            return
        try:
            if name == "style_strength":
                strength = strength_to_weight(self[name].value, job.settings.preset)
                painter.update(style_weight=strength)
            elif name == "color":
                if job.in_color:
                    painter.update(color=self._color)
            else:
                guides = self._guides(job)
                painter.update(**guides)
                job.guide(**guides)
        except Exception as error:
            self._report(error)

    def _toggle_pause(self) -> None:
        if self._painter is None:
            return
        if self._painter.paused:
            self._painter.resume()
            self["pause"].text = "Pause"
            self._say("Going on …")
        else:
            self._painter.pause()
            self["pause"].text = "Resume"
            self._say("Paused. " + self._form.status.text())

    def _stop(self) -> None:
        if self._painter is not None:
            self._painter.stop()
            self["stop"].enabled = self["pause"].enabled = False
            self._say("Stopping after this step …")

    def _on_started(self, painter: Worker, recipe: dict[str, Any]) -> None:
        if painter is self._painter and self._result is not None:
            self._result.recipe = recipe

    def _on_framed(self, painter: Worker, frame: Frame) -> None:
        if painter is not self._painter or self._result is None:
            return
        begin = time.perf_counter()
        try:
            self._result.show(frame.data)
        except Exception as error:
            painter.stop()
            self._report(error)
            return
        self._form.progress.setRange(0, PROGRESS_TICKS)
        self._form.progress.setValue(round(PROGRESS_TICKS * frame.share))
        if not painter.paused:
            self._say(frame.text)
        # The next frame is asked for when Qt has drawn this one, and told what it cost.
        QTimer.singleShot(0, lambda: painter.shown(time.perf_counter() - begin))
        if self._activity is not None:
            # Lets napari process events, so it comes last: the run may be over after it.
            self._activity.show(frame.step, frame.total, frame.time_left)

    def _on_noted(self, painter: Worker, note: str) -> None:
        if painter is self._painter:
            show_info(note)

    def _on_ended(self, painter: Worker, outcome: Outcome) -> None:
        if painter is not self._painter:
            return
        result = self._result
        assert result is not None
        self._clear_run()
        self._show_running(False)
        try:
            if outcome.data is not None and outcome.recipe is not None:
                result.recipe = outcome.recipe
                result.show(outcome.data)
                result.sign(outcome.exact)
        except Exception as error:
            outcome = replace(outcome, error=outcome.error or error)
        if outcome.error is not None:
            self._report(outcome.error)
        elif result.deleted:
            self._say("Stopped, for the layer of the result was deleted.")
        elif outcome.stopped:
            self._say("Stopped. What was painted stays.")
        elif outcome.summary:
            self._form.progress.setValue(PROGRESS_TICKS)
            self._say(outcome.summary)
        self.run_ended.emit(outcome)

    def _clear_run(self) -> None:
        self._painter = self._result = self._running_job = None
        activity, self._activity = self._activity, None
        if activity is not None:
            activity.close()

    def _follow_dock(self, parent: QWidget | None) -> None:
        # The dock's ✕ takes the widget out of it; its eye only hides both.
        if parent is not None:
            self._docked = True
        elif self._docked:
            self._docked = False
            self._abandon()

    def _abandon(self) -> None:
        """End the run for good, without a look at the widget, which may be gone."""
        if self._painter is not None:
            self._painter.stop()
            if self._result is not None:
                self._result.sign()
            self._clear_run()

    def _let_go(self) -> None:
        """Forget the viewer, for the Qt side of the widget is gone."""
        self._gone = True
        self._abandon()
        self._viewer.events.theme.disconnect(self._follow_theme)
        self._viewer.layers.selection.events.changed.disconnect(self._offer_selection)
        for chosen in self._shown.values():
            for layer in layers_of(chosen):
                layer.events.thumbnail.disconnect(self._update_pictures)
                layer.events.visible.disconnect(self._update_pictures)

    # ------------------------------------------------------------------ status

    def _show_running(self, running: bool) -> None:
        self["run"].enabled = not running
        if running and isinstance(self._running_job, StackJob):
            for name in _LIVE:  # all planes of a stack are painted alike
                self[name].enabled = False
        else:
            self["style_strength"].enabled = self["mask"].enabled = True
            self._show_what_applies()
        self["pause"].enabled = self["stop"].enabled = running
        self["pause"].text = "Pause"
        if not running:
            self._form.progress.setRange(0, PROGRESS_TICKS)
            self._form.progress.setValue(0)

    def _say(self, text: str) -> None:
        self._form.status.setText(text)
        self._form.status.setStyleSheet(self._loud if text.startswith(_WARNING) else self._quiet)

    def _fail(self, sentence: str) -> None:
        self._say(f"{_WARNING} {sentence}")
        show_error(sentence)

    def _report(self, error: Exception) -> None:
        sentence = explain(error)
        if sentence is not None:
            self._fail(sentence)
            return
        # Of a bug napari offers the traceback, which a report needs.
        self._say(f"{_WARNING} The run failed: {type(error).__name__}: {error}")
        notification_manager.receive_error(type(error), error, error.__traceback__)


def _name(content: Any) -> str:
    return str(content.visible.name if isinstance(content, Channels) else content.name)
