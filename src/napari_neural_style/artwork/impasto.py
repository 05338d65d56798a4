"""Swirling impasto: thousands of thick strokes along a field of vortices, by night."""

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
    trace,
)

NIGHT = colours("0a1338", "13296b", "1f4aa0", "2f74c0", "58a9d0", "a9d8d2", "eef0c8")
GLOW = colours("fff6cf", "ffe27a", "f9bd2e", "e88a1a", "b9611f")
ACCENTS = colours("f0b93a", "e4762b", "7fd0c0", "e9efd0", "3a2f86", "1c6e78")


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
    # Vortices: centre, sense of turning, reach. The lights sit in some of them.
    vx, vy = scatter(rng, 15)
    turn = rng.choice([-1.0, 1.0], len(vx)).astype(np.float32)
    reach = rng.uniform(0.045, 0.115, len(vx)).astype(np.float32)
    lit = rng.random(len(vx)) < 0.55

    def flow(x: Field, y: Field) -> tuple[Field, Field]:
        dx = 0.35 + 0.5 * np.sin(7 * y + 1.5)
        dy = 0.35 * np.sin(9 * x + 4 * y)
        for cx, cy, sense, radius in zip(vx, vy, turn, reach, strict=True):
            ex, ey = x - cx, y - cy
            pull = sense * 3 / radius * np.exp(-(ex * ex + ey * ey) / (5 * radius * radius))
            dx, dy = dx - ey * pull, dy + ex * pull
        return dx.astype(np.float32), dy.astype(np.float32)

    x, y = grid(256)
    tone = 0.33 + 0.17 * noise(rng, 256, 5, 3)
    heat = np.zeros((256, 256), np.float32)
    for cx, cy, radius, is_lit in zip(vx, vy, reach, lit, strict=True):
        away = np.hypot(x - cx, y - cy) / radius
        tone += (0.2 if is_lit else 0.26) * np.cos(4.4 * away) * np.exp(-away / 1.9)
        if is_lit:
            rings = np.exp(-((away / 0.8) ** 2)) + 0.32 * np.exp(-(((away - 1.5) / 0.2) ** 2))
            heat = np.maximum(heat, rings)
    bristles = noise(rng, 512, (256, 12), 2, 0.7)

    fine = 2 * size
    colour = np.broadcast_to(NIGHT[1], (fine * fine, 3)).astype(np.float32)
    height = np.zeros(fine * fine, np.float32)
    for count, length, radius in (
        (900, 0.2, 0.019),
        (2400, 0.115, 0.0115),
        (3600, 0.075, 0.0075),
        (3200, 0.04, 0.0045),
    ):
        px, py = scatter(rng, count)
        n = len(px)
        lengths = length * rng.uniform(0.6, 1.25, n).astype(np.float32)
        radii = radius * rng.uniform(0.7, 1.25, n).astype(np.float32)
        value, drift = rng.normal(0, (0.12, 0.2), (n, 2)).T.astype(np.float32)
        offset = rng.random((2, n), np.float32)
        accent = rng.random(n) < 0.045
        chosen = ACCENTS[rng.integers(len(ACCENTS), size=n)]

        # A brush is loaded with two colours, and takes either warm or cold ones: mixed
        # they would be mud.
        warm = sample(heat, px, py)
        dark = sample(tone, px, py) + value
        is_warm = (warm + 0.4 * value > 0.27)[:, None]
        first = np.where(is_warm, ramp(1.08 - warm + value, GLOW), ramp(dark, NIGHT))
        second = np.where(is_warm, ramp(1.08 - warm + drift, GLOW), ramp(dark + drift, NIGHT))
        first = np.where(accent[:, None], chosen, first)

        path_x, path_y = trace(px, py, flow, lengths, 12)
        u = np.linspace(0, 1, 13, dtype=np.float32)
        taper = np.minimum(1, 0.45 + 4 * u) * np.minimum(1, 0.2 + 2.4 * (1 - u)) ** 0.6
        swept = sweep(fine, path_x, path_y, radii[:, None] * taper)
        s, u, v = swept.stroke, swept.along, swept.across
        texture = sample(
            bristles, (offset[0, s] + 0.5 * u) % 1, (offset[1, s] + 2.6 * radii[s] * v) % 1
        )
        colour[swept.where] = mix(first[s], second[s], smoothstep(-0.9, 1.3, texture))
        # Paint piles up at the sides of a stroke and where it was set down.
        body = 0.4 * (1 - v**4) + 0.2 * np.exp(-((np.abs(v) - 0.78) ** 2) / 0.02)
        thickness = (body + 0.15 * texture + 0.3 * offset[0, s]) * (1.15 - 0.55 * u)
        height[swept.where] = np.minimum(radii[s], 0.011) * fine * thickness
    shade, highlight = light(height.reshape(fine, fine), 0.62, 0.3)
    picture = colour.reshape(fine, fine, 3) * shade[..., None] + highlight[..., None]
    return halve(picture)
