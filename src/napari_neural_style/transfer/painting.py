"""An image being painted at one scale, and everything that a resumed run needs of it."""

from typing import Any, Final, Self

import torch

from napari_neural_style.settings import Settings
from napari_neural_style.transfer.convergence import Convergence
from napari_neural_style.transfer.guard import Guard
from napari_neural_style.transfer.objective import Evaluation
from napari_neural_style.transfer.optimizers import (
    BoundedLBFGS,
    Evaluate,
    Optimizer,
    make_optimizer,
)
from napari_neural_style.transfer.spaces import in_rgb
from napari_neural_style.transfer.state import State, part, tensor

# A root mean square of a step, in RGB, that may lead to anything; presets make none like it.
_BOLD: Final = 0.2


def is_bold(settings: Settings) -> bool:
    """Whether a single step, of a size that the settings ask for, may paint the image over.

    The last step is judged by none after it: it may be the one to black and white.
    """
    step = in_rgb(settings.method.space, settings.learning_rate)
    return settings.optimizer != "lbfgs" and step > _BOLD


class Painting:
    """The image of one scale with its optimizer and its guard.

    Parameters
    ----------
    variable : torch.Tensor
        (1, 3, H, W), the image at the start, in the objective's space; changed in place. Where
        the method clamps it, it is within [0, 1] before and after each step.
    settings : Settings
        Of the run.
    share : float
        Of the image that can change, in (0, 1].
    """

    def __init__(self, variable: torch.Tensor, settings: Settings, share: float = 1.0) -> None:
        self.variable = variable
        self._settings, self._share = settings, share
        self._clamp()
        self.guard = Guard(variable, exact=settings.keep_best)
        self._convergence = Convergence(variable.device)
        self.losses: torch.Tensor | None = None
        """(4,): of the last step."""
        self._optimizer: Optimizer | None = make_optimizer(variable, settings, share)

    def step(self, evaluate: Evaluate, learning_rate: float) -> torch.Tensor:
        """Evaluate, move the image, and return the losses before the move."""
        assert self._optimizer is not None
        evaluated = False

        def noticed(variable: torch.Tensor) -> Evaluation:
            nonlocal evaluated
            evaluation = evaluate(variable)
            evaluated = True
            return evaluation

        try:
            self.losses = self._optimizer.step(noticed, learning_rate)
        except Exception:
            if evaluated:  # its memory of the gradients may be half changed
                self.restart_optimizer()
            raise
        self._clamp()
        return self.losses

    def _clamp(self) -> None:
        if self._settings.method.clamp:
            self.variable.clamp_(0, 1)

    def converged(self, tolerance: float, patience: int) -> bool:
        """Whether the last steps gained too little; to be asked after each."""
        return self._convergence.reached(self.guard.lowest[-1], tolerance, patience)

    def weigh_anew(self) -> None:
        """Go on with other weights of the losses: those so far do not compare."""
        self._forget_losses()
        if self._optimizer is not None:
            self._optimizer.weigh_anew()

    def aim_anew(self) -> None:
        """Go on towards another goal."""
        if isinstance(self._optimizer, BoundedLBFGS):
            self.weigh_anew()
        else:
            self._forget_losses()
            self.restart_optimizer()

    def move(self, step: torch.Tensor, losses: torch.Tensor) -> None:
        """Make a step that was found otherwise, with the losses before it."""
        self.variable.add_(step)
        self._clamp()
        self.losses = losses
        self.guard.begin_at(self.variable)
        self._convergence.forget()

    def _forget_losses(self) -> None:
        self.guard.forget()
        self._convergence.forget()

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.variable.shape[2], self.variable.shape[3]

    def return_to_best(self) -> None:
        """Go on from the image of the lowest loss, more carefully."""
        self.take_best()
        self.guard.calm()

    def take_best(self) -> None:
        """Take the image of the lowest loss, and forget how the present one was reached."""
        self.variable.copy_(self.guard.best)
        self.losses = self.guard.lowest
        self._convergence.forget()
        self.restart_optimizer()

    def restart_optimizer(self) -> None:
        """Forget the gradients so far."""
        self._optimizer = make_optimizer(self.variable, self._settings, self._share)

    def learn_from(self, coarse: "Painting") -> None:
        """Begin with what was learnt of a smaller image in the same run."""
        ours, theirs = self._optimizer, coarse._optimizer
        if isinstance(ours, BoundedLBFGS) and isinstance(theirs, BoundedLBFGS):
            ours.take_over(theirs)

    def go_on_from(self, before: "Painting") -> None:
        """Go on towards another goal, with what was learnt of the image as it was before."""
        ours, theirs = self._optimizer, before._optimizer
        if isinstance(ours, BoundedLBFGS) and isinstance(theirs, BoundedLBFGS):
            ours.go_on_from(theirs)

    def be_careful(self) -> None:
        """Begin with a short step: the image may be near its goal."""
        if isinstance(self._optimizer, BoundedLBFGS):
            self._optimizer.be_careful()

    def finish(self) -> None:
        """Let go of what only a further step needs."""
        self._optimizer = None

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors, lists of tensors and numbers."""
        state = {
            "variable": self.variable,
            "losses": self.losses,
            "guard": self.guard.state(),
            "convergence": self._convergence.state(),
        }
        if self._optimizer is not None:
            state["optimizer"] = self._optimizer.state()
        return state

    @classmethod
    def load(
        cls, state: State, settings: Settings, device: torch.device, share: float = 1.0
    ) -> Self:
        """Go on from :meth:`state`, to the last bit, also on another device."""
        painting = cls(state["variable"].to(device, copy=True), settings, share)
        if state["losses"] is not None:
            painting.losses = tensor(state, "losses", painting.guard.lowest)
        painting.guard.load(part(state, "guard"))
        painting._convergence.load(part(state, "convergence"), painting.variable)
        if painting._optimizer is not None and "optimizer" in state:
            painting._optimizer.load(part(state, "optimizer"))
        return painting
