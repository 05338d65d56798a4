"""A plane with pixels of its own, seen in the pixels of another one."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .slicing import Slice

_ROWS_AT_ONCE = 256


class Sampled(NamedTuple):
    """What of a plane lies at the centres of some pixels."""

    values: NDArray[Any]
    """``(H, W)`` or ``(H, W, channels)``, as the plane has them."""
    covered: NDArray[np.bool_]
    """``(H, W)``, where the plane lies; elsewhere, the values mean nothing."""


def sample(pixels: Slice, to_plane: NDArray[np.float64], shape: tuple[int, int]) -> Sampled | None:
    """Take the nearest pixels of a plane, as napari's canvas does; no more than needed is read.

    Parameters
    ----------
    pixels
        The plane. Of its resolutions, the coarsest is taken that has no larger pixels than
        are wanted.
    to_plane
        ``(3, 3)``, from the pixels wanted to those of the plane at its full resolution, for
        homogeneous coordinates (row, column, 1) that lie on the centres.
    shape
        Height and width wanted.

    Returns
    -------
    Sampled or None
        None if the plane lies elsewhere.
    """
    full = pixels.geometry.shape
    step = float(np.linalg.norm(to_plane[:2, :2], axis=0).min())
    shrinks = [np.divide(full, own) for own in pixels.shapes]
    level = max((i for i, shrink in enumerate(shrinks) if shrink.max() <= step + 1e-6), default=0)
    shrink = shrinks[level][:, np.newaxis]
    height, width = shape
    ends = np.array([[0, 0, height - 1, height - 1], [0, width - 1, 0, width - 1], [1, 1, 1, 1]])
    corners = _bins(to_plane @ ends, shrink)
    first = np.maximum(corners.min(axis=1), 0)
    last = np.minimum(corners.max(axis=1), np.subtract(pixels.shapes[level], 1))
    if (first > last).any():
        return None
    rows, columns = (slice(start, stop + 1) for start, stop in zip(first, last, strict=True))
    values = pixels.read(level, (rows, columns))
    sampled = np.empty((*shape, *values.shape[2:]), values.dtype)
    covered = np.empty(shape, bool)
    highest = (last - first)[:, np.newaxis]
    for start in range(0, height, _ROWS_AT_ONCE):
        band = slice(start, min(start + _ROWS_AT_ONCE, height))
        grid = np.mgrid[band, :width].reshape(2, -1)
        wanted = np.vstack([grid, np.ones_like(grid[0])])
        places = _bins(to_plane @ wanted, shrink) - first[:, np.newaxis]
        nearest = np.clip(places, 0, highest)
        covered[band] = (places == nearest).all(axis=0).reshape(-1, width)
        sampled[band] = values[tuple(nearest)].reshape(-1, *sampled.shape[1:])
    return Sampled(sampled, covered)


def _bins(places: NDArray[np.float64], shrink: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the pixels of a resolution that places of the full one lie in."""
    bins: NDArray[np.intp] = np.floor((places[:2] + 0.5) / shrink).astype(np.intp)
    return bins
