"""The guard: no run ends in NaN, black or grey."""

import math
from typing import Any, Final

import torch

from napari_neural_style.transfer.state import State, number, tensor, whole

# L-BFGS without line search makes finite excursions of many decades and comes back by
# itself; a loss this many times the lowest is an explosion only if it stays there.
_HIGH: Final = 10.0
_PATIENCE: Final = 25
# At the end of a run there is no coming back: a black image may have no more than thrice the
# lowest loss.
_HIGH_AT_END: Final = 2.0
# Going back so many times in a row, with no lower loss in between, is enough.
_RETURNS: Final = 6
# On a GPU, looking at the loss waits for the device: not at every evaluation.
_LOOK_EVERY: Final = 20


def look_every(device: torch.device) -> int:
    """Evaluations from one look at a loss on a device to the next."""
    return 1 if device.type == "cpu" else _LOOK_EVERY


class Guard:
    """Keeps the image of the lowest loss, and says when a run has left the rails.

    It only looks: a run that needs no guard is the same with it.

    Parameters
    ----------
    variable : torch.Tensor
        The image at the start.
    exact : bool
        Keep the best image to the last bit; otherwise to eleven bits, in half the memory.
    """

    def __init__(self, variable: torch.Tensor, exact: bool = True) -> None:
        kept = variable.dtype if exact or variable.itemsize > 4 else torch.float16
        self.best = variable.to(kept, copy=True)
        self.lowest = torch.full((4,), math.inf, dtype=variable.dtype, device=variable.device)
        """Losses of the best image: content, style, total variation, total."""
        self._look_every = look_every(variable.device)
        self._seen = 0
        self._high_since: int | None = None
        self._returns = 0  # in a row, …
        self._returned_to: float | None = None  # … to this loss

    def keep(self, variable: torch.Tensor, losses: torch.Tensor) -> None:
        """Take note of an image and its losses; costs no synchronisation."""
        better = losses[-1] < self.lowest[-1]  # never true for NaN
        torch.where(better, variable.to(self.best.dtype), self.best, out=self.best)
        self.lowest = torch.where(better, losses, self.lowest)

    def forget(self) -> None:
        """Start anew: the objective has changed, its losses do not compare."""
        self.lowest = torch.full_like(self.lowest, math.inf)
        self._high_since = self._returned_to = None

    def begin_at(self, variable: torch.Tensor) -> None:
        """Start anew from an image, of which no loss is known."""
        self.best.copy_(variable)
        self.forget()

    def calm(self) -> None:
        """Wait anew for the run to come down, after it went back."""
        self._high_since = None
        lowest = float(self.lowest[-1])
        self._returns = self._returns + 1 if lowest == self._returned_to else 1
        self._returned_to = lowest if math.isfinite(lowest) else None

    @property
    def has_hope(self) -> bool:
        """Whether any loss was finite."""
        return math.isfinite(float(self.lowest[-1]))

    @property
    def gives_up(self) -> bool:
        """Whether the run went back again and again, and came to nothing better."""
        return self._returns >= _RETURNS

    def alarmed(self, total: torch.Tensor) -> bool:
        """Whether the run should go back to the best image."""
        self._seen += 1
        if self._seen % self._look_every and self._seen > 1:
            return False
        value, lowest = float(total), float(self.lowest[-1])
        if not math.isfinite(value):
            return True
        if value <= _HIGH * lowest:
            self._high_since = None
            return False
        if self._high_since is None:
            self._high_since = self._seen
        # One that goes off again and again is trusted less each time.
        return self._seen - self._high_since >= _PATIENCE >> self._returns

    def ends_high(self, total: float) -> bool:
        """Whether the last loss is no fit end for a run."""
        return not total <= _HIGH_AT_END * float(self.lowest[-1])

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors and numbers."""
        return {
            "best": self.best,
            "lowest": self.lowest,
            "seen": self._seen,
            "high_since": self._high_since,
            "returns": self._returns,
            "returned_to": self._returned_to,
        }

    def load(self, state: State) -> None:
        """Go on from :meth:`state`."""
        best = state["best"]
        # Whether it is exact was decided at the start of the scale, by settings that may since
        # have changed.
        half = getattr(best, "dtype", None) == torch.float16
        kept = torch.float16 if half else self.lowest.dtype
        self.best = tensor(state, "best", self.best.to(kept)).clone()
        if not self.best.isfinite().all():
            raise ValueError("its best image has values that are not finite")
        self.lowest = tensor(state, "lowest", self.lowest)
        if not (self.lowest >= 0).all():
            raise ValueError("its lowest losses are no numbers from 0 up")
        self._seen = whole("seen", state["seen"], 0, 2**62)
        since = state["high_since"]
        self._high_since = None if since is None else whole("high_since", since, 0, self._seen)
        self._returns = whole("returns", state["returns"], 0, 2**62)
        returned_to = state["returned_to"]
        if returned_to is not None:
            returned_to = number("returned_to", returned_to, 0, math.inf)
        self._returned_to = returned_to
