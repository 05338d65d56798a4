"""A content and a style to compare runs on."""

import numpy as np


def pair(height: int = 36, width: int = 52) -> tuple[np.ndarray, np.ndarray]:
    """Content and style, (height, width, 3) float64 within (0, 1).

    Smooth shapes for the network to see, and a little noise: in a flat area, the ties of max
    pooling would be broken by rounding. The values are no multiples of 1/255 and no float32
    numbers, so that a conversion on the way shows.
    """
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / max(height, width)
    phase = np.arange(3)
    waves = np.sin(30 * (x + 0.4 * np.sin(6 * y)))[..., None]
    content = 0.5 + 0.3 * waves * np.cos(phase) + 0.1 * np.cos(17 * y)[..., None]
    disc = 1 / (1 + np.exp(40 * (np.hypot(x - 0.5, y - 0.35) - 0.2)))[..., None]
    shade = np.sin(5 * x + 3 * y)[..., None]
    style = 0.3 + 0.4 * disc + 0.05 * shade * (1 + phase)
    noise = rng.normal(scale=0.03, size=(2, height, width, 3))
    return tuple(np.clip(np.stack([content, style]) + noise, 0.01, 0.99))
