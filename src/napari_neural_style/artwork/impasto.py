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
    # Vortices: centre, turning sense, reach; the lights sit in some of them.
    vx, vy = scatter(rng, 11)
    turn = rng.choice([-1.0, 1.0], len(vx)).astype(np.float32)
    reach = rng.uniform(0.05, 0.16, len(vx)).astype(np.float32)
    lit = rng.random(len(vx)) < 0.6

    def flow(x: Field, y: Field) -> tuple[Field, Field]:
        dx = 0.35 + 0.5 * np.sin(7 * y + 1.5)
        dy = 0.35 * np.sin(9 * x + 4 * y)
        for cx, cy, sense, radius in zip(vx, vy, turn, reach, strict=True):
            ex, ey = x - cx, y - cy
            pull = sense * 3 / radius * np.exp(-(ex * ex + ey * ey) / (4 * radius * radius))
            dx, dy = dx - ey * pull, dy + ex * pull
        return dx.astype(np.float32), dy.astype(np.float32)

    x, y = grid(256)
    tone = 0.36 + 0.15 * noise(rng, 256, 5, 3)
    warmth = np.zeros((256, 256), np.float32)
    for cx, cy, radius, is_lit in zip(vx, vy, reach, lit, strict=True):
        away = np.hypot(x - cx, y - cy) / radius
        tone += 0.16 * np.cos(5.2 * away) * np.exp(-away / 1.6)
        if is_lit:
            warmth = np.maximum(warmth, np.exp(-((away / 0.95) ** 2)))
    bristles = noise(rng, 512, (256, 12), 2, 0.7)

    fine = 2 * size
    colour = np.broadcast_to(NIGHT[1], (fine * fine, 3)).astype(np.float32)
    height = np.zeros(fine * fine, np.float32)
    layers = ((700, 0.20, 0.018), (2600, 0.115, 0.0105), (5200, 0.07, 0.0065), (3600, 0.035, 0.004))
    for count, length, radius in layers:
        px, py = scatter(rng, count)
        lengths = length * rng.uniform(0.6, 1.25, len(px)).astype(np.float32)
        radii = radius * rng.uniform(0.7, 1.25, len(px)).astype(np.float32)
        value = rng.normal(0, 0.1, len(px)).astype(np.float32)
        accent = rng.random(len(px)) < 0.05
        choice = rng.integers(len(ACCENTS), size=len(px))
        partner = rng.normal(0, 0.16, len(px)).astype(np.float32)
        offset = rng.random((2, len(px)), np.float32)

        heat = sample(warmth, px, py)
        shade = sample(tone, px, py) + value
        first = mix(
            ramp(shade, NIGHT), ramp(1.15 - heat + value, GLOW), smoothstep(0.25, 0.5, heat)
        )
        second = mix(
            ramp(shade + partner, NIGHT),
            ramp(1.15 - heat + partner, GLOW),
            smoothstep(0.2, 0.5, heat),
        )
        first[accent] = ACCENTS[choice[accent]]

        path_x, path_y = trace(px, py, flow, lengths, 12)
        u = np.linspace(0, 1, 13, dtype=np.float32)
        taper = np.minimum(1, 0.35 + 4 * u) * np.minimum(1, 0.2 + 2.4 * (1 - u)) ** 0.6
        swept = sweep(fine, path_x, path_y, radii[:, None] * taper)

        s = swept.stroke
        texture = sample(
            bristles,
            (offset[0, s] + swept.along * 0.5) % 1,
            (offset[1, s] + swept.across * 0.06) % 1,
        )
        loaded = smoothstep(-0.9, 1.3, texture)
        colour[swept.where] = mix(first[s], second[s], loaded)
        body = 1 - swept.across**4
        ridge = np.exp(-((np.abs(swept.across) - 0.78) ** 2) / 0.02)
        height[swept.where] = (
            (radii[s] * fine)
            * (0.35 * body + 0.16 * ridge + 0.13 * texture + 0.25 * offset[0, s])
            * (1.1 - 0.5 * swept.along)
        )
    shade, highlight = light(height.reshape(fine, fine), 0.55, 0.3)
    picture = colour.reshape(fine, fine, 3) * shade[..., None] + highlight[..., None]
    return halve(picture)
