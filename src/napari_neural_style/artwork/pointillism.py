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

SKY = colours("2450ad", "4a86d8", "8fb8ea", "b9a2e4", "f7a98c", "ffbf55", "ffdf6e")
HILLS = colours("7f78c8", "5f55b0", "473f94")
WATER = colours("ffcf6a", "f59a6a", "8f9fe0", "3f7fd0", "1f57a8", "17417f")
GRASS = colours("f2d43a", "b9cf35", "63ad3a", "2b8347", "17605c", "1d3f6e")
LEAVES = colours("152a5e", "13575a", "2f8f45", "8dbd35", "f0d640")
PRIMARIES = colours("e63c2e", "f58a1f", "ffd21f", "4fae3c", "1f8fc9", "2b3fa8", "8a3fa0", "fdf2d5")


def _landscape(rng: np.random.Generator, size: int) -> Field:
    """Return smooth colours for the dots to divide."""
    x, y = grid(size)
    ragged = noise(rng, size, 16, 3, 0.7)
    streaks = noise(rng, size, (12, 3), 3)
    sun = rng.uniform(0.5, 0.7)
    shore = 0.47

    def land(picture: Field, colour: Field, depth: Field) -> Field:
        return mix(picture, colour, smoothstep(0, 0.008, depth))

    picture = ramp(y / shore + 0.1 * streaks, SKY)
    glow = np.exp(-((np.hypot(x - sun, y - 0.36) / 0.1) ** 2))
    picture = mix(picture, colours("fff2a8")[0], glow)
    for k, hill in enumerate(HILLS):
        wave = np.sin((6 + 3 * k) * x + rng.uniform(0, 6))
        depth = y - (0.385 + 0.03 * k) + 0.028 * wave + 0.004 * ragged
        picture = land(picture, hill * (1 + 0.2 * ragged[..., None] * (k / 2)), depth)
    ripples = noise(rng, size, (60, 9), 2)
    water = ramp((y - shore) / 0.33 + 0.17 * ripples, WATER)
    glitter = np.exp(-(((x - sun) / (0.05 + 0.3 * np.maximum(y - shore, 0))) ** 2))
    water = mix(water, colours("fff0a0")[0], 0.9 * glitter * smoothstep(-0.5, 0.6, ripples))
    picture = land(picture, water, y - shore + 0 * x)

    # Poplars on the far shore and their reflections, then the near bank, then a tree.
    for px in rng.uniform(0.74, 1.0, 7):
        tall = rng.uniform(0.08, 0.17)
        for sign, paint in ((1, LEAVES), (-1, LEAVES * 0.8 + 0.1)):
            up = sign * (shore - y) / tall
            wide = 0.017 * np.sqrt(np.clip(up * (1.06 - up) * 4, 0, 1))
            inside = np.abs(x - px + 0.003 * ragged) - wide
            lit = 0.35 - 20 * (x - px) + 0.2 * ragged
            picture = mix(picture, ramp(lit, paint), smoothstep(0.004, -0.004, inside) * (up > 0))
    bank = 0.73 + 0.07 * np.sin(3.6 * x + rng.uniform(0, 6)) + 0.006 * ragged
    field = (y - bank) * 3.2 + 0.2 * noise(rng, size, (14, 6), 3)
    meadow = ramp(field, GRASS)
    flowers = smoothstep(1.1, 1.5, noise(rng, size, (30, 22), 2))
    blossom = ramp(noise(rng, size, 5), colours("e8413c", "f7709a", "fff0d0"), (-1.0, 0.0, 1.0))
    picture = land(picture, mix(meadow, blossom, 0.9 * flowers), y - bank)
    root = rng.uniform(0.12, 0.22)
    trunk = np.abs(x - root - 0.05 * np.sin(5 * y)) - 0.016 - 0.05 * np.maximum(y - 0.78, 0)
    bark = smoothstep(0.004, -0.002, trunk) * (y > 0.3) * (y < 0.88)
    picture = mix(picture, colours("4a2a66")[0], bark)
    for _ in range(26):
        cx, cy = root + rng.normal(0, 0.11), 0.24 + rng.normal(0, 0.1)
        radius = rng.uniform(0.04, 0.085)
        away = np.hypot(x - cx, (y - cy) * 1.25) / radius + 0.13 * ragged
        lit = 0.45 + 0.42 * (x - cx) / radius - 0.4 * (y - cy) / radius
        picture = mix(picture, ramp(lit, LEAVES), smoothstep(1.0, 0.9, away))
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
