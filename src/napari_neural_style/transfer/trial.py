"""What a step of each scale will take, from steps on small images."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

# Longest sides of the two images.
_SIDES: Final = (96, 192)
# Steps beyond the first are repeated for so long.
_SECONDS: Final = 0.1
# The trial may take about so much of a budget.
_SHARE: Final = 0.1

Prepare = Callable[[int], tuple[int, Callable[[], object]]]
"""From a longest side: the pixels of an image, and a step on it that waits for its end."""


def step_seconds(
    prepare: Prepare, shapes: Sequence[tuple[int, int]], budget: float | None
) -> list[float]:
    """Estimate the seconds of a step on images of some shapes.

    Parameters
    ----------
    prepare : callable
        Prepares a trial.
    shapes : sequence of tuple of int
        Height and width of each scale, coarse to fine.
    budget : float or None
        Seconds of the whole run, if they are limited: of little time the trial takes less.
    """
    until = time.perf_counter() + (math.inf if budget is None else _SHARE * budget)
    sides = [min(side, max(shapes[-1])) for side in _SIDES]
    few, small = _try(prepare, sides[0], until)
    many, large = few, small
    if time.perf_counter() < until:
        many, large = _try(prepare, sides[1], until)
    per_pixel = (large - small) / (many - few) if many > few else large / many
    fixed = max(0.0, small - per_pixel * few)
    seconds = []
    for height, width in shapes:
        # Larger images leave the caches, and are computed again instead of kept.
        doublings = max(0.0, math.log2(max(height, width) / 512))
        seconds.append(fixed + per_pixel * height * width * (1 + 0.18 * doublings))
    return seconds


def _try(prepare: Prepare, side: int, until: float) -> tuple[int, float]:
    """Pixels of a small image and the seconds of a step on it; for little time one step."""
    pixels, step = prepare(side)
    times: list[float] = []
    # The first warms up; slow ones are not repeated more than once.
    while not times or (
        len(times) < 3 and sum(times[1:]) < _SECONDS and time.perf_counter() < until
    ):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return pixels, min(times)
