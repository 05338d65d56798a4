"""The coarse-to-fine schedule: sizes and steps of each scale."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from napari_neural_style.settings import Settings

# The smallest scale of `auto`: strokes of the style still fit, structure still shows.
_COARSEST = 128


class Scale(NamedTuple):
    """One scale of a run."""

    height: int
    width: int
    steps: int


def plan_scales(settings: Settings, height: int, width: int, least_side: int) -> list[Scale]:
    """Plan the scales of a content of a size.

    Parameters
    ----------
    settings : Settings
        ``scales``, ``size`` and ``steps`` are used.
    height, width : int
        Of the content, in pixels.
    least_side : int
        Least side that the encoder takes, in pixels.

    Raises
    ------
    ValueError
        If the content is too small, or ``steps`` does not fit the scales.
    """
    longest = max(height, width)
    if settings.scales == "auto":
        sides = _auto_sides(settings.size or longest, min(height, width) / longest, least_side)
        if isinstance(settings.steps, int) and settings.budget is None:
            sides = sides[-settings.steps :]  # no scale goes without a step
    else:
        assert not isinstance(settings.scales, str)
        factor = settings.size / settings.scales[-1] if settings.size else 1.0
        sides = [max(1, round(side * factor)) for side in settings.scales]
    shapes = [fit(height, width, side) for side in sides]
    for shape in shapes:
        if min(shape) < least_side:
            raise ValueError(
                f"The content ({width} x {height} pixels) would be {shape[1]} x {shape[0]} pixels "
                f"at the scale {max(shape)}, and the layers in use need at least {least_side} each "
                "way: choose a larger size, a wider content, or layers that are less deep."
            )
    steps = _steps(settings, len(shapes))
    return [Scale(*shape, n) for shape, n in zip(shapes, steps, strict=True)]


def fit(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width whose longer one is ``side``, in the same proportion."""
    if height >= width:
        return side, max(1, round(width * side / height))
    return max(1, round(height * side / width)), side


def _auto_sides(longest: int, aspect: float, least_side: int) -> list[int]:
    sides = [longest]
    while sides[0] / 2 >= _COARSEST and sides[0] / 2 * aspect >= least_side:
        sides.insert(0, round(sides[0] / 2))
    return sides


def step_shares(settings: Settings, count: int) -> list[float]:
    """Steps of each of so many scales relative to the others."""
    if isinstance(settings.steps, tuple):
        return [float(steps) for steps in settings.steps]
    # Twice the size costs four times as much and has less left to do.
    return [settings.method.steps_ratio ** (count - i) for i in range(count)]


def _steps(settings: Settings, count: int) -> Sequence[int]:
    if isinstance(settings.steps, tuple):
        if len(settings.steps) != count:
            raise ValueError(
                f"steps={settings.steps} has {len(settings.steps)} numbers, and this run has "
                f"{count} scales: give one number per scale, or one number for all together."
            )
        return settings.steps
    if settings.budget is not None:
        return [1] * count  # planned when it is known what a step takes
    if settings.steps < count:
        raise ValueError(
            f"steps={settings.steps} is less than one for each of the {count} scales: "
            "give more steps, or fewer scales."
        )
    shares = step_shares(settings, count)
    spare = settings.steps - count  # beyond one for each scale
    steps = [1 + int(spare * share / sum(shares)) for share in shares]
    steps[0] += settings.steps - sum(steps)
    return steps


def resize(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize (1, C, H, W) bilinearly, antialiased; the same tensor if it has the size."""
    if image.shape[2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bilinear", antialias=True)
