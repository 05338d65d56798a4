"""The optimizers of the image: Adam and two kinds of L-BFGS, one evaluation at a time."""

import math
from collections.abc import Callable
from typing import Any, Final

import torch

from napari_neural_style.settings import Settings
from napari_neural_style.transfer.curvature import Curvature
from napari_neural_style.transfer.objective import Evaluation
from napari_neural_style.transfer.state import State, flag, part, tensor, tensors, whole

# Of the published L-BFGS, which is torch's.
_HISTORY: Final = 100
# Rows of an image that are moved at once: several times an image is much memory.
_ROWS: Final = 1024
# Of the bounded L-BFGS: pairs that are remembered at most, in bytes and at least, …
_MOST_PAIRS: Final = 16
_HISTORY_BYTES: Final = 640 << 20
_LEAST_PAIRS: Final = 3
# … the largest step of a single number, in root mean squares of the largest step, …
_LARGEST: Final = 5.0
# … and the loss, relative to that before, from which a step is taken back, …
_MUCH_HIGHER: Final = 1.5
# … and from which another goal is so far away that nothing known helps to get there.
_FAR: Final = 10.0
# Parts of the largest step that are taken first: after a change, by what is known of the
# curvature, and where the image may be near its goal and nothing is known.
_AFTER_CHANGE: Final = 1 / 4
_IN_THE_DARK: Final = 1 / 16

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
        self._rescale = False

    def step(self, evaluate: Evaluate, learning_rate: float) -> torch.Tensor:
        """Evaluate, move the image, and return the losses before the move."""
        losses, gradient = evaluate(self.variable)
        if self._rescale and self._count:
            self._match(gradient)
        self._rescale = False
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

    def weigh_anew(self) -> None:
        """Expect larger or smaller gradients from now on: the losses have other weights.

        Otherwise the first steps would be too large, or a thousand of them too small.
        """
        self._rescale = True

    def _match(self, gradient: torch.Tensor) -> None:
        """Scale what is remembered to the size of a gradient."""
        remembered = self._square.mean() / (1 - self._betas[1] ** self._count)
        ratio = gradient.square().mean() / remembered.clamp_min(1e-30)
        self._mean.mul_(ratio.sqrt())
        self._square.mul_(ratio)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors and numbers."""
        return {
            "mean": self._mean,
            "square": self._square,
            "count": self._count,
            "rescale": self._rescale,
        }

    def load(self, state: State) -> None:
        """Go on from :meth:`state`."""
        self._mean.copy_(tensor(state, "mean", self._mean))
        self._square.copy_(tensor(state, "square", self._square))
        self._count = whole("count", state["count"], 0, 2**62)
        self._rescale = flag("rescale", state["rescale"])


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
            history_size=_HISTORY,
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

    def weigh_anew(self) -> None:
        """Forget the gradients so far: the losses have other weights."""
        self._optimizer.state[self.variable].clear()

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors, lists of tensors and numbers."""
        state = dict(self._optimizer.state[self.variable])
        state.pop("al", None)  # for torch's own use within a step
        return state

    def load(self, state: State) -> None:
        """Go on from :meth:`state`."""
        loaded: dict[str, Any] = {}
        if state:  # none before the first step
            for name in ("func_evals", "n_iter"):
                loaded[name] = whole(name, state[name], 0, 2**62)
        if loaded.get("n_iter"):
            flat = self.variable.reshape(-1)
            single = flat.new_empty(())
            for name in ("d", "prev_flat_grad"):
                loaded[name] = tensor(state, name, flat)
            for name in ("t", "H_diag", "prev_loss"):  # tensors at times
                value = state[name]
                is_number = isinstance(value, int | float)
                loaded[name] = float(value) if is_number else tensor(state, name, single)
            for name, like in (("old_dirs", flat), ("old_stps", flat), ("ro", single)):
                loaded[name] = tensors(state, name, like)
            if len({len(loaded[name]) for name in ("old_dirs", "old_stps", "ro")}) > 1:
                raise ValueError("its old_dirs, old_stps and ro are not of one length")
            if len(loaded["ro"]) > _HISTORY:
                raise ValueError(f"its history is longer than {_HISTORY}")
        self._optimizer.state[self.variable] = loaded


