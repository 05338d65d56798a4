"""Contrast limits common to the planes of a stack: limits of their own would flicker."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from napari_neural_style.stacks.axes import Axes, Index

# Of longer stacks, limits are those of so many planes, evenly spread.
_LOOKED_AT: Final = 32


def find_limits(stack: Any, axes: Axes) -> dict[Index, tuple[float, float]]:
    """Find contrast limits for each series of a stack, such as each channel.

    Those of :func:`~napari_neural_style.images.to_rgb`; where they depend on the pixels, the
    smallest and largest value of 32 planes spread over the series, or of all if it has fewer.

    Raises
    ------
    ValueError
        If none of these planes can be read, or all are constant.
    """
    series: dict[Index, list[Index]] = {}
    for index in axes.indices():
        series.setdefault(axes.series(index), []).append(index)
    dtype = np.dtype(stack.dtype)
    if dtype.kind == "b" or dtype == np.uint8 or (dtype == np.uint16 and axes.in_color):
        top = 1.0 if dtype.kind == "b" else float(np.iinfo(dtype).max)
        return dict.fromkeys(series, (0.0, top))
    limits = {key: _extremes(stack, axes, indices) for key, indices in series.items()}
    if not any(low < high for low, high in limits.values()):
        raise ValueError(
            "There is nothing to paint in the stack: its planes cannot be read, hold NaN or "
            "infinite values, or are constant."
        )
    if dtype.kind == "f" and all(low >= 0 and high <= 1 for low, high in limits.values()):
        return dict.fromkeys(series, (0.0, 1.0))
    return limits


def _extremes(stack: Any, axes: Axes, indices: Sequence[Index]) -> tuple[float, float]:
    """Smallest and largest value of some of these planes; (0, 0) if none is finite."""
    found = []
    for index in indices[:: -(-len(indices) // _LOOKED_AT)]:
        try:
            plane = axes.take(stack, index)
            plane = plane[..., :3] if axes.in_color else plane  # alpha has no limits
            extremes = float(plane.min()), float(plane.max())
        except Exception:  # said when it is to be painted
            continue
        if np.isfinite(extremes).all():
            found.append(extremes)
    if not found:
        return 0.0, 0.0
    lows, highs = zip(*found, strict=True)
    return min(lows), max(highs)
