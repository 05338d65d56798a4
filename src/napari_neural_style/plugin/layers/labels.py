"""The labels of a Labels layer that lie in a plane, or in the planes of a stack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .evidence import evidence, is_in_memory
from .geometry import Geometry
from .slicing import (
    Slice,
    Span,
    cut,
    fitting,
    hidden_spans,
    layer_geometry,
    layer_levels,
    plane_shapes,
)
from .stack import StackSource


def read_labels(labels: Slice, shape: tuple[int, int]) -> NDArray[Any]:
    """Return the label under the centre of each pixel, for labels cannot be averaged.

    Parameters
    ----------
    labels
        A plane of labels.
    shape
        Height and width wanted, in pixels, of the same plane as shown.
    """
    mask = labels.read(fitting(labels.shapes, max(shape)))
    if mask.shape == shape:
        return mask
    rows, columns = (
        ((np.arange(wanted) + 0.5) * there / wanted).astype(np.intp)
        for wanted, there in zip(shape, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


@dataclass(frozen=True)
class StackLabels:
    """Labels for the planes of a stack, each where it lies; read plane by plane.

    Attributes
    ----------
    shape
        Of what is painted: the axes of the stack, in the order of its data.
    hidden
        Which of these the viewer does not display.
    geometry
        Where the labels lie.
    levels
        Their data at each resolution, finest first.
    to_labels
        ``(n, m + 1)``: from the ``m`` indices of a plane of the stack, and 1, to its place
        along the ``n`` axes of the labels that are not displayed, in planes of these.
    """

    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    geometry: Geometry
    levels: tuple[Any, ...]
    to_labels: NDArray[np.float64]

    def plane(self, index: Sequence[int]) -> NDArray[Any]:
        """Return the labels of one plane, in the order of the stack's data.

        Parameters
        ----------
        index
            Of the plane along each axis that is not displayed.

        Returns
        -------
        numpy.ndarray
            0 everywhere if the labels have no plane in this place.
        """
        row, column = self.geometry.displayed
        shape = tuple(n for axis, n in enumerate(self.shape) if axis not in self.hidden)
        place = self._place(index)
        if place is None:
            return np.zeros(shape, self.levels[0].dtype)
        spans = {axis: Span(i, i, i) for axis, i in place.items()}
        labels = cut(self.geometry, self.levels, spans)
        height, width = shape if row < column else shape[::-1]
        mask = read_labels(labels, (height, width))
        return mask if row < column else mask.swapaxes(0, 1)

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Return :meth:`plane`, or part of it: there is an index for each hidden axis."""
        part = tuple(k for axis, k in enumerate(key) if axis not in self.hidden)
        labels: NDArray[Any] = self.plane([key[axis] for axis in self.hidden])[part]
        return labels

    @property
    def empty(self) -> bool:
        """Whether there is surely no label in any plane; nothing lazy is read."""
        indices = product(*(range(self.shape[axis]) for axis in self.hidden))
        places = (index for index in indices if self._place(index) is not None)
        if not is_in_memory(self.levels[0]):
            return next(places, None) is None
        return not any(self.plane(index).any() for index in places)

    @property
    def evidence(self) -> list[NDArray[Any]]:
        """Pixels by which the labels can be told from others, see :func:`evidence`."""
        counts = [self.shape[axis] for axis in self.hidden]
        ends = [0] * len(counts), [count - 1 for count in counts]
        reads = [partial(self.plane, index) for index in ends]
        height_and_width = [n for axis, n in enumerate(self.shape) if axis not in self.hidden]
        level = fitting(plane_shapes(self.geometry, self.levels), max(height_and_width))
        return [self.to_labels, *evidence(self.levels[level], reads)]

    def _place(self, index: Sequence[int]) -> dict[int, float] | None:
        """Where a plane lies along the hidden axes of the labels; None where these have none."""
        hidden = self.geometry.hidden
        at = self.to_labels @ [*index, 1]
        counts = [self.levels[0].shape[axis] for axis in hidden]
        if not all(0 <= round(i) < count for i, count in zip(at, counts, strict=True)):
            return None
        return dict(zip(hidden, at.tolist(), strict=True))


def stack_labels(layer: Any, source: StackSource, dims: Any, size: int | None) -> StackLabels:
    """Return the labels that lie in the planes of a stack.

    Parameters
    ----------
    layer
        A ``napari.layers.Labels`` of more than two dimensions, with the pixels of the stack.
        Along the axes that are not displayed it may lie elsewhere, or have other steps.
    source
        The stack.
    dims
        The viewer's ``dims``. Axes that the stack does not have stay where the viewer is.
    size
        Longest side that the planes are read at, as for :meth:`Plane.rgb`.
    """
    levels = layer_levels(layer)
    geometry = layer_geometry(layer, dims, levels[0].shape)
    stack, hidden = source.geometry, source.geometry.hidden
    painted = source.level(size).shape[: len(stack.scale)]

    def place(position: NDArray[np.intp]) -> NDArray[np.float64]:
        spans = hidden_spans(layer, dims, replace(stack, position=tuple(position.tolist())))
        return np.array([spans[axis].middle for axis in geometry.hidden])

    origin = place(np.zeros(len(stack.scale), int))
    steps = [place(np.eye(len(stack.scale), dtype=int)[axis]) - origin for axis in hidden]
    # The edges of all levels coincide, and coordinates lie on the middles of planes.
    shrink = np.divide(source.shape, [painted[axis] for axis in hidden])
    linear = np.column_stack(steps)
    to_labels = np.column_stack([linear * shrink, origin + linear @ ((shrink - 1) / 2)])
    return StackLabels(tuple(painted), hidden, geometry, levels, to_labels)
