"""The optimizers of the image: Adam and two kinds of L-BFGS, one evaluation at a time."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from napari_neural_style.settings import Settings
from napari_neural_style.transfer.objective import Evaluation

# Rows of an image that are moved at once: several times an image is much memory.
_ROWS: Final = 1024
# Of the bounded L-BFGS: pairs that are remembered, …
_HISTORY: Final = 12
# … the largest step of a single number, in root mean squares of the largest step, …
_LARGEST: Final = 5.0
# … the loss, relative to that before, from which a step is taken back, …
_MUCH_HIGHER: Final = 1.5
# … and the curvature along a move, relative to that across, that is worth remembering.
_LEAST_CURVATURE: Final = 1e-10

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


class BoundedLBFGS:
    """L-BFGS with steps of bounded size, which survives that the image is clamped.

    Without a line search, the first steps of L-BFGS lead anywhere, and most of what the
    image was is lost. Here no step is larger than the learning rate; one after which the
    loss is much higher is taken back but for a quarter; and the history is of the steps
    as they were, after clamping.

    Parameters
    ----------
    variable : torch.Tensor
        The image; changed in place, also by whoever clamps it.
    settings : Settings
        Of the run.

    References
    ----------
    Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
    """

    def __init__(self, variable: torch.Tensor, settings: Settings) -> None:
        self.variable = variable
        self._history: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._before: tuple[torch.Tensor, torch.Tensor, float] | None = None
        self._share = 1.0

    def step(self, evaluate: Evaluate, learning_rate: float) -> torch.Tensor:
        """Evaluate, move the image, and return the losses before the move."""
        losses, gradient = evaluate(self.variable)
        loss, image = float(losses[-1]), self.variable
        if self._before is not None:
            image_before, gradient_before, loss_before = self._before
            self._learn(image - image_before, gradient - gradient_before)
            if loss > _MUCH_HIGHER * loss_before:
                self._share /= 4
                image.copy_(image_before)
                gradient, loss = gradient_before, loss_before
            else:
                self._share = min(1.0, 2 * self._share)
        self._before = image.clone(), gradient, loss
        step = self._direction(gradient, learning_rate)
        step.clamp_(-_LARGEST * learning_rate, _LARGEST * learning_rate)
        size = step.square().mean().sqrt()
        image.add_(step.mul_((learning_rate / size).clamp(max=1)))
        return losses

    def _learn(self, move: torch.Tensor, change: torch.Tensor) -> None:
        """Remember how a move of the image changed the gradient."""
        product = torch.sum(move * change)
        if product > _LEAST_CURVATURE * torch.sum(change * change):
            self._history = [*self._history[1 - _HISTORY :], (move, change, 1 / product)]

    def _direction(self, gradient: torch.Tensor, learning_rate: float) -> torch.Tensor:
        """The two-loop recursion."""
        step = -gradient
        if not self._history:
            return step.mul_(learning_rate / step.abs().mean().clamp_min(1e-30))
        shares = []
        for move, change, inverse in reversed(self._history):
            shares.append(inverse * torch.sum(move * step))
            step.addcmul_(change, -shares[-1])
        _, change, inverse = self._history[-1]
        step.mul_(1 / (inverse * torch.sum(change * change)))
        for (move, change, inverse), share in zip(self._history, reversed(shares), strict=True):
            step.addcmul_(move, share - inverse * torch.sum(change * step))
        return step.mul_(self._share)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as lists of tensors and numbers."""
        image, gradient, loss = self._before or (None, None, None)
        moves, changes, inverses = zip(*self._history, strict=True) if self._history else ((),) * 3
        return {
            "moves": list(moves),
            "changes": list(changes),
            "inverses": list(inverses),
            "image": image,
            "gradient": gradient,
            "loss": loss,
            "share": self._share,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        here = self.variable.device
        lists = ([t.to(here) for t in state[key]] for key in ("moves", "changes", "inverses"))
        self._history = list(zip(*lists, strict=True))
        self._before = None
        if state["image"] is not None:
            image, gradient = (state[key].to(here) for key in ("image", "gradient"))
            self._before = image, gradient, float(state["loss"])
        self._share = float(state["share"])


Optimizer = Adam | LBFGS | BoundedLBFGS
_OPTIMIZERS: Final[Mapping[str, type[Optimizer]]] = {
    "adam": Adam,
    "lbfgs": LBFGS,
    "bounded-lbfgs": BoundedLBFGS,
}


def make_optimizer(variable: torch.Tensor, settings: Settings) -> Optimizer:
    """Build the optimizer that the settings name."""
    return _OPTIMIZERS[settings.optimizer](variable, settings)
