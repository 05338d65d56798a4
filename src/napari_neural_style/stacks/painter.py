"""Paints planes one after another, each from a finished one."""

from collections.abc import Generator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.images import intensity_like, resized, rgba_like, to_uint8
from napari_neural_style.images.rendering import Rendering, is_rgba
from napari_neural_style.stacks.masks import at_places
from napari_neural_style.stacks.motion import optical_flow, visible_before, warp
from napari_neural_style.stacks.task import BadPlaneError, Finished, Recipe, Task

if TYPE_CHECKING:
    from napari_neural_style.transfer.engine import StyleTransfer
    from napari_neural_style.transfer.update import Update

# Of the steps of a plane that starts from nothing, one that starts from its neighbour gets so
# many, all at full size; and so much of the learning rate. See benchmarks/README.md.
_STEPS_SHARE: Final = 0.15
_RATE_SHARE: Final = 0.5
# Fewer than these do not bring the style to what is new, unless half of all steps are fewer.
_LEAST_STEPS: Final = 12
# If more of a plane's own mask was not painted before, it gets all steps, at all sizes. It starts
# from its neighbour none the less, so that what was painted stays steady.
_NEW_SHARE: Final = 0.03
# Less of a pixel than this could be seen before, and it is new.
_KNOWN: Final = 0.5


class PlanePainter:
    """Paints planes; weights, encoder and the targets of the styles are made once.

    Parameters
    ----------
    recipe
        What they have in common.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._last: StyleTransfer | None = None

    def paint(self, task: Task) -> Generator["Update", None, NDArray[Any]]:
        """Paint one plane, step by step.

        Returns
        -------
        numpy.ndarray
            ``(h, w, 3)`` uint8, ``(h, w, 4)`` for a plane of RGBA, or ``(h, w)`` of the plane's
            dtype.

        Raises
        ------
        BadPlaneError
            If the plane cannot be painted.
        ValueError, MemoryError
            If no plane can.
        """
        mask = task.mask
        try:
            if mask is not None and not mask.any():
                return self._untouched(task)
            content = self._content(task.values, task.rendering)
            changes = {} if mask is None else self._guides(mask)
            if task.parent is not None:
                changes |= self._from(task.parent, task, content)
        except ValueError as error:
            raise BadPlaneError(str(error)) from error
        transfer = self._run(content, changes)
        yield from transfer
        mask = self._recipe.settings.mask if mask is None else mask
        return self._stored(transfer.run(), task, mask)

    def estimate(self, task: Task, anew: int, following: int) -> tuple[int, float]:
        """Estimate memory in bytes and time in seconds of planes like this one.

        Parameters
        ----------
        task
            The plane.
        anew, following
            How many start from nothing, and how many from another one.
        """
        content = self._content(task.values, task.rendering)
        first = self._run(content, {}).estimate()
        later = self._run(content, self._warm(content)).estimate() if following else first
        return max(first.memory, later.memory), anew * first.seconds + following * later.seconds

    def _content(self, values: NDArray[Any], rendering: Rendering) -> NDArray[np.float32]:
        if self._recipe.in_color:
            return rendering.straight(values)[0]
        return _colored(rendering.gray(values))

    def _guides(self, mask: NDArray[Any]) -> dict[str, Any]:
        """Settings of a plane with a mask of its own."""
        from napari_neural_style.transfer.guides import check_masks

        guides: dict[str, Any] = {"mask": mask, "style_masks": self._recipe.style_masks}
        settings = replace(self._recipe.settings, **guides)
        check_masks(settings, mask.shape[:2], [style.shape[:2] for style in self._recipe.styles])
        return guides

    def _untouched(self, task: Task) -> NDArray[Any]:
        """A plane as it would be stored outside a mask."""
        values, rendering = task.values, task.rendering
        shape = self._recipe.shape(values.shape)
        if self._recipe.in_color:
            image, alpha = rendering.rgba(values)
            if alpha is not None and not is_rgba(values):
                image = image * alpha[..., np.newaxis]
        elif shape == values.shape:
            return values
        else:
            image = _colored(rendering.gray(values))
        return self._stored(resized(image, shape), task, np.zeros(shape, bool))

    def _stored(
        self, image: NDArray[np.float32], task: Task, mask: NDArray[Any] | None
    ) -> NDArray[Any]:
        """A painted image in the form of the result."""
        values, rendering = task.values, task.rendering
        if not self._recipe.in_color:
            limits, gamma = rendering.contrast_limits, rendering.gamma
            return intensity_like(values, image[..., 0], limits, gamma, mask)
        if not is_rgba(values):
            return to_uint8(image)
        colors, alpha = rendering.rgba(values)
        assert alpha is not None
        return rgba_like(np.dstack([to_uint8(colors), to_uint8(alpha)]), image, mask)

    def _run(self, content: NDArray[np.float32], changes: dict[str, Any]) -> "StyleTransfer":
        from napari_neural_style.transfer.engine import StyleTransfer

        settings = self._recipe.settings
        if self._last is None:
            first = StyleTransfer(content, list(self._recipe.styles), settings=settings)
            self._last = first if not changes else first.successor(content, **changes)
        else:
            as_given = {f.name: getattr(settings, f.name) for f in fields(settings)}
            self._last = self._last.successor(content, **{**as_given, **changes})
        return self._last

    def _warm(self, content: NDArray[np.float32]) -> dict[str, Any]:
        """Settings of a run that starts from something like its end."""
        settings = self._recipe.settings
        steps = float(np.sum(settings.steps))
        return {
            "size": None,
            "scales": (max(self._recipe.shape(content.shape)),),
            "steps": round(max(_STEPS_SHARE * steps, min(_LEAST_STEPS, steps / 2), 1)),
            "learning_rate": _RATE_SHARE * settings.learning_rate,
        }

    def _from(self, parent: Finished, task: Task, content: NDArray[np.float32]) -> dict[str, Any]:
        """Settings of a run that starts from a finished plane, as far as that was painted."""
        start = self._painted(parent, task.rendering)
        shape = start.shape[:2]
        now, places = resized(content, shape), np.indices(shape, np.float32)
        before, known = places, np.ones(shape, np.float32)
        if parent.moved:
            then = resized(self._content(parent.values, task.rendering), shape)
            flow = optical_flow(then, now)
            before, known = places + flow, visible_before(flow, optical_flow(now, then))
            start = warp(start, flow)
        steps = self._warm(content)
        if task.mask is not None and parent.mask is not None:
            wanted, painted = at_places(task.mask, places), at_places(parent.mask, before)
            # Of other labels, it was painted with other parts of the styles.
            alike = painted == wanted if self._recipe.style_masks else painted != 0
            known = known * alike
            new = known[wanted != 0] < _KNOWN
            if new.all():
                return {}
            if new.mean() > _NEW_SHARE:
                steps = {}
        # What was hidden before, or not painted, starts as its own content.
        share = known[..., np.newaxis]
        return {**steps, "init": share * start + (1 - share) * now}

    def _painted(self, parent: Finished, rendering: Rendering) -> NDArray[np.float32]:
        """A stored plane as RGB in [0, 1]."""
        if self._recipe.in_color:
            return parent.painted[..., :3].astype(np.float32) / np.float32(255)
        return _colored(rendering.gray(parent.painted))


def _colored(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat(gray[..., np.newaxis], 3, axis=2)
