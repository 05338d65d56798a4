"""A synthetic fluorescence micrograph: cultured cells with nuclei, actin and mitochondria."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_neural_style.artwork.canvas import (
    Field,
    grid,
    halve,
    noise,
    sample,
    smoothstep,
    trace,
    voronoi,
)

PIXEL_SIZE = 0.16
"""Micrometres, at 512 pixels a side; the frame is 82 µm wide."""


def _deposit(x: Field, y: Field, density: Field, length: Field, size: int) -> Field:
    """Lay fluorophores along paths (n, points), with a density for every point."""
    fine = 2 * size
    weight = density * (length * fine / x.shape[1])[:, None]
    inside = (x >= 0) & (x < 1) & (y >= 0) & (y < 1)
    flat = (y[inside] * fine).astype(np.int64) * fine + (x[inside] * fine).astype(np.int64)
    total = np.bincount(flat, weight[inside], fine * fine)
    return halve(total.reshape(fine, fine).astype(np.float32))


def expose(size: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Expose a synthetic camera to cells that are drawn by code.

    Cells share the frame as in a confluent culture. Actin is laid as stress
    fibres along the axis of each cell and as a rim, mitochondria as short worms
    around the nucleus. A Gaussian stands for the point spread function, and the
    counts carry Poisson noise over a camera offset of 100.

    Parameters
    ----------
    size : int
        Pixels along each side.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of uint16, (3, size, size)
        Counts of the nuclei, the actin and the mitochondria.
    """
    side = 4
    column, row = np.meshgrid(np.arange(-1, side + 1), np.arange(-1, side + 1))
    jitter = rng.uniform(-0.28, 0.28, (2, side + 2, side + 2))
    cx = ((column + 0.5 + 0.5 * (row % 2) - 0.25 + jitter[0]) / side).ravel()
    cy = ((row + 0.5 + jitter[1]) / side).ravel()
    centres = np.stack([cx, cy], -1)
    axis = (0.6 + rng.normal(0, 0.55, len(cx))).astype(np.float32)
    brightness = rng.lognormal(0, 0.25, (3, len(cx))).astype(np.float32)

    x, y = grid(size)
    x = x + 0.022 * noise(rng, size, 7, 4)
    y = y + 0.022 * noise(rng, size, 7, 4)
    label, edge = voronoi(centres, x, y)
    dx, dy = x - cx[label], y - cy[label]
    # Bare patches, which keep clear of the nuclei.
    bare = noise(rng, size, 6, 3) - 2.6 * np.exp(-(dx**2 + dy**2) / 0.09**2)
    edge = np.minimum(edge, (1.15 - bare) * 0.045)
    body = smoothstep(0.004, 0.02, edge)

    # Nuclei: warped ellipses along the cell, with chromatin and dark nucleoli.
    long = np.cos(axis)[label] * dx + np.sin(axis)[label] * dy
    short = np.cos(axis)[label] * dy - np.sin(axis)[label] * dx
    girth = rng.uniform(0.8, 1.15, len(cx)).astype(np.float32)[label]
    radius = np.hypot(long / 0.062, short / 0.043) / girth
    inside = smoothstep(1.05, 0.93, radius)
    chromatin = 1 + 0.28 * noise(rng, size, 60, 3, 0.8) + 0.12 * radius
    nucleoli = 1 - 0.6 * smoothstep(1.3, 1.9, noise(rng, size, 34, 1))
    nuclei = inside * chromatin * nucleoli * brightness[0][label]

    wander = noise(rng, 256, 9, 2)
    tumble = noise(rng, 256, 26, 2)

    def along_cell(px: Field, py: Field) -> tuple[Field, Field]:
        angle = axis[sample(label, px, py)] + 0.22 * sample(wander, px, py)
        return np.cos(angle), np.sin(angle)

    def tangled(px: Field, py: Field) -> tuple[Field, Field]:
        angle = 2.4 * sample(tumble, px, py)
        return np.cos(angle), np.sin(angle)

    start = rng.random((2, 2600), np.float32)
    length = rng.uniform(0.06, 0.3, 2600).astype(np.float32)
    power = rng.lognormal(-0.6, 0.9, 2600).astype(np.float32)
    px, py = trace(start[0], start[1], along_cell, length, 2 * max(32, size // 2))
    own = sample(label, px, py) == sample(label, start[0], start[1])[:, None]
    fibres = _deposit(px, py, own * power[:, None] * sample(body, px, py), length, size)
    fibres = 1.3 * fibres * (1 - 0.45 * inside)
    rim = np.exp(-((edge - 0.012) ** 2) / 0.000035) * (0.6 + 0.35 * noise(rng, size, 24, 3))
    actin = (fibres + 0.5 * np.maximum(rim, 0) + 0.13 * body) * brightness[1][label]

    start = rng.random((2, 9000), np.float32)
    length = rng.uniform(0.008, 0.034, 9000).astype(np.float32)
    px, py = trace(start[0], start[1], tangled, length, 2 * max(8, size // 16))
    outside = sample(radius, px, py)
    near = np.exp(-((outside - 1.2) ** 2) / 0.5) * (outside > 1)
    worms = _deposit(px, py, near * sample(body, px, py), length, size)
    mitochondria = (worms + 0.05 * body) * brightness[2][label]

    counts = []
    for emitters, photons in ((nuclei, 900), (actin, 900), (mitochondria, 1000)):
        focused = ndimage.gaussian_filter(emitters, 0.9 * size / 512)
        haze = ndimage.gaussian_filter(emitters, 9 * size / 512)
        counts.append(rng.poisson(np.maximum(photons * (0.85 * focused + 0.15 * haze) + 12, 0)))
    exposed: NDArray[np.uint16] = np.minimum(np.array(counts) + 100, 65535).astype(np.uint16)
    return exposed
