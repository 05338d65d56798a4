"""A woodcut: engraved lines that follow the forms and swell with the tone, black on cream."""

import numpy as np

from napari_neural_style.artwork.canvas import Field, colours, grid, mix, noise, smoothstep

PAPER, INK = colours("f3e6c8", "15120f")


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
    x, y = np.broadcast_arrays(*grid(size))
    slow = noise(rng, size, 4, 2)
    hand = noise(rng, size, 80, 2)
    sun_x, sun_y = rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.27)

    # Each region has a phase, whose whole numbers are its lines, and a tone, which is
    # their width. First the sky: rings around the sun, cut through by its rays.
    away = np.hypot(x - sun_x, y - sun_y)
    angle = np.arctan2(y - sun_y, x - sun_x)
    phase = 58 * (away + 0.014 * slow) + 0.3 * np.sin(9 * angle)
    rays = smoothstep(-0.3, 0.6, np.sin(22 * angle + 1.5 * slow))
    tone = 0.36 + 0.62 * away + 0.16 * slow - 0.5 * rays * np.exp(-away / 0.33)
    sun = away < 0.08
    phase[sun], tone[sun] = 95 * away[sun], 0.16
    outline = np.abs(away - 0.08)

    def lay(edge: Field, lines: Field, shade: Field) -> None:
        """Lay a region with its outline over what is there; it lies where `edge` > 0."""
        inside = edge > 0
        phase[inside], tone[inside] = lines[inside], shade[inside]
        outline[inside] = edge[inside]
        near = (edge <= 0) & (edge > -0.01)
        outline[near] = np.minimum(outline[near], -edge[near])

    # Mountains: straight lines, bent by a relief that is lit from the left.
    for k, level in enumerate((0.41, 0.50, 0.58)):
        crest = noise(rng, size, (1, 5), 5, 0.5)[size // 2]
        below = y - (level - (0.06 - 0.008 * k) * crest)
        relief = -np.abs(noise(rng, size, (4, 9), 4, 0.5) + 2.2 * below)
        steep = np.gradient(relief, axis=1) * size
        lines = (70 + 6 * k) * (0.9 * x + (0.55 if k % 2 else -0.5) * below) + 1.9 * relief
        lay(below, lines, 0.52 - 0.5 * np.tanh(0.11 * steep) - 0.25 * below)

    # The lake: lines that open towards the eye, ride on waves and part under the sun.
    shore = y - 0.66 - 0.01 * np.sin(9 * x)
    depth = np.maximum(shore, 0)
    waves = noise(rng, size, (9, 4), 2)
    swell = np.sin(2 * np.pi * (5 * x + 6 * depth) + 1.6 * waves) * (0.003 + 0.045 * depth)
    glitter = np.exp(-(((x - sun_x) / (0.06 + 0.5 * depth)) ** 2))
    lines = 36 * np.log1p(5.5 * depth + 3 * swell + 0.03 * waves)
    lay(shore, lines, 0.6 + 0.22 * waves + 7 * swell - 0.45 * glitter)

    # Firs on the near bank: nearly black, nicked with light along the boughs.
    bank = y - 0.93 + 0.07 * np.sin(5 * x + rng.uniform(0, 6)) ** 2 + 0.004 * hand
    lay(bank, 40 * (y + 0.25 * x) + 1.5 * slow, 0.72 + 0.15 * slow)
    places = np.concatenate([rng.uniform(-0.02, 0.22, 5), rng.uniform(0.75, 1.02, 6)])
    for fir_x, tall in zip(places, rng.uniform(0.2, 0.42, len(places)), strict=True):
        down = y - (0.97 - tall)
        boughs = 1 - (down / tall * 9 + 0.4 * hand * down) % 1
        half = 0.2 * down * (1.15 - 0.55 * boughs) + 0.002 * hand
        edge = np.minimum(half - np.abs(x - fir_x), 0.98 - y)
        nicks = 56 * (down - 0.55 * np.abs(x - fir_x)) + 0.12 * hand
        lit = smoothstep(-0.25, 0.5, (fir_x - x) / (0.2 * tall))
        lay(np.where(down > 0, edge, -1), nicks, 0.95 - 0.45 * lit)

    # The knife wavers; the darkest parts are cut a second time, across.
    tone = np.clip(tone + 0.06 * hand, 0.1, 0.9)

    def engrave(lines: Field, share: Field) -> Field:
        down, right = np.gradient(lines)
        centre = np.abs(lines - np.round(lines))
        covered: Field = (share / 2 - centre) / (np.hypot(down, right) + 1e-4) + 0.5
        return np.clip(covered, 0, 1)

    ink = engrave(phase + 0.05 * hand, tone)
    across = smoothstep(0.72, 1.3, tone)
    across = engrave(0.6 * phase + 60 * (x + 0.6 * y), across) * smoothstep(0, 0.1, across)
    ink = np.maximum(ink, across)
    ink = np.maximum(ink, smoothstep(0.0036, 0.0022, outline + 0.0008 * hand))
    worn = smoothstep(2.1, 2.8, noise(rng, size, (260, 20), 2))
    fibre = noise(rng, size, 150, 2)
    paper = PAPER * (1 + 0.03 * fibre)[..., None]
    press = INK * (1 + 0.5 * noise(rng, size, 200))[..., None]
    return mix(paper, press, ink * (1 - 0.5 * worn) * (0.97 - 0.03 * fibre))
