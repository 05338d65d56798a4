"""Towards a far goal a picture goes in small copies first: there it is seen at once."""

from typing import Any, Final, Self

import torch

from napari_neural_style.transfer.objective import Check, Evaluation, Objective
from napari_neural_style.transfer.painting import Painting
from napari_neural_style.transfer.scales import fit, resize
from napari_neural_style.transfer.state import State, whole

# Longest side of the smallest copy; each next one has twice the side, …
_SMALLEST: Final = 128
# … as long as the picture has so many times that: such steps cost a quarter of its own or less.
_SMALLER: Final = 2
# Steps on each copy.
_STEPS: Final = 8


def sketch_shapes(height: int, width: int, least: int) -> list[tuple[int, int]]:
    """Height and width of each copy of a picture of a size, the smallest first.

    Parameters
    ----------
    height, width : int
        Of the picture, in pixels.
    least : int
        Least side that the encoder takes, in pixels.
    """
    shapes, side = [], _SMALLEST
    while side * _SMALLER <= max(height, width):
        shapes.append(fit(height, width, side))
        side *= 2
    return [shape for shape in shapes if min(shape) >= least]


class Sketch:
    """Some steps on small copies of a picture, which moves along.

    What a copy changes is enlarged and added: the picture keeps its own detail.

    Parameters
    ----------
    shapes : list of tuple of int
        Of the copies, in this order; at least one.
    """

    def __init__(self, shapes: list[tuple[int, int]]) -> None:
        self.shapes = shapes
        self._made = 0
        self.small: Painting | None = None
        """The present copy; None before its first step."""
        self.objective: Objective | None = None
        """Of the present copy; None where it is to be made."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the present copy."""
        return self.shapes[self._made // _STEPS]

    @property
    def ended(self) -> bool:
        """Whether there is no next step."""
        return self._made >= _STEPS * len(self.shapes)

    def step(self, painting: Painting, rate: float, check: Check) -> torch.Tensor:
        """Make a step on the present copy, and move the picture along.

        Parameters
        ----------
        painting : Painting
            The picture.
        rate : float
            The largest step.
        check : callable
            As for :meth:`~.run.Run.step`.

        Returns
        -------
        torch.Tensor
            (4,): losses of the copy before the step.
        """
        small, objective = self.small, self.objective
        assert small is not None
        assert objective is not None
        before = small.variable.clone()

        def evaluate(variable: torch.Tensor) -> Evaluation:
            evaluation = objective(variable, check)
            small.guard.keep(variable, evaluation.losses)
            return evaluation

        losses = small.step(evaluate, rate)
        step = resize(small.variable - before, *painting.shape)
        if not step.isfinite().all():  # the picture's own steps will show what to do
            self._made = _STEPS * len(self.shapes)
            self.begin_copy_anew()
            return losses
        painting.move(step, losses)
        self._made += 1
        if self._made % _STEPS == 0:
            self.begin_copy_anew()
        return losses

    def begin_copy_anew(self) -> None:
        """Take the next step on a new copy of the picture, as it is then."""
        self.small = self.objective = None

    def state(self) -> dict[str, Any]:
        """Everything needed to go on."""
        state: dict[str, Any] = {"made": self._made}
        return state if self.small is None else {**state, "small": self.small.state()}

    @classmethod
    def load(cls, state: State, shapes: list[tuple[int, int]]) -> Self:
        """Go on from :meth:`state`, but for the copy."""
        if not shapes:
            raise ValueError("it has a sketch and is too small for one")
        sketch = cls(shapes)
        sketch._made = whole("made", state["made"], 0, _STEPS * len(shapes) - 1)
        return sketch
