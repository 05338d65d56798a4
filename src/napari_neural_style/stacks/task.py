"""What painters of planes are told: the recipe of all, and the task of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.images.rendering import Rendering
from napari_neural_style.settings import Settings


@dataclass(frozen=True)
class Recipe:
    """What all planes of a stack have in common; can be sent to other processes.

    Attributes
    ----------
    styles
        The style images.
    settings
        Of the engine.
    in_color
        Whether results are RGB or RGBA, or have one channel of the plane's dtype.
    style_masks
        Of the style images, where planes have masks of their own; else settings has them.
    """

    styles: Sequence[Any]
    settings: Settings
    in_color: bool
    style_masks: tuple[NDArray[Any], ...] = ()

    def on(self, device: str) -> "Recipe":
        """Return the same for another device."""
        return replace(self, settings=replace(self.settings, device=device))

    def recolored(self, content: NDArray[np.float32], mask: NDArray[Any] | None = None) -> "Recipe":
        """Return the same with styles that have the colours of a content.

        Parameters
        ----------
        content
            ``(H, W, 3)``.
        mask
            ``(H, W)``; the colours are those of what it does not leave out.
        """
        import torch

        from napari_neural_style.transfer.color import match_color

        style_tensors, (content_tensor,) = (
            [torch.from_numpy(image).permute(2, 0, 1)[None] for image in images]
            for images in (self.styles, [content])
        )
        where = None if mask is None else torch.from_numpy(mask > 0)
        matched = (match_color(style, content_tensor, where) for style in style_tensors)
        styles = [np.ascontiguousarray(image[0].permute(1, 2, 0).numpy()) for image in matched]
        return replace(self, styles=styles, settings=replace(self.settings, color="style"))

    def shape(self, plane: Sequence[int]) -> tuple[int, int]:
        """Return the height and width of the result of a plane of some shape."""
        from napari_neural_style.transfer.scales import fit

        settings, (height, width) = self.settings, plane[:2]
        side = max(height, width) if settings.scales == "auto" else int(settings.scales[-1])
        return fit(height, width, settings.size or side)


@dataclass(frozen=True)
class Finished:
    """A plane that is done.

    Attributes
    ----------
    values
        Of the stack.
    painted
        As it was stored.
    moved
        Whether what it shows has moved since.
    mask
        Where it was painted, if it has a mask of its own.
    """

    values: NDArray[Any]
    painted: NDArray[Any]
    moved: bool
    mask: NDArray[Any] | None = None


@dataclass(frozen=True)
class Task:
    """A plane to paint.

    Attributes
    ----------
    values
        ``(H, W)`` or ``(H, W, samples)``, as the stack holds it.
    rendering
        Turns such values into what is painted.
    parent
        The plane to start from, or None for a plane that starts from nothing.
    mask
        Where it is painted, ``(H, W)``, if it has a mask of its own. Without any label in it,
        the plane stays as it is.
    """

    values: NDArray[Any]
    rendering: Rendering
    parent: Finished | None = None
    mask: NDArray[Any] | None = None


class BadPlaneError(ValueError):
    """A plane cannot be painted, which says nothing about the others."""
