"""The array that a stack is painted into: made, or gone on with."""

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from napari_neural_style.images.rendering import Rendering
from napari_neural_style.stacks.axes import Axes, Index
from napari_neural_style.stacks.limits import find_limits
from napari_neural_style.stacks.lock import FolderLock
from napari_neural_style.stacks.store import PlaneStore
from napari_neural_style.stacks.task import Recipe

_LIMITS: Final = "contrast_limits"


def open_result(
    out: Any,
    stack: Any,
    axes: Axes,
    recipe: Recipe,
    rendering: Rendering | None,
    described: Mapping[str, Any],
    known: Mapping[str, Any] | None = None,
) -> PlaneStore:
    """Make the array of the result of a stack, or go on with it.

    Parameters
    ----------
    out
        Its folder; None for a temporary one.
    stack, axes
        The stack.
    recipe
        What its planes have in common.
    rendering
        What turns values into what is painted; None for contrast limits, which are found now.
    described
        What decides how the result looks, as plain data for JSON.
    known
        What was found out about the stack before; None where that is to be done.

    Raises
    ------
    ValueError
        If something else is there, or nothing in the stack can be painted.
    OSError
        If another process paints there, or the folder cannot be written.
    """
    path = _temporary_place() if out is None else Path(out)
    dtype = np.dtype(np.uint8 if recipe.in_color else stack.dtype).newbyteorder("=")
    shape: tuple[int, ...] = (*axes.counts, *recipe.shape(axes.plane))
    names = axes.along + "YX"
    if recipe.in_color:
        shape, names = (*shape, axes.length("S") if axes.in_color else 3), names + "S"
    FolderLock(path).check()
    if path.exists() and not PlaneStore.removed_if_empty(path):
        return PlaneStore.reopen(path, shape, dtype, described)
    if known is None:
        limits = {} if rendering else find_limits(stack, axes)
        known = {_LIMITS: [[series, pair] for series, pair in limits.items()]}
    return PlaneStore.create(path, shape, dtype, names, described, known)


def kept_rendering(store: PlaneStore, series: Index) -> Rendering:
    """Return that of the contrast limits which were found: a plane mended later changes none."""
    limits = {tuple(key): pair for key, pair in store.found[_LIMITS]}
    low, high = limits[series]
    return Rendering("plane", (low, high))


def blank_series(store: PlaneStore) -> set[Index]:
    """Return the series without contrast limits: their planes cannot be read, or are constant."""
    return {tuple(key) for key, (low, high) in store.found[_LIMITS] if low >= high}


def _temporary_place() -> Path:
    folder = tempfile.mkdtemp(prefix="neural-style-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "stack.zarr"
