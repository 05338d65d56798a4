"""What a run tells: an update after each evaluation, an estimate before the first."""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from napari_neural_style.notes import Note
from napari_neural_style.settings import Settings
from napari_neural_style.transfer.weighing import weigh

if TYPE_CHECKING:
    from napari_neural_style.transfer.engine import StyleTransfer

Image = npt.NDArray[np.float32]


class Estimate(NamedTuple):
    """What a run will take."""

    memory: int
    """Peak memory of a program that makes the run and nothing else, in bytes; about 0.4 GB
    of it are torch and the weights, which a program that has them does not need again."""
    seconds: float
    """Time of the whole run."""


class Update:
    """What one evaluation of loss and gradient brought.

    Attributes
    ----------
    step : int
        Number of the evaluation, from 1, over all scales.
    total : int
        Planned evaluations of all scales.
    scale : int
        Index of the scale, from 0, coarse to fine.
    size : tuple of int
        Height and width of the scale, in pixels.
    note : str or None
        Something that the user should read, such as a return to an earlier image.
    repeats : bool
        Whether that happens again when the picture is made again from its recipe.
    sketch : bool
        Whether the step was made on a small copy of the picture, which moved along, as the first
        ones after a change to another style, content or colours are. Losses are those of the
        copy, and the step is none of those planned for the scale.
    """

    def __init__(
        self,
        transfer: "StyleTransfer",
        losses: torch.Tensor,
        step: int,
        scale: int,
        note: Note | None,
        sketch: bool = False,
    ) -> None:
        self._transfer = transfer
        self._losses, self._settings = losses, transfer.settings
        self.step = step
        self.total = transfer.total
        self.scale = scale
        self.size = transfer.scales[scale]
        self.sketch = sketch
        self.note = None if note is None else note.text
        self.repeats = note is None or note.repeats

    @property
    def losses(self) -> dict[str, float]:
        """Weighted losses ``content``, ``style``, ``tv`` and ``total``; waits for the device."""
        return named_losses(self._losses, self._settings)

    @property
    def image(self) -> Image:
        """The image painted so far, (H, W, 3) in [0, 1], as it is when asked for."""
        image = self._transfer.result
        assert image is not None
        return image

    def __repr__(self) -> str:
        return f"Update(step={self.step}/{self.total}, scale={self.scale}, size={self.size})"


def named_losses(losses: torch.Tensor, settings: Settings) -> dict[str, float]:
    """Name the (4,) losses of an evaluation with the weights of some settings."""
    exponent = weigh(settings).exponent
    values = [_scaled(loss, exponent) for loss in losses.tolist()]
    return dict(zip(("content", "style", "tv", "total"), values, strict=True))


def _scaled(loss: float, exponent: int) -> float:
    try:
        return math.ldexp(loss, exponent)
    except OverflowError:
        return math.inf
