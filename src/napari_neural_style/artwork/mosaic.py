"""A mosaic: overlapping fans of glass and gold tesserae, set in rings, like peacock feathers."""

import numpy as np

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

    # Fans in rows, each row over the one above; small fans between the large.
    fans = []
    for row in range(-1, 7):
        for column in range(-1, 5):
            fans.append(
                (
                    (column + 0.5 * (row % 2) + rng.uniform(-0.08, 0.08)) / 3.4 + 0.05,
                    (row + rng.uniform(-0.1, 0.1)) / 5.2 + 0.12,
                    rng.uniform(0.155, 0.215),
                )
            )
    tile = 0.0165
    table = rng.random((4, 8192), np.float32)
    choice = rng.integers(len(RINGS), size=len(fans))
    gilded = rng.integers(0, 3, size=len(fans))
    turn = rng.random(len(fans)).astype(np.float32)

    ring = np.zeros((fine, fine), np.int32)
    key = np.zeros((fine, fine), np.int32)
    along = np.zeros((fine, fine), np.float32)
    across = np.zeros((fine, fine), np.float32)
    stretch = np.ones((fine, fine), np.float32)
    fan = np.full((fine, fine), -1, np.int32)
    for k, (cx, cy, radius) in enumerate(fans):
        rings = round(radius / tile)
        rows = slice(
            *np.clip([int((cy - radius) * fine) - 20, int((cy + radius) * fine) + 20], 0, fine)
        )
        columns = slice(
            *np.clip([int((cx - radius) * fine) - 20, int((cx + radius) * fine) + 20], 0, fine)
        )
        dx, dy = x[rows, columns] - cx, y[rows, columns] - cy
        away = np.hypot(dx, dy) / radius * rings
        inside = away < rings
        dx, dy, away = dx[inside], dy[inside], away[inside]
        index = away.astype(np.int32)
        pieces = np.maximum(np.round(2 * np.pi * (index + 0.5) * 0.86), 1).astype(np.float32)
        pieces[index == 0] = 1
        angle = (np.arctan2(dy, dx) / (2 * np.pi) + 0.5 + turn[k] * (index % 7) * 0.37) * pieces
        piece = np.floor(angle)
        for array, values in (
            (ring, index * 100 // rings),
            (key, (k * 7919 + index * 257 + (piece % pieces).astype(np.int32) * 31) % 8192),
            (along, np.where(index == 0, away * 0.5, angle - piece)),
            (across, np.where(index == 0, 0.5, away - index)),
            (stretch, 2 * np.pi * (index + 0.5) / pieces),
            (fan, k),
        ):
            array[rows, columns][inside] = values

    share = ring / np.float32(100)
    first, second, third, fourth = table[:, key]
    colour = np.empty((fine, fine, 3), np.float32)
    band = np.minimum((share * 7 + 0.9 * (first - 0.5)).clip(0, 6.9).astype(np.int32), 6)
    colour = np.array(RINGS)[choice[fan], band]
    leaf = GOLD[np.minimum((second * 4).astype(np.int32), 3)]
    is_gold = ((band == 5) & (gilded[fan] == 0)) | ((band == 3) & (gilded[fan] == 1))
    is_gold |= (share > 0.86) | (third > 0.965)
    colour = np.where(is_gold[..., None], leaf, colour)
    colour = colour * (0.66 + 0.5 * second)[..., None]
    colour = colour + ((third - 0.5) * 0.12)[..., None] * np.array([1, 0.2, -1])

    # Each tessera is tilted a little, bevelled, and of cloudy glass.
    edge = np.minimum(np.minimum(along, 1 - along) * stretch, np.minimum(across, 1 - across))
    edge = edge + 0.035 * noise(rng, fine, 70, 2) - 0.05 * fourth
    pixels = tile * fine
    face = smoothstep(0.03, 0.24, edge)
    tilt = (along - 0.5) * (third - 0.5) + (across - 0.5) * (fourth - 0.5)
    cloud = noise(rng, fine, 90, 3, 0.7)
    shade, highlight = light(pixels * (0.5 * face + 0.7 * tilt + 0.016 * cloud), 0.8, 0.35)
    glint = smoothstep(0.93, 1.0, first) * smoothstep(0.2, 0.35, edge)
    stone = colour * (shade * (1 + 0.07 * cloud))[..., None]
    stone = stone + (highlight * np.where(is_gold, 1.0, 0.5) + 0.3 * glint)[..., None]
    grout = GROUT * (1 + 0.25 * noise(rng, fine, 220))[..., None]
    picture = mix(grout, stone, smoothstep(0.045, 0.10, edge))
    return halve(picture)
