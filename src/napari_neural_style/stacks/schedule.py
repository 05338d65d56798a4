"""The order in which planes are painted, and the finished plane that each starts from."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from napari_neural_style.stacks.axes import Axes, Index


@dataclass(frozen=True)
class Parent:
    """The plane that another one starts from.

    Attributes
    ----------
    index
        Of the plane.
    moved
        Whether time lies between them, so that what they show has moved.
    """

    index: Index
    moved: bool


class Schedule:
    """Hands out planes as soon as what they start from is finished.

    A plane starts from the one before it in time; those of the first time start from the
    one before in depth; channels and other axes are stacks of their own. Every `segment`-th
    plane along time (along depth, where there is no time) starts from the one a segment
    before, so that segments can be painted side by side. Where a plane failed, or cannot be
    read again, its parent stands in. None of this depends on when and where planes are painted.

    Parameters
    ----------
    axes
        Of the stack.
    wanted
        The planes to be painted, and only these.
    done, failed
        Planes that are finished, or cannot be; both may grow.
    segment
        Length of a segment in planes.
    """

    def __init__(
        self,
        axes: Axes,
        wanted: Iterable[Index],
        done: Collection[Index],
        failed: Collection[Index],
        segment: int,
    ) -> None:
        self._axes, self._segment = axes, segment
        self._done, self._failed = done, failed
        wanted = set(wanted)
        # Planes along time one after another: what one shows is needed again by the next.
        self._waiting = sorted(wanted - set(done) - set(failed), key=self._time_last)
        self._wanted = wanted
        self._unreadable: set[Index] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def kinds(self) -> tuple[int, int]:
        """How many of those left start from nothing, and how many from another one."""
        following = sum(self.parent(index) is not None for index in self._waiting)
        return len(self) - following, following

    def next(self) -> Index | None:
        """Take the next plane that can be painted now; None if there is none."""
        for place, index in enumerate(self._waiting):
            parent = self.parent(index)
            if parent is None or parent.index in self._done:
                return self._waiting.pop(place)
        return None

    def put_back(self, index: Index, unreadable: Index) -> None:
        """Take back a plane that cannot start from a finished one; no other will start from it."""
        self._unreadable.add(unreadable)
        self._waiting.insert(0, index)

    def parent(self, index: Index) -> Parent | None:
        """Return what a plane starts from, finished or still to be; None for nothing."""
        moved = False
        parent = self._neighbour(index)
        while parent is not None:
            moved |= parent.moved
            to_come = parent.index in self._wanted and parent.index not in self._failed
            if (to_come or parent.index in self._done) and parent.index not in self._unreadable:
                return Parent(parent.index, moved)
            parent = self._neighbour(parent.index)
        return None

    def _neighbour(self, index: Index) -> Parent | None:
        along = self._axes.along
        for letter in "TZ":
            if letter not in along:
                continue
            place = along.index(letter)
            if index[place] == 0:
                continue
            in_segments = letter == "T" or "T" not in along
            back = self._segment if in_segments and index[place] % self._segment == 0 else 1
            before = (*index[:place], index[place] - back, *index[place + 1 :])
            return Parent(before, moved=letter == "T")
        return None

    def _time_last(self, index: Index) -> tuple[int, ...]:
        along = self._axes.along
        if "T" not in along:
            return index
        place = along.index("T")
        return (*index[:place], *index[place + 1 :], index[place])
