"""What the pictures share: coordinates, noise, colour, relief light and brush strokes.

Coordinates run from 0 to 1, x to the right and y down. Every random number that
shapes a picture is drawn before its size in pixels matters, so that a picture
keeps its composition at every size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

Field: TypeAlias = NDArray[np.floating[Any]]
"""Scalars, or colours in the last axis."""

Number = TypeVar("Number", bound=np.generic)

Flow: TypeAlias = Callable[[Field, Field], tuple[Field, Field]]
"""Directions (dx, dy) of any length at the points (x, y)."""


def grid(size: int) -> tuple[Field, Field]:
    """Return the coordinates x and y of the pixel centres.

    Parameters
    ----------
    size : int
        Pixels along each side.

    Returns
    -------
    x, y : ndarray of float32, (1, size) and (size, 1)
        They broadcast against each other.
    """
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    return centres[None, :], centres[:, None]


def colours(*codes: str) -> Field:
    """Return hexadecimal colours as an array.

    Parameters
    ----------
    *codes : str
        Colours such as ``"1b3a6f"``.

    Returns
    -------
    ndarray of float32, (len(codes), 3)
        RGB in [0, 1].
    """
    return np.array([list(bytes.fromhex(code)) for code in codes], np.float32) / 255


def ramp(values: ArrayLike, palette: Field, stops: Sequence[float] | None = None) -> Field:
    """Look values up in a ramp of colours.

    Parameters
    ----------
    values : array_like
        Numbers, clipped to the ends of the ramp.
    palette : ndarray of float32, (n, 3)
        The colours at the stops.
    stops : sequence of n floats, optional
        Increasing; evenly from 0 to 1 by default.

    Returns
    -------
    ndarray of float32, (..., 3)
    """
    at = np.linspace(0, 1, len(palette)) if stops is None else np.asarray(stops)
    # A fine table and one look-up: three np.interp over a whole picture cost ten times as much.
    table = np.stack([np.interp(np.linspace(at[0], at[-1], 1024), at, c) for c in palette.T], -1)
    index = (np.asarray(values, np.float32) - at[0]) * np.float32(1023 / (at[-1] - at[0]))
    looked_up: Field = table.astype(np.float32)[np.clip(index, 0, 1023).astype(np.int32)]
    return looked_up


def mix(first: ArrayLike, second: ArrayLike, share: ArrayLike) -> Field:
    """Mix two colours, with the given share of the second."""
    weight = np.asarray(share, np.float32)[..., None]
    return np.asarray(first, np.float32) * (1 - weight) + np.asarray(second, np.float32) * weight


def smoothstep(low: float, high: float, values: ArrayLike) -> Field:
    """Rise smoothly from 0 at `low` to 1 at `high` (fall, if `high` is the lower)."""
    t: Field = np.clip((np.asarray(values, np.float32) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _spline_weights(size: int, cells: int) -> Field:
    """Cubic B-spline weights (size, cells + 3) of the knots at each pixel."""
    at = (np.arange(size) + 0.5) / size * cells
    left = at.astype(int)
    t = at - left
    cubic = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((size, cells + 3), np.float32)
    for k, values in enumerate(cubic):
        weights[np.arange(size), left + k] = values / 6
    return weights


def noise(
    rng: np.random.Generator,
    size: int,
    cells: int | tuple[int, int],
    octaves: int = 1,
    gain: float = 0.5,
) -> Field:
    """Draw smooth noise with zero mean and unit deviation.

    Cubic B-splines over random knots, in octaves of doubling frequency.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
        Pixels along each side.
    cells : int or (int, int)
        Knots along the sides (y, x) in the first octave.
    octaves : int
        Octaves; those finer than the pixels are left out.
    gain : float
        Amplitude of an octave relative to the one before.

    Returns
    -------
    ndarray of float32, (size, size)
    """
    rows, columns = (cells, cells) if isinstance(cells, int) else cells
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        knots = rng.standard_normal((rows + 3, columns + 3), np.float32)
        if octave == 0 or max(rows, columns) <= size:
            along_y, along_x = _spline_weights(size, rows), _spline_weights(size, columns)
            total += np.float32(gain**octave) * (along_y @ knots @ along_x.T)
        rows, columns = 2 * rows, 2 * columns
    normal: Field = (total - total.mean()) / (total.std() + np.float32(1e-6))
    return normal


def sample(field: NDArray[Number], x: Field, y: Field) -> NDArray[Number]:
    """Look a field up at points, at the nearest pixel; points outside take the border's."""
    rows, columns = field.shape[:2]
    row = np.clip((y * rows).astype(np.int32), 0, rows - 1)
    column = np.clip((x * columns).astype(np.int32), 0, columns - 1)
    picked: NDArray[Number] = field[row, column]
    return picked


def voronoi(places: Field, x: Field, y: Field) -> tuple[NDArray[np.intp], Field]:
    """Divide points among the nearest of some places.

    Parameters
    ----------
    places : ndarray of float, (n, 2)
        x and y of three places or more.
    x, y : ndarray of float, (...)
        The points.

    Returns
    -------
    cell : ndarray of int, (...)
        The nearest place of each point.
    border : ndarray of float, (...)
        The distance from the border of that place's cell.
    """
    distance, nearest = (np.asarray(a) for a in KDTree(places).query(np.stack([x, y], -1), k=3))
    apart = np.linalg.norm(places[nearest[..., :1]] - places[nearest[..., 1:]], axis=-1)
    bisector = (distance[..., 1:] ** 2 - distance[..., :1] ** 2) / (2 * apart)
    return nearest[..., 0], bisector.min(-1).astype(np.float32)


