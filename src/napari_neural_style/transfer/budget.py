"""A time budget: how many steps each scale gets, so that a run ends on time."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

# A scale is worth it from so many steps on; one given up is taken up again with twice that.
_LEAST_STEPS: Final = 5
# What was known before weighs as much as so many measured steps.
_BELIEF: Final = 2.0


class Stopwatch:
    """Measures the time of a run, without its pauses.

    Parameters
    ----------
    clock : callable
        The time in seconds, from any moment on.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._since: float | None = None
        self._before = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds that it has run; may be set."""
        return self._before + (0.0 if self._since is None else self._clock() - self._since)

    @elapsed.setter
    def elapsed(self, seconds: float) -> None:
        self._before = seconds
        self._since = None if self._since is None else self._clock()

    def start(self) -> None:
        """Go on, if it stands."""
        if self._since is None:
            self._since = self._clock()

    def stop(self) -> None:
        """Stand still."""
        self._before, self._since = self.elapsed, None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stand still for a while."""
        running = self._since is not None
        self.stop()
        try:
            yield
        finally:
            if running:
                self.start()


class _Mark(NamedTuple):
    """Where the measurement of a scale began."""

    scale: int
    step: int
    elapsed: float
    factor: float


class Budget:
    """Plans the steps of each scale, and plans anew as their times become known.

    Parameters
    ----------
    seconds : float
        The whole run shall take.
    expected : sequence of float
        Seconds that a step of each scale will take, coarse to fine, by estimate.
    shares : sequence of float
        Steps of each scale relative to the others; a scale of share 0 gets none.
    before, after : float
        What a scale takes before its first step and after its last one, in steps.
    """

    def __init__(
        self,
        seconds: float,
        expected: Sequence[float],
        shares: Sequence[float],
        before: float,
        after: float,
    ) -> None:
        self._seconds = seconds
        self._expected = list(expected)
        self._shares = list(shares)
        self._before, self._after = before, after
        self._last = max(i for i, share in enumerate(shares) if share)
        self._factor = 1.0  # of the estimates, to what was measured
        self._mark: _Mark | None = None

    def plan(
        self, scale: int, step: int, elapsed: float, converged: bool = False
    ) -> tuple[int, ...]:
        """Steps of the scales from the present one on, coarse to fine.

        Parameters
        ----------
        scale, step : int
            The present scale, and the steps made there.
        elapsed : float
            Seconds since the start of the run, when all of these were computed.
        converged : bool
            The present scale gets no more steps.
        """
        self._measure(scale, step, elapsed)
        left = self._seconds - elapsed
        self._choose_last(scale, step, left, converged)
        unit = self._unit(scale, step, left, self._last, converged)
        steps = [
            max(1, round(unit * share)) if share and i <= self._last else 0
            for i, share in enumerate(self._shares[scale:], start=scale)
        ]
        steps[0] = step if converged else max(step, steps[0])
        return tuple(steps)

    def forget(self) -> None:
        """Measure anew from the next step on: steps now take another time."""
        self._mark = None

    def _measure(self, scale: int, step: int, elapsed: float) -> None:
        mark = self._mark
        if mark is None or mark.scale != scale:
            # From the first step on: with it the scale was prepared, too.
            self._mark = _Mark(scale, step, elapsed, self._factor) if step else None
            return
        steps = step - mark.step
        ratio = (elapsed - mark.elapsed) / self._expected[scale]
        self._factor = (_BELIEF * mark.factor + ratio) / (_BELIEF + steps)

    def _choose_last(self, scale: int, step: int, left: float, converged: bool) -> None:
        """Find the finest scale that there is time for."""

        def affords(last: int, steps: int) -> bool:
            return self._unit(scale, step, left, last, converged) * self._shares[last] >= steps

        coming = [i for i, share in enumerate(self._shares) if share and i > scale]
        for finer in coming:
            if finer > self._last and affords(finer, 2 * _LEAST_STEPS):
                self._last = finer
        # However little time there is, there is a picture.
        first = scale if self._shares[scale] or not coming else coming[0]
        while self._last > first and not affords(self._last, _LEAST_STEPS):
            self._last = max((i for i in coming if i < self._last), default=first)

    def _unit(self, scale: int, step: int, left: float, last: int, converged: bool) -> float:
        """Steps of a share of one, such that the scales up to the last take the time left."""
        costs = [expected * self._factor for expected in self._expected]
        later = [i for i in range(scale + 1, last + 1) if self._shares[i]]
        left -= sum((self._before + self._after) * costs[i] for i in later)
        left -= self._after * costs[scale]
        work = sum(self._shares[i] * costs[i] for i in later)
        here = 0.0 if converged else self._shares[scale]
        if here:
            spent = step * costs[scale] if step else -self._before * costs[scale]
            unit = (left + spent) / (work + here * costs[scale])
            if unit * here >= step or not later:
                return max(0.0, unit)
        return max(0.0, left / work) if work else 0.0
