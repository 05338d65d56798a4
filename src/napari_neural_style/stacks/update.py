"""What a run of a stack tells."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from napari_neural_style.stacks.axes import Index


@dataclass(frozen=True)
class StackUpdate:
    """A step of a plane, or its end.

    Attributes
    ----------
    plane
        Index of the plane along the axes of the stack.
    step, steps
        How many steps of this plane are made, and planned.
    done, total
        How many planes are finished, and how many there are to be.
    finished
        The plane as it was stored, if this is its end.
    error
        Why this plane, or all of its channel, could not be painted: a sentence. The others go on.
    note
        Something that the user should read.
    seconds_left
        Estimate of the seconds until all are done; None before there is one.
    """

    plane: Index
    step: int
    steps: int
    done: int
    total: int
    finished: NDArray[Any] | None = None
    error: str | None = None
    note: str | None = None
    seconds_left: float | None = None
