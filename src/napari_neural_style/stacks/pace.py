"""How long the rest of a stack will take."""

import statistics
import time

from napari_neural_style.stacks.axes import Index

# A plane that starts from its neighbour takes about so much of the time of one that does not,
# as long as none was seen.
_SHARE = 0.3


class StackPace:
    """The time left, from the planes so far.

    Parameters
    ----------
    anew, following
        How many planes start from nothing, and how many from another one.
    """

    def __init__(self, anew: int, following: int) -> None:
        self._left = {False: anew, True: following}
        self._took: dict[bool, list[float]] = {False: [], True: []}
        self._running: dict[Index, tuple[bool, float, float]] = {}

    def start(self, index: Index, follows: bool) -> None:
        """Note that a plane is begun."""
        self._running[index] = (follows, time.perf_counter(), 0.0)

    def step(self, index: Index, share: float) -> None:
        """Note how much of a plane is done, in [0, 1]."""
        follows, begin, _ = self._running[index]
        self._running[index] = (follows, begin, share)

    def end(self, index: Index, painted: bool) -> None:
        """Note that a plane is over."""
        follows, begin, _ = self._running.pop(index)
        self._left[follows] -= 1
        if painted:
            self._took[follows].append(time.perf_counter() - begin)

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the seconds until all planes are over; None before there is one."""
        anew, following = self._seconds(False), self._seconds(True)
        if anew is None:
            anew = None if following is None else following / _SHARE
        if anew is None:
            return None
        if following is None:
            following = anew * _SHARE
        seconds = self._left[False] * anew + self._left[True] * following
        seconds -= sum(
            share * (following if follows else anew) for follows, _, share in self._running.values()
        )
        return max(seconds, 0.0) / max(1, len(self._running))

    def _seconds(self, follows: bool) -> float | None:
        """Seconds that a plane takes, seen or extrapolated; None if nothing was seen."""
        if self._took[follows]:
            return statistics.median(self._took[follows])
        now = time.perf_counter()
        running = [
            (now - begin) / share
            for kind, begin, share in self._running.values()
            if kind == follows and share
        ]
        return statistics.median(running) if running else None
