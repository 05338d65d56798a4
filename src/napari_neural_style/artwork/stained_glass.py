"""Stained glass: a sun over water, in leaded cells of streaky glass with the light behind."""

import numpy as np
from scipy import ndimage

from napari_neural_style.artwork.canvas import (
    Field,
    colours,
    grid,
    light,
    mix,
    noise,
    ramp,
    scatter,
    smoothstep,
    voronoi,
)

SUN = colours("fff3b0", "ffd23f", "ff9f1c", "f4511e", "c2185b", "7b1fa2")
SKY = colours("1a237e", "1565c0", "00a0d6", "2ec4b6", "7b2d9b", "c2186b")
WATER = colours("003f5c", "00695c", "00a896", "1b998b", "0d47a1", "7cb518", "f9c80e")
LEAD = colours("17161a")[0]


def _plan(rng: np.random.Generator, sun: Field, horizon: float) -> Field:
    """Return the seeds (n, 2) of the panes.

    Rings of wedges lie around the sun, loose panes beyond them, flat panes on the water.
    """
    rings = []
    for ring, count in enumerate((1, 7, 12, 18, 24)):
        angle = (np.arange(count) + rng.random()) / count * 2 * np.pi
        reach = (0.075 * ring**1.12) * rng.uniform(0.96, 1.04, count)
        rings.append(np.stack([np.cos(angle), np.sin(angle)]) * reach + sun[:, None])
    rays = np.concatenate(rings, 1)
    loose = np.array(scatter(rng, 210))
    away = np.hypot(*(loose - sun[:, None]))
    loose = loose[:, (away > 0.41) & (loose[1] < horizon - 0.02)]
    flat = np.array(scatter(rng, 230))
    flat = flat[:, flat[1] > horizon]
    rays = rays[:, rays[1] < horizon - 0.02]
    return np.concatenate([rays, loose, flat], 1).T.astype(np.float32)


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
    sun = np.array([rng.uniform(0.3, 0.7), rng.uniform(0.28, 0.4)])
    horizon = rng.uniform(0.6, 0.68)

    seeds = _plan(rng, sun, horizon)
    n = len(seeds)
    hue, depth, slant = rng.random((3, n), np.float32)
    tilt = rng.uniform(0, 2 * np.pi, n).astype(np.float32)
    opal = rng.random(n, np.float32)

    x, y = grid(size)
    x = x + 0.010 * noise(rng, size, 5, 2)
    y = y + 0.010 * noise(rng, size, 5, 2)
    below = y > horizon + 0.01 * np.sin(14 * x)
    cell = np.empty((size, size), np.int32)
    edge = np.empty((size, size), np.float32)
    wet = seeds[:, 1] > horizon
    # On the water distances count more up and down, so that the panes lie flat.
    for region, chosen, steep in ((~below, ~wet, 1.0), (below, wet, 1.9)):
        places = seeds[chosen] * np.array([1, steep], np.float32)
        index, edge[region] = voronoi(places, x[region], y[region] * np.float32(steep))
        cell[region] = np.flatnonzero(chosen)[index]
    edge = np.minimum(edge, np.abs(y - horizon - 0.01 * np.sin(14 * x)))

    # Glass: a colour for each pane, a gradient over it, streaks, ripples and bubbles.
    centre = seeds[cell]
    from_sun = np.hypot(*(seeds.T - sun[:, None]))
    sunny = ramp(from_sun / 0.36 + 0.3 * (hue - 0.5), SUN)
    pane = np.where((from_sun < 0.4)[:, None], sunny, ramp(0.8 * hue + 0.3 * depth, SKY))
    glitter = np.exp(-(((seeds[:, 0] - sun[0]) / 0.1) ** 2))
    water = mix(ramp(hue, WATER), ramp(0.15 + 0.5 * depth, SUN), glitter * 0.85)
    pane = np.where(wet[:, None], water, pane)
    local_x, local_y = x - centre[..., 0], y - centre[..., 1]
    across = (local_x * np.cos(tilt)[cell] + local_y * np.sin(tilt)[cell]) / 0.06
    warp = noise(rng, size, (22, 9), 4, 0.65)
    streaks = noise(rng, size, (9, 40), 4, 0.6)
    texture = np.where(slant[cell] > 0.5, warp, streaks)
    value = 0.95 + 0.28 * across * (0.3 + depth[cell]) + 0.22 * texture + 0.25 * (hue[cell] - 0.5)
    glass = pane[cell] * np.maximum(value, 0.15)[..., None]
    opal_share = np.clip(0.5 * opal[cell] * smoothstep(0.1, 1.6, texture), 0, 1)
    glass = mix(glass, colours("fff7e0")[0], opal_share)
    ripple = noise(rng, size, 64, 3, 0.8)
    shade, gleam = light(ripple * size / 512, 0.5, 0.25)
    bubbles = smoothstep(2.3, 2.9, noise(rng, size, 110))
    glass = glass * shade[..., None] + (gleam + 0.35 * bubbles)[..., None]

    # Lead: round cames, wider at random, with grime at their sides.
    width = 0.0052 + 0.0012 * noise(rng, size, 12, 2)
    glass *= (0.35 + 0.65 * smoothstep(0.0, 0.016, edge - width))[..., None]
    glow = ndimage.gaussian_filter(glass, (0.012 * size, 0.012 * size, 0))
    glass = glass + 0.22 * glow * glow
    profile = np.sqrt(np.clip(1 - (edge / width) ** 2, 0, 1)) * (width * size)
    shade, gleam = light(profile + 0.25 * ripple, 0.9, 0.45)
    lead = LEAD * (1.6 * shade[..., None]) + gleam[..., None] * 0.5 + 0.06 * glow
    return mix(glass, lead, smoothstep(0.75, -0.75, (edge - width) * size))