def light(height: Field, depth: float, gloss: float = 0.0) -> tuple[Field, Field]:
    """Light a relief from the upper left.

    Parameters
    ----------
    height : ndarray of float32, (size, size)
        The relief, in pixels.
    depth : float
        Factor on the slope.
    gloss : float
        Strength of the highlights.

    Returns
    -------
    shade, highlight : ndarray of float32, (size, size)
        Factor around 1 for the colour, and white to add to it.
    """
    down, right = np.gradient(height)
    slope = np.float32(depth) * (right + down)
    shade = 1 + slope / np.sqrt(1 + slope * slope) * np.float32(0.45)
    highlight = np.float32(gloss) * smoothstep(0.35, 1.6, slope)
    return shade.astype(np.float32), highlight


def halve(image: Field) -> Field:
    """Average blocks of 2 × 2 pixels."""
    rows = image[0::2] + image[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25)


def scatter(rng: np.random.Generator, count: int) -> tuple[Field, Field]:
    """Scatter points evenly, in random order, over the frame and a little beyond it.

    Parameters
    ----------
    rng : numpy.random.Generator
    count : int
        About this many points fall inside the frame.

    Returns
    -------
    x, y : ndarray of float32, (n,)
    """
    side = max(2, round(1.1 * count**0.5))
    column, row = np.meshgrid(np.arange(side), np.arange(side))
    jitter = rng.random((2, side, side)) * 1.2
    order = rng.permutation(side * side)
    x = ((column + jitter[0]) / side * 1.1 - 0.05).ravel()[order]
    y = ((row + jitter[1]) / side * 1.1 - 0.05).ravel()[order]
    return x.astype(np.float32), y.astype(np.float32)


def trace(x: Field, y: Field, flow: Flow, length: ArrayLike, steps: int) -> tuple[Field, Field]:
    """Follow a flow both ways from the middle of each path.

    Parameters
    ----------
    x, y : ndarray of float32, (n,)
        The middles.
    flow : callable
        Directions at points.
    length : float or array_like, (n,)
        Length of the paths.
    steps : int
        Segments of a path, even.

    Returns
    -------
    x, y : ndarray of float32, (n, steps + 1)
    """
    step = np.asarray(length, np.float32) / steps
    points = {0: (x, y)}
    for sign in (1, -1):
        at_x, at_y = x, y
        for k in range(1, steps // 2 + 1):
            dx, dy = flow(at_x, at_y)
            norm = sign * step / (np.hypot(dx, dy) + np.float32(1e-6))
            at_x, at_y = at_x + dx * norm, at_y + dy * norm
            points[sign * k] = (at_x, at_y)
    path = np.array([points[k] for k in sorted(points)], np.float32)
    return path[:, 0].T, path[:, 1].T


@dataclass(frozen=True)
class Swept:
    """The pixels that a layer of strokes covers; of several strokes, the last.

    Attributes
    ----------
    where : ndarray of int, (pixels,)
        Flat index into the picture.
    stroke : ndarray of int, (pixels,)
        Which stroke.
    along, across : ndarray of float32, (pixels,)
        Where on the stroke: 0 to 1 from its start, -1 to 1 from side to side.
    """

    where: NDArray[np.int32]
    stroke: NDArray[np.int32]
    along: Field
    across: Field


def sweep(size: int, x: Field, y: Field, radius: Field) -> Swept:
    """Drag brushes along paths.

    Parameters
    ----------
    size : int
        Pixels along each side of the picture.
    x, y : ndarray of float32, (n, points)
        The paths, in the order of painting.
    radius : ndarray of float32, (n, points) or (n, 1)
        Half the width of the brush.

    Returns
    -------
    Swept
    """
    lengths = np.hypot(np.diff(x), np.diff(y)).sum(1)
    # 0.7 px between the samples leaves no holes, except outside of sharp bends.
    n_along = max(2, int(lengths.max() * size / 0.7) + 1)
    n_across = max(3, int(radius.max() * 2 * size / 0.7) + 1)
    at = np.linspace(0, x.shape[1] - 1, n_along)
    left = np.minimum(at.astype(int), x.shape[1] - 2)
    t = (at - left).astype(np.float32)
    across = np.linspace(-1, 1, n_across, dtype=np.float32)
    winner = np.full((size + 2) * (size + 2), -1, np.int32)
    per_stroke = n_along * n_across
    for first in range(0, len(x), max(1, 400_000 // per_stroke)):
        chunk = slice(first, first + max(1, 400_000 // per_stroke))
        px, py, pr = (
            (a[:, left] * (1 - t) + a[:, left + 1] * t) * np.float32(size) + offset
            for a, offset in (
                (x[chunk], 1),
                (y[chunk], 1),
                (np.broadcast_to(radius[chunk], x[chunk].shape), 0),
            )
        )
        dx, dy = np.gradient(px, axis=1), np.gradient(py, axis=1)
        scale = pr / (np.hypot(dx, dy) + np.float32(1e-6))
        column = px[..., None] - (dy * scale)[..., None] * across
        row = py[..., None] + (dx * scale)[..., None] * across
        # Samples outside the frame land in a border one pixel wide.
        flat = np.clip(row, 0, size + 1).astype(np.int32) * np.int32(size + 2)
        flat += np.clip(column, 0, size + 1).astype(np.int32)
        start = first * per_stroke
        winner[flat.ravel()] = np.arange(start, start + flat.size, dtype=np.int32)
    inner = winner.reshape(size + 2, size + 2)[1:-1, 1:-1].ravel()
    where = np.flatnonzero(inner >= 0).astype(np.int32)
    code = inner[where]
    stroke, rest = np.divmod(code, np.int32(per_stroke))
    return Swept(
        where=where,
        stroke=stroke,
        along=(rest // n_across).astype(np.float32) / (n_along - 1),
        across=across[rest % n_across],
    )
