"""Where planes are painted: here, or on the workers of a cluster."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from napari_neural_style.stacks.axes import Index
from napari_neural_style.stacks.painter import PlanePainter
from napari_neural_style.stacks.task import BadPlaneError, Recipe, Task

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
    repeats
        Whether that happens again when the plane is painted again.
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
    repeats: bool = True

    @property
    def ends(self) -> bool:
        """Whether the plane is over."""
        return self.painted is not None or self.error is not None


class Backend(Protocol):
    """Paints planes."""

    def brief(self, recipe: Recipe) -> None:
        """Tell what the planes have in common; comes before the first one."""

    @property
    def room(self) -> int:
        """How many planes it takes at a time."""

    def start(self, index: Index, task: Task) -> None:
        """Paint a plane."""

    def next_event(self, seconds: float) -> Event | None:
        """Wait for the next event, for so many seconds at most."""

    def close(self) -> None:
        """Stop what is going on."""


class Here:
    """Paints in this process, one plane at a time, a step whenever an event is asked for."""

    room = 1

    def __init__(self) -> None:
        self._painter: PlanePainter | None = None
        self._index: Index = ()
        self._steps: Generator[Update, None, NDArray[Any]] | None = None

    def brief(self, recipe: Recipe) -> None:
        """Tell what the planes have in common."""
        self._painter = PlanePainter(recipe)

    def start(self, index: Index, task: Task) -> None:
        """Paint a plane."""
        assert self._painter is not None
        self._index, self._steps = index, self._painter.paint(task)

    def next_event(self, seconds: float) -> Event | None:
        """Make a step."""
        assert self._steps is not None
        try:
            update = next(self._steps)
        except StopIteration as end:
            return Event(self._index, painted=end.value)
        except BadPlaneError as error:
            return Event(self._index, error=str(error))
        return Event(self._index, update.step, update.total, update.note, repeats=update.repeats)

    def close(self) -> None:
        """Leave the plane that is being painted."""
        self._steps = self._painter = None
