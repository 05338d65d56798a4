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
# What a further pixel takes, to what each of the larger image's takes. Where it is not between
# these, other programs may have held up one of the two, and both are tried again, so often.
_PLAUSIBLE: Final = (0.5, 1.1)
_ATTEMPTS: Final = 5
# … but not for longer than so many seconds.
_PATIENCE: Final = 1.0
# It never takes less than this: an image is not painted faster for being larger.
_LEAST: Final = 0.1

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
    small = _Trial(prepare, sides[0], until)
    large = _Trial(prepare, sides[1], until) if time.perf_counter() < until else small
    per_pixel = large.seconds / large.pixels
    if large.pixels > small.pixels:
        per_pixel = _per_further_pixel(small, large, until)
    fixed = max(0.0, small.seconds - per_pixel * small.pixels)
    seconds = []
    for height, width in shapes:
        # Larger images leave the caches, and are computed again instead of kept.
        doublings = max(0.0, math.log2(max(height, width) / 512))
        seconds.append(fixed + per_pixel * height * width * (1 + 0.18 * doublings))
    return seconds


def _per_further_pixel(small: "_Trial", large: "_Trial", until: float) -> float:
    """Seconds that each pixel adds to a step; both trials are repeated where that is doubtful."""
    patience = time.perf_counter() + _PATIENCE
    for attempt in range(_ATTEMPTS):
        if attempt:
            small.repeat()
            large.repeat()
        slope = (large.seconds - small.seconds) / (large.pixels - small.pixels)
        mean = large.seconds / large.pixels
        least, most = (share * mean for share in _PLAUSIBLE)
        if least < slope < most:
            return slope
        if time.perf_counter() > min(until, patience):
            return min(max(slope, least), most)
    # No chance: small images keep a graphics card waiting.
    return max(slope, _LEAST * mean)


class _Trial:
    """Steps on a small image; where there is little time, one."""

    def __init__(self, prepare: Prepare, side: int, until: float) -> None:
        self.pixels, self._step = prepare(side)
        self._until = until
        self.seconds = math.inf
        """The least that a step took."""
        self.repeat()

    def repeat(self) -> None:
        """Make some more."""
        times: list[float] = []
        # The first warms up; slow ones are not repeated more than once.
        while not times or (
            len(times) < 3 and sum(times[1:]) < _SECONDS and time.perf_counter() < self._until
        ):
            start = time.perf_counter()
            self._step()
            times.append(time.perf_counter() - start)
        self.seconds = min(self.seconds, *times)
