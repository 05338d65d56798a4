"""Masks of a stack: one for all of its planes, or one for each."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.stacks.axes import Axes, Index
from napari_neural_style.stacks.task import Recipe


def guided(recipe: Recipe, axes: Axes, mask: Any, style_masks: Any) -> tuple[Recipe, Any]:
    """Return a recipe with the masks that all planes share, and the masks of each plane.

    Parameters
    ----------
    recipe
        Without them.
    axes
        Of the stack.
    mask, style_masks
        As for :class:`StackTransfer`.

    Raises
    ------
    ValueError
        If they do not fit the stack, the styles or each other.
    """
    from napari_neural_style.transfer.guides import check_masks

    shapes = [image.shape[:2] for image in recipe.styles]
    settings = recipe.settings
    if mask is not None and not hasattr(mask, "shape"):
        mask = np.asarray(mask)
    if isinstance(style_masks, np.ndarray) or style_masks:
        # With any mask, for the one that comes may be each plane's own.
        some = settings.mask if mask is None else np.ones(axes.plane, np.uint8)
        guides: dict[str, Any] = {"mask": some, "style_masks": style_masks}
        settings = replace(settings, **guides)
    if mask is None or len(mask.shape) == 2:
        if mask is not None:
            settings = replace(settings, mask=np.asarray(mask))
        check_masks(settings, axes.plane, shapes)
        return replace(recipe, settings=settings), None
    shape, own = tuple(mask.shape), axes.of_masks.shape
    if shape != own:
        raise ValueError(
            f"mask has shape {shape}: it must be {axes.plane} for all planes, or {own} "
            "for each its own."
        )
    style_masks = settings.style_masks
    if style_masks:
        label = style_masks[0].max()
        trial = replace(settings, mask=np.full(axes.plane, label), style_weights=())
        check_masks(trial, axes.plane, shapes)
    settings = replace(settings, mask=None, style_masks=())
    return replace(recipe, settings=settings, style_masks=style_masks), mask


def check_marked(masks: Any, axes: Axes, indices: Iterable[Index]) -> None:
    """Raise a ValueError if the masks of some planes have no label at all.

    They are read, one at a time, until there is one.
    """
    for index in indices:
        try:
            if axes.of_masks.take(masks, index).any():
                return
        except Exception:  # said when the plane is to be painted
            return
    raise ValueError("mask has no label in any of the planes: there would be nothing to paint.")


def at_places(mask: NDArray[Any], places: NDArray[np.float32]) -> NDArray[Any]:
    """Return the labels at some places of a plane.

    Parameters
    ----------
    mask
        ``(H, W)``, of any shape of its own.
    places
        ``(2, h, w)``: rows and columns of a plane of ``(h, w)`` pixels; beyond its edges, the
        labels there.
    """
    rows, columns = (
        np.clip((part + 0.5) * (ours / theirs), 0, ours - 1).astype(np.intp)
        for part, ours, theirs in zip(places, mask.shape, places.shape[1:], strict=True)
    )
    return np.asarray(mask[rows, columns])
