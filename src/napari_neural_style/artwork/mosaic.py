"""A mosaic: overlapping fans of glass and gold tesserae, set in rings, like peacock feathers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.artwork.canvas import (
    Field,
    colours,
    grid,
    halve,
    light,
    mix,
    noise,
    smoothstep,
)

GROUT = colours("2a241f")[0]
GOLD = colours("8a5210", "c07f18", "e8ab2a", "fbd45c")
RINGS = (
    colours("0a1a5c", "1440a8", "1f86d6", "1fc0c8", "5fd6a0", "0d8a74", "08443f"),
    colours("4a0a26", "a10f38", "e2382c", "f77f22", "ffb52e", "8a2570", "2c0f4a"),
    colours("04343c", "087a62", "2fae4c", "a6d22f", "f5d83a", "1089a0", "0b3570"),
    colours("160f48", "4a2bb0", "9347cc", "e063b8", "f79aa0", "2f66c8", "0f2458"),
)
"""From the eye of a fan outwards; gold comes in between."""

TILE = 0.0165
"""Width of a ring of tesserae."""


@dataclass(frozen=True)
class _Tesserae:
    """Which tessera each pixel belongs to, and where on it the pixel is.

    Attributes
    ----------
    fan, key : ndarray of int, (size, size)
        Its fan, and a number from 0 to 8191 that stands for the tessera.
    share : ndarray of float32, (size, size)
        Its ring, from 0 at the eye of the fan to 1 at the rim.
    along, across : ndarray of float32, (size, size)
        From 0 to 1 along the ring and across it.
    stretch : ndarray of float32, (size, size)
        Its length along the ring relative to its width.
    """

    fan: NDArray[np.int32]
    key: NDArray[np.int32]
    share: Field
    along: Field
    across: Field
    stretch: Field


def _lay(x: Field, y: Field, fans: list[tuple[float, float, float]], turn: Field) -> _Tesserae:
    """Lay fans (x, y, radius) over each other, the first at the bottom."""
    size = len(x)
    fan, key = np.zeros((2, size, size), np.int32)
    share, along, across, stretch = np.zeros((4, size, size), np.float32)
    margin = size // 50
    for k, (cx, cy, radius) in enumerate(fans):
        rings = round(radius / TILE)
        top, bottom, left, right = (
            int(np.clip(edge, 0, size))
            for edge in (
                (cy - radius) * size - margin,
                (cy + radius) * size + margin,
                (cx - radius) * size - margin,
                (cx + radius) * size + margin,
            )
        )
        here = (slice(top, bottom), slice(left, right))
        dx, dy = x[here] - cx, y[here] - cy
        away = np.hypot(dx, dy) / radius * rings
        inside = away < rings
        dx, dy, away = dx[inside], dy[inside], away[inside]
        ring = away.astype(np.int32)
        length = 2 * np.pi * (ring + 0.5)
        pieces = np.where(ring == 0, 1, np.round(0.86 * length))
        angle = (np.arctan2(dy, dx) / (2 * np.pi) + 0.5 + turn[k] * (ring % 7) * 0.37) * pieces
        piece = np.floor(angle)
        fan[here][inside] = k
        key[here][inside] = (k * 7919 + ring * 257 + (piece % pieces) * 31) % 8192
        share[here][inside] = ring / rings
        along[here][inside] = np.where(ring == 0, away * 0.5, angle - piece)
        across[here][inside] = np.where(ring == 0, 0.5, away - ring)
        stretch[here][inside] = length / pieces
    return _Tesserae(fan, key, share, along, across, stretch)


def draw(size: int, rng: np.random.Generator) -> Field:
    """Draw the picture.

    Parameters
    ----------
    size : int
        Pixels along each side.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32, (size, size, 3)
        RGB, about [0, 1].
    """
    fine = 2 * size
    x, y = grid(fine)
    x = x + 0.007 * noise(rng, fine, 6, 3)
    y = y + 0.007 * noise(rng, fine, 6, 3)
    fans = [
        (
            (column + 0.5 * (row % 2) + rng.uniform(-0.08, 0.08)) / 3.4 + 0.05,
            (row + rng.uniform(-0.1, 0.1)) / 5.2 + 0.12,
            rng.uniform(0.155, 0.215),
        )
        for row in range(-1, 7)
        for column in range(-1, 5)
    ]
    table = rng.random((4, 8192), np.float32)
    choice = rng.integers(len(RINGS), size=len(fans))
    gilded = rng.integers(0, 3, size=len(fans))
    laid = _lay(x, y, fans, rng.random(len(fans)).astype(np.float32))
    first, second, third, fourth = table[:, laid.key]

    band = np.clip(7 * laid.share + 0.9 * (first - 0.5), 0, 6.9).astype(np.int32)
    is_gold = ((band == 5) & (gilded[laid.fan] == 0)) | ((band == 3) & (gilded[laid.fan] == 1))
    is_gold |= (laid.share > 0.86) | (third > 0.965)
    leaf = GOLD[(second * 4).astype(np.int32)]
    colour = np.where(is_gold[..., None], leaf, np.array(RINGS)[choice[laid.fan], band])
    colour = colour * (0.66 + 0.5 * second)[..., None]
    colour = colour + (0.12 * (third - 0.5))[..., None] * np.array([1, 0.2, -1])

    # Each tessera is tilted a little, bevelled, and of cloudy glass.
    edge = np.minimum(
        np.minimum(laid.along, 1 - laid.along) * laid.stretch,
        np.minimum(laid.across, 1 - laid.across),
    )
    edge = edge + 0.035 * noise(rng, fine, 70, 2) - 0.05 * fourth
    face = smoothstep(0.03, 0.24, edge)
    tilt = (laid.along - 0.5) * (third - 0.5) + (laid.across - 0.5) * (fourth - 0.5)
    cloud = noise(rng, fine, 90, 3, 0.7)
    relief = TILE * fine * (0.5 * face + 0.7 * tilt + 0.016 * cloud)
    shade, highlight = light(relief, 0.8, 0.35)
    glint = smoothstep(0.93, 1.0, first) * smoothstep(0.2, 0.35, edge)
    stone = colour * (shade * (1 + 0.07 * cloud))[..., None]
    stone = stone + (highlight * np.where(is_gold, 1.0, 0.5) + 0.3 * glint)[..., None]
    grout = GROUT * (1 + 0.25 * noise(rng, fine, 220))[..., None]
    picture = mix(grout, stone, smoothstep(0.045, 0.10, edge))
    return halve(picture)
