"""A stack that is being painted, as data of a layer."""

import math
from collections.abc import Sequence, Set
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..images.lazy import as_slices


class PaintedStack(NamedTuple):
    """The array that a stack is painted into, and what of it is painted."""

    array: Any
    """Its axes are those that the stack runs along, rows, columns and, in colour, RGB(A)."""
    finished: Set[tuple[int, ...]]
    """Indices of planes."""


def as_layer_data(painted: PaintedStack, axes: Sequence[int]) -> Any:
    """Return what is painted as data of a layer.

    Parameters
    ----------
    painted
        The stack.
    axes
        The layer's axis for each axis of the array but RGB(A).
    """
    array, finished = painted
    whole = len(finished) == math.prod(array.shape[: len(axes) - 2])
    in_order = list(axes) == sorted(axes)
    # Where nothing is painted, RGBA lets the content through anyway.
    opaque = array.ndim > len(axes) and array.shape[-1] == 3
    if in_order and (whole or not opaque):
        return array
    order = [axes.index(axis) for axis in sorted(axes)]
    return StackView(painted, order, seen_through=opaque and not whole)


def kept_in(data: Any) -> str | None:
    """Return where the array is kept that is a layer's data, or None for other data."""
    array = data._painted.array if isinstance(data, StackView) else data
    place = getattr(array, "store_path", None)
    return None if place is None else str(place)


class StackView:
    """A painted stack with its axes in a layer's order; nothing is read before it is asked for.

    Parameters
    ----------
    painted
        The stack.
    order
        For each axis of the layer, its place in the array; RGB(A) comes last.
    seen_through
        Give the colours an alpha, so that the content is seen where nothing is painted yet.
    """

    def __init__(self, painted: PaintedStack, order: Sequence[int], seen_through: bool) -> None:
        self._painted, self._order, self._seen_through = painted, list(order), seen_through
        array = painted.array
        self.shape = tuple(array.shape[axis] for axis in order)
        if array.ndim > len(order):
            self.shape += (array.shape[-1] + seen_through,)
        self.ndim = len(self.shape)
        self.dtype: np.dtype[Any] = array.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        spans, rest = as_slices(key, self.ndim)
        own = [slice(None)] * len(self._order)
        for axis, span in zip(self._order, spans, strict=False):
            own[axis] = span
        pixels = np.asarray(self._painted.array[tuple(own)])
        if self._seen_through:
            pixels = np.concatenate([pixels, self._alpha(own, pixels.shape)], axis=-1)
        samples = range(len(self._order), self.ndim)
        pixels = pixels.transpose([*self._order, *samples])
        if self.ndim > len(self._order):
            pixels = pixels[..., spans[-1]]
        return pixels[rest]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)

    def _alpha(self, own: list[slice], shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Opaque where planes are finished."""
        alpha = np.zeros((*shape[:-1], 1), np.uint8)
        lengths = self._painted.array.shape
        planes = [range(length)[span] for length, span in zip(lengths, own[:-2], strict=False)]
        for place in np.ndindex(*map(len, planes)):
            index = tuple(along[i] for along, i in zip(planes, place, strict=True))
            alpha[place] = 255 if index in self._painted.finished else 0
        return alpha
