"""A small moving stack, and settings that paint it in moments."""

import numpy as np
import pytest

QUICK = {
    "preset": "fast",
    "steps": 6,
    "scales": (32,),
    "precision": "float32",
    "device": "cpu",
}


def moving(planes=4, seed=0):
    """Return counts of a camera, (planes, 32, 32) uint16: a cell that drifts over others."""
    y, x = np.mgrid[:32, :32] / 32
    rng = np.random.default_rng(seed)
    ground = 2000 * np.sin(9 * x + 5 * y) ** 2 + 100 * rng.random((32, 32))
    cells = [9000 * np.exp(-50 * ((x - 0.3 - t / 20) ** 2 + (y - 0.5) ** 2)) for t in range(planes)]
    stack = (ground + np.stack(cells) + 500).astype(np.uint16)
    # The contrast limits, whichever planes are looked at.
    stack[:, 0, 0], stack[:, 0, 1] = 400, 12000
    return stack


def stripes():
    """Return a style, (32, 32, 3) uint8."""
    y, x = np.mgrid[:32, :32] / 32
    return (255 * np.stack([np.sin(30 * x) ** 2, np.sin(20 * y + 9 * x) ** 2, y], -1)).astype("u1")


@pytest.fixture
def stack():
    return moving()


@pytest.fixture
def style():
    return stripes()
