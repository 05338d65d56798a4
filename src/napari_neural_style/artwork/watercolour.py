"""Watercolour: translucent washes that bleed, granulate and dry with dark edges on rough paper."""

import numpy as np

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
    grain = noise(rng, size, 130, 3, 0.8)
    pits = np.clip(-grain, 0, 2)
    # Washes take their outlines from windows on large noise fields.
    outline = noise(rng, 2 * size, 12, 6, 0.6)
    clouds = noise(rng, 2 * size, 8, 6, 0.62)

    absorbed = np.zeros((size, size, 3), np.float32)
    load = np.zeros((size, size), np.float32)
    for count, low, high, strength in (
        (15, 0.18, 0.34, 0.55),
        (60, 0.05, 0.13, 0.85),
        (130, 0.016, 0.05, 1.0),
        (220, 0.003, 0.011, 1.1),
    ):
        for _ in range(count):
            cx, cy = rng.uniform(-0.05, 1.05, 2)
            radius = rng.uniform(low, high)
            squeeze, angle = rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
            hue = 10 * (0.55 * cx + 0.45 * cy) + rng.normal(0, 1.0)
            windows = rng.random((2, 2))
            wet, dose = rng.random(), strength * rng.uniform(0.5, 1.1)
            pull = rng.normal(0, 0.5, 2)

            # Only the part of the frame that the wash can reach.
            reach = 1.7 * radius
            top, bottom, left, right = (
                int(np.clip(at * size, 0, size))
                for at in (cy - reach, cy + reach + 1 / size, cx - reach, cx + reach + 1 / size)
            )
            here = (slice(top, bottom), slice(left, right))
            if bottom <= top or right <= left:
                continue
            dx, dy = x[:, left:right] - cx, y[top:bottom] - cy
            (oy, ox), (qy, qx) = (windows * size).astype(int)
            shape = outline[oy + top : oy + bottom, ox + left : ox + right]
            cloud = clouds[qy + top : qy + bottom, qx + left : qx + right]
            long = np.cos(angle) * dx + np.sin(angle) * dy
            short = (np.cos(angle) * dy - np.sin(angle) * dx) / squeeze
            inward = 1 - np.hypot(long, short) / radius + 0.2 * shape

            # Wet in wet the edge bleeds; else it is crisp, and pigment dries along it.
            bleed = 0.01 / radius * 0.3 + 0.6 * wet * smoothstep(-0.2, 1.3, cloud)
            body = np.clip(inward / bleed, 0, 1)
            rim = np.exp(-(((inward * radius - 0.003) / 0.0035) ** 2)) * (inward > 0)
            rim *= smoothstep(0.35, 0.05, bleed)
            bloom = np.exp(-(((cloud - 0.75) / 0.12) ** 2)) - smoothstep(0.75, 1.3, cloud)
            pool = 1 + 0.25 * cloud + 0.4 * bloom + (pull[0] * dx + pull[1] * dy) / radius
            amount = dose * body * (np.maximum(pool, 0.2) + 0.28 * pits[here] + rim)
            # Where much pigment lies already, a new wash lifts it rather than adds to it.
            amount *= np.exp(-1.1 * load[here])
            load[here] += amount
            pigment = PIGMENTS[int(hue) % len(PIGMENTS)]
            absorbed[here] -= amount[..., None] * np.log(pigment * 0.97 + 0.02)
    shade, _ = light(grain * (size / 512), 0.14)
    picture: Field = PAPER * np.exp(-1.15 * absorbed) * shade[..., None]
    return picture
