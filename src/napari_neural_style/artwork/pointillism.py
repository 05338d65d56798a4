"""Pointillism: dots of divided colour over an evening landscape with water and trees."""

import numpy as np

from napari_neural_style.artwork.canvas import (
    Field,
    colours,
    grid,
    halve,
    light,
    mix,
    noise,
    ramp,
    sample,
    scatter,
    smoothstep,
    sweep,
)

SKY = colours("2f5fb3", "5a8fd6", "9cc3e0", "f6d7a7", "f9b36b", "f2805a")
HILLS = colours("5b4a9e", "7d63b8", "4c7fb5")
WATER = colours("f2935c", "f3c58b", "6fa8d6", "2f6fb0", "1c4f8f")
GRASS = colours("e9d24a", "a8c43a", "5fa63f", "2c7d4a", "1d5560")
LEAVES = colours("17394f", "1f6b4f", "5aa02f", "d8cf3d")
PRIMARIES = colours("e63c2e", "f58a1f", "ffd21f", "4fae3c", "1f8fc9", "2b3fa8", "8a3fa0", "fdf2d5")


def _landscape(rng: np.random.Generator, size: int) -> Field:
    """Return smooth colours for the dots to divide."""
    x, y = grid(size)
    bumps = noise(rng, size, (3, 6), 3)
    picture = ramp(y / 0.46 + 0.07 * noise(rng, size, (9, 3), 3), SKY)
    sun_x, sun_y = rng.uniform(0.55, 0.75), 0.33
    away = np.hypot(x - sun_x, y - sun_y)
    picture = mix(picture, np.float32([1, 0.93, 0.6]), np.exp(-((away / 0.09) ** 2)))
    for k, (level, shift) in enumerate(((0.38, 0.0), (0.42, 2.1), (0.45, 4.0))):
        ridge = level - 0.035 * np.sin(7 * x + shift + rng.uniform(0, 3)) - 0.012 * bumps
        picture = mix(
            picture, HILLS[k] * (1 + 0.12 * bumps[..., None]), smoothstep(0, 0.01, y - ridge)
        )
    depth = (y - 0.48) / 0.26
    ripples = noise(rng, size, (46, 7), 2)
    water = ramp(depth + 0.2 * ripples, WATER)
    path = np.exp(-(((x - sun_x) / (0.04 + 0.2 * np.maximum(y - 0.48, 0))) ** 2))
    water = mix(water, np.float32([1, 0.88, 0.5]), path * smoothstep(-0.3, 0.8, ripples))
    picture = mix(picture, water, smoothstep(0.475, 0.482, y + 0 * x))
    bank = 0.72 + 0.05 * np.sin(4.2 * x + rng.uniform(0, 6)) + 0.01 * bumps
    meadow = ramp((y - bank) * 2.6 + 0.16 * noise(rng, size, (12, 5), 3), GRASS)
    picture = mix(picture, meadow, smoothstep(0, 0.008, y - bank))
    ragged = noise(rng, size, 14, 3)
    for cx, top, wide in ((0.1, 0.1, 0.13), (0.31, 0.36, 0.07), (0.93, 0.22, 0.1)):
        cx = cx + rng.uniform(-0.04, 0.04)
        crown_y = top + 1.1 * wide
        away = np.hypot((x - cx) / wide, (y - crown_y) / (1.35 * wide)) + 0.14 * ragged
        trunk = (np.abs(x - cx) < 0.012) & (y > crown_y) & (y < 0.78)
        picture[trunk] = (0.25, 0.16, 0.36)
        lit = 0.45 + 0.5 * (x - cx) / wide - 0.35 * (y - crown_y) / wide + 0.18 * ragged
        picture = mix(picture, ramp(lit, LEAVES), smoothstep(1.02, 0.95, away))
    return picture


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
    view = _landscape(rng, 256)
    fine = 2 * size
    weave = noise(rng, fine, 170, 2)
    canvas = colours("e8d9b8")[0] * (1 + 0.05 * weave[..., None])
    colour = canvas.reshape(-1, 3).astype(np.float32)
    height = np.zeros(fine * fine, np.float32)
    layers = ((5000, 0.0105, 0.05), (11000, 0.0068, 0.12), (15000, 0.0046, 0.2))
    for count, radius, divided in layers:
        x, y = scatter(rng, count)
        n = len(x)
        seen = sample(view, x, y)
        radii = radius * rng.uniform(0.75, 1.2, n).astype(np.float32)
        # Divided colour: lighter, darker, more saturated, or a pure pigment near in
        # tone; from afar they add up to what was seen.
        value = rng.normal(0, 0.11, (n, 1)) + rng.normal(0, 0.06, (n, 3))
        grey = seen.mean(1, keepdims=True)
        paint = grey + (seen - grey) * rng.uniform(1.0, 1.7, (n, 1)) + value
        likeness = ((seen[:, None] - PRIMARIES) ** 2).sum(-1) + rng.exponential(0.25, (n, 8))
        pure = PRIMARIES[likeness.argmin(1)]
        complement = 1.05 * seen.max(1, keepdims=True) - seen + 0.15
        pick = rng.random(n)
        paint = np.where((pick < divided * 2.2)[:, None], pure, paint)
        paint = np.where((pick > 1 - 0.3 * divided)[:, None], complement, paint)

        angle = rng.uniform(0, np.pi, n).astype(np.float32)
        stretch = radii * rng.uniform(0.05, 0.5, n).astype(np.float32)
        u = np.linspace(-1, 1, 9, dtype=np.float32)
        span = (radii + stretch)[:, None] * u
        swept = sweep(
            fine,
            x[:, None] + np.cos(angle)[:, None] * span,
            y[:, None] + np.sin(angle)[:, None] * span,
            radii[:, None] * np.sqrt(np.maximum(1 - u * u, 0)),
        )
        s = swept.stroke
        u = 2 * swept.along - 1
        dome = 1 - u**2 - swept.across**2 * (1 - u**2)
        lift = (0.55 * np.sqrt(np.maximum(dome, 0)) + 0.35) * radii[s] * fine
        height[swept.where] = lift
        colour[swept.where] = paint[s]
    shade, highlight = light(height.reshape(fine, fine) + 0.25 * weave, 0.35, 0.12)
    picture = colour.reshape(fine, fine, 3) * shade[..., None] + highlight[..., None]
    return halve(picture)
