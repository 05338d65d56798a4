"""The optimizers of the image: Adam and L-BFGS, one evaluation at a time."""

import math
from collections.abc import Callable
from typing import Any, Final

import torch

from napari_neural_style.settings import Settings
from napari_neural_style.transfer.objective import Evaluation

# Rows of an image that are moved at once: several times an image is much memory.
_ROWS: Final = 1024

Evaluate = Callable[[torch.Tensor], Evaluation]


def learning_rate_factor(schedule: str, step: int, progress: float) -> float:
    """Factor of the learning rate, as :attr:`Settings.schedule` has it.

    Parameters
    ----------
    schedule : str
        ``constant``, ``step`` or ``cosine``.
    step : int
        Step of the present scale, from 0.
    progress : float
        Part of the whole run that is done, in [0, 1).
    """
    if schedule == "step":
        return float(0.1 ** (step // 200))
    if schedule == "cosine":  # bold on small scales, careful with the details of large ones
        return 0.05 + 0.95 * (1 + math.cos(math.pi * progress)) / 2
    return 1.0


class Adam:
    """Adam (Kingma & Ba 2015) on the image.

    Parameters
    ----------
    variable : torch.Tensor
        The image; changed in place.
    settings : Settings
        Learning rate and, by the preset, betas, epsilon and its placement.
    """

    def __init__(self, variable: torch.Tensor, settings: Settings) -> None:
        self.variable = variable
        method = settings.method
        self._betas, self._epsilon = method.betas, method.epsilon
        self._tensorflow = method.tensorflow_adam
        self._mean = torch.zeros_like(variable)
        self._square = torch.zeros_like(variable)
        self._count = 0

    def step(self, evaluate: Evaluate, learning_rate: float) -> torch.Tensor:
        """Evaluate, move the image, and return the losses before the move."""
        losses, gradient = evaluate(self.variable)
        self._count += 1
        beta1, beta2 = self._betas
        bias1, bias2 = 1 - beta1**self._count, 1 - beta2**self._count
        rate = learning_rate / bias1 * (math.sqrt(bias2) if self._tensorflow else 1)
        parts = (
            torch.split(t, _ROWS, 2) for t in (self.variable, gradient, self._mean, self._square)
        )
        for variable, slope, mean, square in zip(*parts, strict=True):
            mean.lerp_(slope, 1 - beta1)
            square.mul_(beta2).addcmul_(slope, slope, value=1 - beta2)
            denominator = square.sqrt()
            if not self._tensorflow:
                denominator.div_(math.sqrt(bias2))
            variable.addcdiv_(mean, denominator.add_(self._epsilon), value=-rate)
        return losses

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors and numbers."""
        return {"mean": self._mean, "square": self._square, "count": self._count}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._mean.copy_(state["mean"])
        self._square.copy_(state["square"])
        self._count = int(state["count"])


class LBFGS:
    """L-BFGS without line search, with torch's defaults (history 100), as the tutorials use it.

    ``max_iter=1`` visits the same points as the published ``max_iter=20``, and
    returns after each evaluation.
    """

    def __init__(self, variable: torch.Tensor, settings: Settings) -> None:
        self.variable = variable
        # No tolerances: they are absolute, and losses come at every scale.
        self._optimizer = torch.optim.LBFGS(
            [variable],
            lr=settings.learning_rate,
            max_iter=1,
            tolerance_grad=0,
            tolerance_change=0,
        )

    def step(self, evaluate: Evaluate, learning_rate: float) -> torch.Tensor:
        """Evaluate, move the image, and return the losses before the move."""
        self._optimizer.param_groups[0]["lr"] = learning_rate
        found: list[torch.Tensor] = []

        def closure() -> torch.Tensor:
            losses, gradient = evaluate(self.variable)
            # torch's L-BFGS flattens with view(): the strides must be plain.
            self.variable.grad = gradient.contiguous()
            found.append(losses)
            return losses[-1]

        self._optimizer.step(closure)  # type: ignore[no-untyped-call]
        self.variable.grad = None
        return found[0]

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors, lists of tensors and numbers."""
        return dict(self._optimizer.state[self.variable])

    def load(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        device = self.variable.device
        self._optimizer.state[self.variable] = {
            key: [v.to(device) if isinstance(v, torch.Tensor) else v for v in value]
            if isinstance(value, list)
            else value.to(device)
            if isinstance(value, torch.Tensor)
            else value
            for key, value in state.items()
        }


Optimizer = Adam | LBFGS


def make_optimizer(variable: torch.Tensor, settings: Settings) -> Optimizer:
    """Build the optimizer that the settings name."""
    return (Adam if settings.optimizer == "adam" else LBFGS)(variable, settings)
