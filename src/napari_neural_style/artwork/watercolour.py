"""Watercolour: translucent washes that bleed, granulate and dry with dark edges on rough paper."""

import numpy as np
from scipy import ndimage

from napari_neural_style.artwork.canvas import Field, colours, grid, light, noise, smoothstep

PAPER = colours("fbf6ea")[0]
PIGMENTS = colours(
    "1f4fa3",
    "0e8fb0",
    "27a58c",
    "7bb53b",
    "f5c326",
    "f08a24",
    "e2483d",
    "cf2f78",
    "7a3fa0",
    "28306f",
)


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
    x, y = grid(size)
    grain = noise(rng, size, 120, 3, 0.75)
    pits = np.maximum(-grain, 0)
    # Washes take their outlines from crops of large noise fields.
    outline = noise(rng, 2 * size, 12, 6, 0.55)
    ragged = noise(rng, 2 * size, 60, 4, 0.65)
    clouds = noise(rng, 2 * size, 8, 5, 0.6)

    def crop(field: Field, corner: Field) -> Field:
        top, left = (corner * size).astype(int)
        return field[top : top + size, left : left + size]

    absorbed = np.zeros((size, size, 3), np.float32)
    for count, low, high, strength in (
        (16, 0.2, 0.34, 0.5),
        (46, 0.06, 0.14, 0.85),
        (90, 0.012, 0.045, 1.2),
    ):
        for _ in range(count):
            cx, cy = rng.uniform(-0.05, 1.05, 2)
            radius = rng.uniform(low, high)
            squeeze, angle = rng.uniform(0.45, 1.0), rng.uniform(0, np.pi)
            pigment = PIGMENTS[(int(10 * (0.6 * cx + 0.5 * cy)) + rng.integers(-2, 3)) % 10]
            corners = rng.random((3, 2))
            wet = rng.uniform(0, 1)
            pull = rng.normal(0, 0.6, 2)
            dose = strength * rng.uniform(0.5, 1.1)
            dx, dy = x - cx, y - cy
            long = np.cos(angle) * dx + np.sin(angle) * dy
            short = (np.cos(angle) * dy - np.sin(angle) * dx) / squeeze
            inward = 1 - np.hypot(long, short) / radius
            inward += 0.2 * crop(outline, corners[0]) + 0.05 * crop(ragged, corners[1])
            cloud = crop(clouds, corners[2])
            bleed = 0.02 + 0.5 * wet * smoothstep(-0.4, 1.2, cloud)
            body = np.clip(inward / bleed, 0, 1)
            rim = np.exp(-(((inward - 0.035) * radius / 0.0045) ** 2)) * (inward > 0)
            rim = rim * smoothstep(0.3, 0.06, bleed)
            pool = 1 + 0.35 * cloud + pull[0] * dx / radius + pull[1] * dy / radius
            amount = body * np.maximum(pool, 0.25) * (1 + 0.45 * pits) + 0.55 * rim
            absorbed -= (dose * amount)[..., None] * np.log(pigment + 0.03)
    shade, _ = light(grain * size / 512, 0.16)
    return PAPER * np.exp(-absorbed) * shade[..., None]
