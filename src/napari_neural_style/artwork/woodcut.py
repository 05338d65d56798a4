"""A woodcut: engraved lines that follow the forms and swell with the tone, black on cream."""

import numpy as np

from napari_neural_style.artwork.canvas import Field, colours, grid, halve, mix, noise, smoothstep

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
    fine = 2 * size
    x, y = grid(fine)
    x, y = np.broadcast_arrays(x, y)
    slow = noise(rng, fine, 4, 2)
    form = noise(rng, fine, 7, 3)
    sun_x, sun_y = rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.28)

    # For each region: the phase whose whole numbers are the lines, and the tone.
    away = np.hypot(x - sun_x, y - sun_y)
    angle = np.arctan2(y - sun_y, x - sun_x)
    phase = 62 * (away + 0.012 * slow + 0.01 * np.sin(11 * x + 3 * slow))
    tone = 0.2 + 0.75 * away + 0.2 * form
    rays = np.sin(24 * angle + 1.2 * slow)
    tone = tone - 0.28 * smoothstep(-0.2, 0.5, rays) * np.exp(-away / 0.4)
    tone[away < 0.075] = 0.03
    outline = np.abs(away - 0.075)

    def lay(inside: Field, edge: Field, lines: Field, shade: Field) -> None:
        phase[inside], tone[inside] = lines[inside], shade[inside]
        np.minimum(outline, np.abs(edge), out=outline, where=inside | (np.abs(edge) < 0.01))

    for k, level in enumerate((0.4, 0.48, 0.57)):
        rough = noise(rng, fine, (2, 5), 5, 0.55)[fine // 2][None, :]
        ridge = level - (0.065 - 0.01 * k) * rough + 0.03 * np.sin(5 * x + 2 * k)
        below = y - ridge
        face = np.gradient(ridge, axis=1) * fine
        folds = noise(rng, fine, (4, 11), 3)
        lines = (54 + 6 * k) * (
            x * (1 - 0.15 * k) + (0.5 - 0.9 * (face > 0)) * below + 0.03 * folds
        )
        shade = 0.42 + 0.5 * np.tanh(1.3 * face) + 0.22 * folds - 0.5 * below
        lay(below > 0, below, lines, shade)
    waves = noise(rng, fine, (9, 4), 2)
    shore = y - (0.66 + 0.012 * np.sin(9 * x))
    depth = np.maximum(shore, 0)
    swell = np.sin(2 * np.pi * (5 * x + 3 * depth) + 1.3 * waves) * (0.004 + 0.05 * depth)
    lines = 34 * np.log1p(5.5 * depth + 3 * swell + 0.04 * waves)
    shade = (
        0.5 + 0.32 * waves + 5 * swell - 0.5 * np.exp(-(((x - sun_x) / (0.05 + 0.5 * depth)) ** 2))
    )
    lay(shore > 0, shore, lines, shade)

    # The knife: lines waver, swell and break off; dark parts are cut a second time across.
    hand = noise(rng, fine, 90, 2)
    tone = np.clip(tone + 0.05 * hand, 0.06, 0.93)

    def engrave(line_phase: Field, share: Field) -> Field:
        down, right = np.gradient(line_phase)
        width = np.hypot(down, right) + 1e-4
        centre = np.abs(line_phase - np.round(line_phase))
        return np.clip((share / 2 - centre) / width + 0.5, 0, 1)

    ink = engrave(phase + 0.06 * hand, tone)
    cross = engrave(0.75 * (phase + 80 * (x + 0.6 * y)), smoothstep(0.62, 1.1, tone))
    ink = np.maximum(ink, cross)
    ink = np.maximum(ink, smoothstep(0.0042, 0.0028, outline + 0.0008 * hand))
    grain = noise(rng, fine, (300, 12), 2)
    ink = ink * (1 - 0.8 * smoothstep(1.7, 2.3, grain))
    fibre = noise(rng, fine, 150, 2)
    paper = PAPER * (1 + 0.03 * fibre)[..., None]
    press = INK * (1 + 0.5 * noise(rng, fine, 200))[..., None]
    return halve(mix(paper, press, ink * (0.96 - 0.03 * fibre)))
