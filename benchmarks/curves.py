"""What a run showed and when, and what a judge makes of it."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

Image = npt.NDArray[np.floating[Any]]
Picture = npt.NDArray[np.uint16]
Loss = Callable[[Image], float]

# Of these every picture is judged; of the rest, every so many.
_FIRST_PICTURES, _FIRST_SECONDS = 40, 2.0


class Recording:
    """Pictures of a run, each with the seconds since the start at which it was there.

    What keeping them costs does not count. They are kept in 16 bits, which changes a loss
    less than float32 does.

    Parameters
    ----------
    started : float, optional
        When the run started, by ``time.perf_counter``; now, if not given.
    """

    def __init__(self, started: float | None = None) -> None:
        self.times: list[float] = []
        self.pictures: list[Picture | None] = []
        self._started = time.perf_counter() if started is None else started

    def show(self, picture: Callable[[], Image]) -> None:
        """Keep what `picture` returns, (H, W, 3) in [0, 1]; None if it is not finite."""
        now = time.perf_counter()
        self.times.append(now - self._started)
        image = picture()
        finite = bool(np.isfinite(image).all())
        levels = np.rint(np.clip(image, 0, 1) * 65535) if finite else None
        self.pictures.append(None if levels is None else levels.astype(np.uint16))
        self._started += time.perf_counter() - now

    def image(self, index: int) -> Image:
        """Return a picture as float32 in [0, 1]; NaN throughout if it was not finite."""
        picture = self.pictures[index]
        if picture is None:
            return np.full((16, 16, 3), np.nan, np.float32)
        return picture.astype(np.float32) / 65535


class Curve(NamedTuple):
    """Losses, each holding from its time until the next one's, in seconds."""

    times: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]

    def at(self, second: float) -> float:
        """Loss at a time; infinite before the first picture, or where it is not finite."""
        index = int(np.searchsorted(self.times, second, side="right")) - 1
        loss = math.inf if index < 0 else float(self.losses[index])
        return math.inf if math.isnan(loss) else loss

    def reaches(self, loss: float) -> float:
        """Return the time of the first loss that is not above this one; infinite if none is."""
        below = np.flatnonzero(self.losses <= loss)
        return float(self.times[below[0]]) if len(below) else math.inf

    def best_so_far(self) -> Self:
        """Return the curve of the lowest loss up to each time."""
        return self._replace(losses=np.fmin.accumulate(self.losses))

    def to_json(self) -> dict[str, list[float | None]]:
        """Plain data; JSON has no NaN."""
        losses = [loss if math.isfinite(loss) else None for loss in self.losses.tolist()]
        return {"seconds": self.times.tolist(), "losses": losses}

    @classmethod
    def from_json(cls, data: dict[str, list[float | None]]) -> Self:
        """Take back what :meth:`to_json` gave."""
        return cls(*(np.array(data[name], np.float64) for name in ("seconds", "losses")))


def judged(
    recording: Recording,
    judge: Loss,
    every: int,
    title: str,
    also: Collection[int] = (),
    targets: Sequence[float] = (),
) -> Curve:
    """Judge the pictures of a recording.

    Parameters
    ----------
    recording : Recording
        The pictures.
    judge : callable
        Loss of a picture.
    every : int
        After the first ones, every so many pictures are judged.
    title : str
        Names the progress bar.
    also : collection of int
        Pictures that are judged in any case.
    targets : sequence of float
        Losses whose first undercutting is found to the picture.
    """
    last = len(recording.times) - 1
    chosen = [
        i
        for i, seconds in enumerate(recording.times)
        if i < _FIRST_PICTURES or seconds < _FIRST_SECONDS or not i % every or i in {last, *also}
    ]
    losses = {i: judge(recording.image(i)) for i in tqdm(chosen, f"judging {title}")}
    for target in targets:
        below = next((i for i in sorted(losses) if losses[i] <= target), 0)
        for i in reversed(range(below)):
            if i in losses:
                break
            losses[i] = judge(recording.image(i))
    indices = sorted(losses)
    times = np.array([recording.times[i] for i in indices])
    return Curve(times, np.array([losses[i] for i in indices]))
