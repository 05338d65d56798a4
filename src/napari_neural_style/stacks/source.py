"""The planes of a stack as they are read."""

from collections import OrderedDict
from typing import Any

from numpy.typing import NDArray

from napari_neural_style.stacks.axes import Axes, Index
from napari_neural_style.stacks.store import digest_of

Plane = tuple[NDArray[Any], NDArray[Any] | None]
"""The values of a plane, and its mask if it has one of its own."""


class Source:
    """Reads planes with their masks; the last ones are kept, for the next one starts from them.

    Parameters
    ----------
    stack
        Anything with indices.
    axes
        Of the stack.
    masks
        The same without samples, a mask for each plane; None if there are none.
    """

    def __init__(self, stack: Any, axes: Axes, masks: Any) -> None:
        self._stack, self._axes, self.masks = stack, axes, masks
        self._kept: OrderedDict[Index, Plane] = OrderedDict()
        self.digests: dict[Index, str] = {}
        """Of the planes that were read."""

    def read(self, index: Index, keep: int) -> Plane:
        """Read a plane, and keep so many of the last ones."""
        if index not in self._kept:
            values = self._axes.take(self._stack, index)
            mask = None if self.masks is None else self._axes.of_masks.take(self.masks, index)
            self.digests[index] = digest_of(values, mask)
            self._kept[index] = values, mask
        self._kept.move_to_end(index)
        while len(self._kept) > keep:
            self._kept.popitem(last=False)
        return self._kept[index]

    def drop_first(self, index: Index) -> None:
        """Let a plane that is of no more use be the first to go."""
        self._kept.move_to_end(index, last=False)

    def clear(self) -> None:
        """Keep no plane any longer."""
        self._kept.clear()
