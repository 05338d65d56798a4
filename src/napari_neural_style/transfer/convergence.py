"""Convergence: when a scale has no more to gain."""

from typing import Any

import torch

from napari_neural_style.transfer.guard import look_every
from napari_neural_style.transfer.state import State, tensors, whole


class Convergence:
    """Watches the lowest loss of a scale.

    Parameters
    ----------
    device : torch.device
        Of the losses.
    """

    def __init__(self, device: torch.device) -> None:
        self._look_every = look_every(device)
        self._lowest: list[torch.Tensor] = []  # after each of the last evaluations
        self._seen = 0

    def reached(self, lowest: torch.Tensor, tolerance: float, patience: int) -> bool:
        """Whether the last evaluations have lowered the loss by less than a share.

        Parameters
        ----------
        lowest : torch.Tensor
            (), the lowest loss so far; one call for each evaluation.
        tolerance : float
            The share, in [0, 1]; with 0 nothing is watched.
        patience : int
            The number of evaluations.
        """
        if not tolerance:
            return False
        self._lowest = [*self._lowest, lowest][-patience - 1 :]
        self._seen += 1
        if self._seen % self._look_every or len(self._lowest) <= patience:
            return False
        return float(lowest) > (1 - tolerance) * float(self._lowest[0])

    def forget(self) -> None:
        """Start anew: what follows does not compare."""
        self._lowest = []

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors and numbers."""
        return {"lowest": self._lowest, "seen": self._seen}

    def load(self, state: State, like: torch.Tensor) -> None:
        """Go on from :meth:`state`, of losses of the dtype and on the device of a tensor."""
        self._lowest = tensors(state, "lowest", like.new_empty(()))
        self._seen = whole("seen", state["seen"], 0, 2**62)
