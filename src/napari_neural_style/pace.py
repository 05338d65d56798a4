"""How fast a run goes, and how long it will take."""

import statistics
import time
from collections import deque
from collections.abc import Sequence

_REMEMBERED_STEPS = 9


class Pace:
    """Steps per second and the time left, from the steps so far.

    A step's time is the median of the last few, so that a pause does not count, and the
    first step of a scale, which also prepares it, is left out. Coming scales are taken
    to be slower by their number of pixels.

    Parameters
    ----------
    pixels
        Of each scale, coarse to fine.
    """

    def __init__(self, pixels: Sequence[int]) -> None:
        self._pixels = pixels
        self._scale = -1
        self._done = 0
        self._durations: deque[float] = deque(maxlen=_REMEMBERED_STEPS)
        self._last = 0.0
        self.seconds_per_step: float | None = None
        """Seconds that a step takes at the present scale; None before that is known."""

    def step(self, scale: int) -> None:
        """Count one step of a scale."""
        now = time.perf_counter()
        if scale == self._scale:
            self._done += 1
            self._durations.append(now - self._last)
            self.seconds_per_step = statistics.median(self._durations)
        else:
            if self.seconds_per_step is not None:
                self.seconds_per_step *= self._pixels[scale] / self._pixels[self._scale]
            self._scale, self._done = scale, 1
            self._durations.clear()
        self._last = now

    def seconds_left(self, steps: Sequence[int]) -> float | None:
        """Estimate of the seconds until the last step; None before there is one.

        Parameters
        ----------
        steps
            Planned at each scale, which may change.
        """
        if self.seconds_per_step is None:
            return None
        here = self._pixels[self._scale]
        later = zip(self._pixels[self._scale + 1 :], steps[self._scale + 1 :], strict=True)
        steps_here = steps[self._scale] - self._done
        steps_later = sum(count * pixels / here for pixels, count in later)
        return (steps_here + steps_later) * self.seconds_per_step


def duration(seconds: float) -> str:
    """Write a duration as a person would say it: ``8 s``, ``2 min 05 s``, ``1 h 10 min``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def rough_duration(seconds: float) -> str:
    """Write a duration that is only estimated, no more exactly than it is known.

    ``8 s``, ``45 s``, ``2 min 30 s``, ``12 min``, ``1 h 10 min``.
    """
    bounds = ((20, 1), (90, 5), (300, 30), (3600, 60))
    unit = next((unit for bound, unit in bounds if seconds < bound), 600)
    return (
        duration(max(1, round(seconds / unit) * unit)).replace(" 00 s", "").replace(" 00 min", "")
    )
