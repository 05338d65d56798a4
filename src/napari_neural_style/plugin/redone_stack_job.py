"""The result of a whole stack that is painted again, from its own recipe."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..images.views import View
from ..redo import compare_planes
from .job import AnyJob
from .layers import Geometry, StackSource
from .machine import load_engine
from .origins import Origin
from .stack_view import PaintedStack, as_layer_data

if TYPE_CHECKING:
    from ..stacks import StackTransfer
    from ..stacks.record import StackRecord
    from ..stacks.replay import StackReplay


@dataclass
class RedoneStackJob(AnyJob):
    """What the planes were painted from, looked for among the layers by the hashes in the recipe.

    Attributes
    ----------
    recipe
        Of the result, as it stands in its layer.
    weights
        A file of weights, for a run that has one: no recipe chooses what is read.
    painted, name
        The data of the result's layer, and its name.
    where
        Where the layer lies.
    layers
        The data of all image layers, at each resolution.
    origin
        What the result was painted from; None if that is not known.
    """

    recipe: Any
    weights: str
    painted: Any
    name: str
    where: Geometry
    layers: tuple[tuple[Any, ...], ...]
    origin: Origin | None
    _record: "StackRecord | None" = field(default=None, init=False)

    @property
    def geometry(self) -> Geometry:
        """Where the result lies."""
        return self.where

    @property
    def title(self) -> str:
        """Name for the result."""
        return f"{self.name}, redone"

    def prepare(self) -> "StackReplay":
        """Find the stack and the styles, and make the run.

        Raises
        ------
        ValueError
            If the recipe does not say how the planes were painted, or what they were painted from
            is not there.
        """
        load_engine()
        from ..stacks.record import StackRecord
        from ..stacks.replay import StackReplay

        self._record = record = StackRecord.from_dict(self.recipe, self.weights, f"“{self.name}”")
        styles = [self._style(record, digest) for digest in record.styles]
        replay = StackReplay(record, self._stack(record), styles, names=self.names)
        for _ in replay.check():
            pass
        return replay

    def place(self, painted: PaintedStack) -> tuple[Any, dict[str, Any]]:
        """Return what is painted as data of a layer, with its scale and translate."""
        data = self._as_layer_data(painted)
        return data, self.where.place_stack(data.shape, self.painted.shape)

    def remark_on(self, transfer: "StackTransfer") -> str:
        """Say how what was painted compares with the result."""
        assert self._record is not None
        replay: Any = transfer
        again = self._as_layer_data(PaintedStack(replay.result, replay.finished))
        pairs = self._pairs(again, replay)
        return str(compare_planes(pairs, replay.others))

    def _pairs(self, again: Any, replay: "StackReplay") -> Iterator[tuple[str, Any, Any]]:
        assert self._record is not None
        letters = self._record.axes.letters
        for index in self._record.indices:
            at = dict(zip(self._record.axes.along, index, strict=True))
            key = tuple(at.get(letter, slice(None)) for letter in letters.removesuffix("S"))
            there = index in replay.finished
            painted = np.asarray(self.painted[key])
            made = np.asarray(again[key])[..., : painted.shape[-1]] if there else None
            yield replay.axes.named(index), made, painted

    def _as_layer_data(self, painted: PaintedStack) -> Any:
        assert self._record is not None
        letters = self._record.axes.letters.removesuffix("S")
        hidden = [letters.index(letter) for letter in self._record.axes.along]
        return as_layer_data(painted, [*hidden, letters.index("Y"), letters.index("X")])

    # ------------------------------------------------------------- what it is made from

    def _stack(self, record: "StackRecord") -> Any:
        from ..stacks.store import digest_of

        index, first = next(iter(record.planes.items()))
        own = self.origin.levels if isinstance(self.origin, StackSource) else ()
        for level in (*own, *(level for levels in self.layers for level in levels)):
            if tuple(level.shape) != record.axes.shape:
                continue
            if record.own_masks or digest_of(record.axes.take(level, index)) == first.source:
                return level
        raise ValueError(
            f"The stack that “{self.name}” was painted from is not among the layers, or has other "
            "pixels now: open it."
        )

    def _style(self, record: "StackRecord", digest: str) -> NDArray[np.float32]:
        from ..transfer.replay import hash_of

        for image in self._candidates(record.named(digest)):
            if hash_of(record.settings, image) == digest:
                return image
        raise ValueError(
            f"A style that “{self.name}” was painted with is not among the layers, or has other "
            "pixels now: open it."
        )

    def _candidates(self, views: list[View]) -> Iterator[NDArray[Any]]:
        for levels in self.layers:
            for view in views:
                if view.level < len(levels) and view.fits(levels[view.level]):
                    yield view.colors(levels[view.level])
            finest = levels[0]
            if finest.ndim == 3 and finest.shape[2] in (3, 4):
                yield np.asarray(finest)