class BoundedLBFGS:
    """L-BFGS with steps of bounded size, which survives that the image is clamped.

    Without a line search, the first steps of L-BFGS lead anywhere, and most of what the
    image was is lost. Here no step is larger than the learning rate; one after which the
    loss is much higher is taken back but for a quarter; and what is learnt is of the steps
    as they were, after clamping. Nothing waits for a GPU.

    Parameters
    ----------
    variable : torch.Tensor
        The image; changed in place, also by whoever clamps it.
    settings : Settings
        Of the run.
    share : float
        Of the image that can change: means are taken of that.

    References
    ----------
    Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
    """

    def __init__(self, variable: torch.Tensor, settings: Settings, share: float = 1.0) -> None:
        self.variable = variable
        self._painted = share
        self._share = variable.new_ones(())
        self._before: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        self._loss_before: torch.Tensor | None = None  # with other weights, or another goal
        self._forget()

    def _forget(self) -> None:
        self._curvature = Curvature(self.variable, history_pairs(self.variable.nbytes))
        self._ceiling = torch.full_like(self._share, math.inf)

    def weigh_anew(self) -> None:
        """Go on with other weights of the losses, or towards another goal.

        What is known of the curvature is about as true as before: with nothing known, the
        first steps would make a good image worse. If the goal turns out to be far away, that
        is forgotten.
        """
        if self._before is not None:
            self._loss_before = self._before[2]
        self._before = None
        self._share = torch.full_like(self._share, _AFTER_CHANGE)

    def be_careful(self) -> None:
        """Begin with a very short step: the image may be near its goal."""
        self._share = torch.full_like(self._share, _IN_THE_DARK)

    def go_on_from(self, other: "BoundedLBFGS") -> None:
        """Go on towards another goal with what another knows of an image of the same size."""
        self._curvature, self._before = other._curvature, other._before
        self._loss_before = other._loss_before
        self.weigh_anew()

    def take_over(self, coarse: "BoundedLBFGS") -> None:
        """Begin with what was learnt of a smaller image."""
        self._curvature.take_over(coarse._curvature)

    def step(self, evaluate: Evaluate, learning_rate: float) -> torch.Tensor:
        """Evaluate, move the image, and return the losses before the move."""
        losses, gradient = evaluate(self.variable)
        loss, image = losses[-1], self.variable
        if self._before is None:
            self._look_how_far(loss)
            mean = gradient.abs().mean() / self._painted
            self._curvature.begin(gradient, mean.clamp_min(1e-30) / learning_rate)
        else:
            image_before, gradient_before, loss_before = self._before
            reference = torch.minimum(loss_before, self._ceiling)
            higher = ~(loss <= _MUCH_HIGHER * reference)  # NaN is
            before = image_before, gradient_before
            self._curvature.learn((image, gradient), before, higher)
            image.copy_(_either(higher, image_before, image))
            gradient = _either(higher, gradient_before, gradient)
            loss = torch.where(higher, loss_before, loss)
            self._share = torch.where(higher, self._share / 4, (2 * self._share).clamp(max=1))
        self._before = image.clone(), gradient, loss
        step = self._curvature.step(gradient).mul_(self._share)
        step.clamp_(-_LARGEST * learning_rate, _LARGEST * learning_rate)
        size = (step.square().mean() / self._painted).sqrt()
        image.add_(step.mul_((learning_rate / size.clamp_min(1e-30)).clamp(max=1)))
        return losses

    def _look_how_far(self, loss: torch.Tensor) -> None:
        """Forget everything if another goal is far away; a GPU is waited for, once a change."""
        before, self._loss_before = self._loss_before, None
        if before is None:
            return
        self._ceiling = loss
        if not loss <= _FAR * before:
            self._forget()
            self._share = torch.ones_like(self._share)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors, lists of tensors and numbers."""
        return {
            "curvature": self._curvature.state(),
            "before": [] if self._before is None else list(self._before),
            "loss_before": [] if self._loss_before is None else [self._loss_before],
            "ceiling": self._ceiling,
            "share": self._share,
        }

    def load(self, state: State) -> None:
        """Go on from :meth:`state`."""
        self._curvature.load(part(state, "curvature"))
        before = tensors(state, "before", self.variable, self.variable, self._share)
        self._before = (before[0], before[1], before[2]) if before else None
        self._loss_before = next(iter(tensors(state, "loss_before", self._share)), None)
        self._ceiling = tensor(state, "ceiling", self._ceiling)
        self._share = tensor(state, "share", self._share)


def _either(condition: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """One of two images, without a copy where there is no GPU to wait for."""
    if condition.device.type == "cpu":
        return one if condition else other
    return torch.where(condition, one, other)


def history_pairs(image_bytes: int) -> int:
    """Pairs that the bounded L-BFGS remembers of an image of so many bytes; 0 for too few."""
    pairs = min(_MOST_PAIRS, _HISTORY_BYTES // (2 * image_bytes))
    return pairs if pairs >= _LEAST_PAIRS else 0


Optimizer = Adam | LBFGS | BoundedLBFGS


def images_held(settings: Settings, image_bytes: int) -> int:
    """How many times an image of so many bytes the optimizer holds at its peak."""
    if settings.optimizer == "lbfgs":
        steps = settings.steps if isinstance(settings.steps, int) else max(settings.steps)
        return 2 * min(100, steps) + 5
    pairs = history_pairs(image_bytes)
    if settings.optimizer == "bounded-lbfgs" and pairs:
        return 2 * pairs + 5
    return 2


def make_optimizer(variable: torch.Tensor, settings: Settings, share: float = 1.0) -> Optimizer:
    """Build the optimizer that the settings name, of an image of which a share can change."""
    if settings.optimizer == "lbfgs":
        return LBFGS(variable, settings)
    if settings.optimizer == "bounded-lbfgs" and history_pairs(variable.nbytes):
        return BoundedLBFGS(variable, settings, share)
    return Adam(variable, settings)  # for its memory; with a pair or two the other is no better
