"""Where planes are painted: here, or on the workers of a cluster."""

from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from numpy.typing import NDArray

from napari_neural_style.stacks.axes import Index
from napari_neural_style.stacks.painter import Finished, PlanePainter, Recipe

if TYPE_CHECKING:
    from napari_neural_style.transfer.update import Update


@dataclass(frozen=True)
class Event:
    """Something that happened to a plane.

    Attributes
    ----------
    index
        Of the plane.
    step, steps
        How many of its steps are made, and planned.
    note
        Something that the user should read.
    painted
        The plane, if it is finished.
    error
        Why it could not be painted, if it could not.
    """

    index: Index
    step: int = 0
    steps: int = 0
    note: str | None = None
    painted: NDArray[Any] | None = None
    error: str | None = None

    @property
    def ends(self) -> bool:
        """Whether the plane is over."""
        return self.painted is not None or self.error is not None


class Backend(AbstractContextManager["Backend"], Protocol):
    """Paints planes; leaving it stops what is going on."""

    @property
    def room(self) -> int:
        """How many planes it takes at a time."""

    def start(self, index: Index, values: NDArray[Any], parent: Finished | None) -> None:
        """Paint a plane."""

    def next_event(self, seconds: float) -> Event | None:
        """Wait for the next event, for so many seconds at most."""


class Here:
    """Paints in this process, one plane at a time, a step whenever an event is asked for.

    Parameters
    ----------
    recipe
        What the planes have in common.
    """

    room = 1

    def __init__(self, recipe: Recipe) -> None:
        self._painter = PlanePainter(recipe)
        self._index: Index = ()
        self._steps: Generator[Update, None, NDArray[Any]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._steps = None

    def start(self, index: Index, values: NDArray[Any], parent: Finished | None) -> None:
        """Paint a plane."""
        self._index, self._steps = index, self._painter.paint(values, parent)

    def next_event(self, seconds: float) -> Event | None:
        """Make a step."""
        assert self._steps is not None
        try:
            update = next(self._steps)
        except StopIteration as end:
            return Event(self._index, painted=end.value)
        except ValueError as error:
            return Event(self._index, error=str(error))
        return Event(self._index, update.step, update.total, update.note)
