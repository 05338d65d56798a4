"""Which part of a layer's data the viewer shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...images.views import plane_of
from .geometry import Geometry, unit_factors
from .names import quoted


class Span(NamedTuple):
    """What is shown of an axis that is not displayed, in data coordinates."""

    first: float
    middle: float
    last: float


@dataclass(frozen=True)
class Slice:
    """The pixels of one plane, read when they are asked for."""

    geometry: Geometry
    levels: tuple[Any, ...]
    """The data at each resolution, finest first."""
    slices: tuple[tuple[slice, ...], ...]
    """For each level, what to take of every axis of the layer."""
    projection: str
    """How the planes of a thick slice become one."""
    shapes_of_arrays: tuple[tuple[int, ...], ...]
    """Of the layer's data at each level."""
    parts: tuple[tuple[tuple[int, int], ...], ...]
    """What of them is shown: first and last but one of every axis of the layer."""
    name: str = ""
    """Of the layer."""
    file: str = ""
    """Of the layer, without its folder."""

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Height and width of the plane at each level."""
        return plane_shapes(self.geometry, self.levels)

    def read(self, level: int, part: Sequence[slice] | None = None) -> NDArray[Any]:
        """Return the plane at one level: ``(H, W)``, or ``(H, W, channels)``, as shown.

        Parameters
        ----------
        level
            The level.
        part
            Rows and columns to read; all by default.
        """
        taken = list(self.slices[level])
        for axis, span in zip(self.geometry.displayed, part or (), strict=False):
            taken[axis] = span
        pixels = np.asarray(self.levels[level][tuple(taken)])
        axes = len(self.geometry.scale)
        return plane_of(pixels, self.geometry.displayed, axes, self.projection)

    def thinned(self, side: int) -> "Slice":
        """Return every n-th pixel of the plane, about `side` long; ValueError if it is lazy."""
        level = fitting(self.shapes, side)
        data = self.levels[level]
        if not isinstance(data, np.ndarray):
            raise ValueError("The pixels would have to be computed.")
        step = max(1, max(self.shapes[level]) // side)
        taken = list(self.slices[level])
        for axis in self.geometry.displayed:
            taken[axis] = slice(None, None, step)
        thin = data[tuple(taken)]
        return replace(self, levels=(thin,), slices=((slice(None),) * thin.ndim,))


def plane_shapes(geometry: Geometry, levels: Sequence[Any]) -> list[tuple[int, int]]:
    """Return height and width of a plane, as shown, at each level of resolution."""
    row, column = geometry.displayed
    return [(level.shape[row], level.shape[column]) for level in levels]


def fitting(shapes: Sequence[tuple[int, int]], size: int | None) -> int:
    """Return the index of the smallest shape whose longest side is at least `size`.

    Parameters
    ----------
    shapes
        Height and width at each level of resolution, finest first.
    size
        Longest side wanted, in pixels; None for the finest.
    """
    enough = [level for level, shape in enumerate(shapes) if size and max(shape) >= size]
    return max(enough, default=0)


def displayed_slice(layer: Any, dims: Any, plane: Geometry | None = None) -> Slice:
    """Return the plane of an Image or Labels layer that the viewer shows.

    Parameters
    ----------
    layer
        A ``napari.layers.Image`` or ``Labels``.
    dims
        The viewer's ``dims``.
    plane
        A plane of another layer: what lies in this plane is meant, whichever one the
        viewer shows meanwhile.

    Raises
    ------
    ValueError
        If no single plane of the layer is displayed, or none of it at all.
    """
    refuse_volume(layer, dims)
    levels = layer_levels(layer)
    full = levels[0].shape[: layer.ndim]
    spans = hidden_spans(layer, dims, plane)
    for axis, span in spans.items():
        if round(span.last) < 0 or round(span.first) > full[axis] - 1:
            raise ValueError(
                f"{quoted(layer)} has nothing at the viewer's position along axis "
                f"{layer.axis_labels[axis]}: move the slider to one of its planes."
            )
    position = np.zeros(layer.ndim, int)
    for axis, span in spans.items():
        position[axis] = np.clip(round(span.middle), 0, full[axis] - 1)
    geometry = layer_geometry(layer, dims, full, tuple(position.tolist()))
    shown = cut(geometry, levels, spans, str(layer.projection_mode))
    file = PurePath(str(layer.source.path or "")).name
    return replace(shown, name=str(layer.name), file=file)


def refuse_volume(layer: Any, dims: Any) -> None:
    """Raise a ``ValueError`` if the layer is shown in 3-D."""
    if dims.ndisplay != 2 and layer.ndim > 2:
        raise ValueError(
            f"{quoted(layer)} is shown as a volume: switch the viewer to 2-D and choose "
            "the plane with the slider."
        )


def layer_levels(layer: Any) -> tuple[Any, ...]:
    """Return the data of an Image or Labels layer at each resolution, finest first."""
    return tuple(layer.data) if layer.multiscale else (layer.data,)


def layer_geometry(
    layer: Any, dims: Any, full: Sequence[int], position: tuple[int, ...] | None = None
) -> Geometry:
    """Return where the displayed plane of a layer lies.

    Parameters
    ----------
    layer
        Any napari layer.
    dims
        The viewer's ``dims``.
    full
        Lengths of the layer's axes.
    position
        Index of the plane along each axis; zeros by default.
    """
    row, column = _order(layer.ndim, dims)[-2:]
    return Geometry(
        shape=(full[row], full[column]),
        displayed=(row, column),
        position=position or (0,) * layer.ndim,
        scale=np.array(layer.scale, float),
        translate=np.array(layer.translate, float),
        rotate=np.array(layer.rotate),
        shear=np.array(layer.shear),
        affine=np.array(layer.affine.affine_matrix),
        units=tuple(layer.units),
        axis_labels=tuple(layer.axis_labels),
    )


def cut(
    geometry: Geometry,
    levels: Sequence[Any],
    spans: Mapping[int, Span],
    projection: str = "none",
) -> Slice:
    """Return a slice through the data; the spans are those of the full resolution."""
    ndim = len(geometry.scale)
    full = levels[0].shape[:ndim]
    parts, slices, ends = [], [], []
    for level in levels:
        taken = _slices(level.shape[:ndim], full, spans)
        lengths = zip(taken, level.shape[:ndim], strict=True)
        ends.append(tuple(part.indices(length)[:2] for part, length in lengths))
        if isinstance(level, np.ndarray):
            # A view costs nothing, and only it is sent along to another process.
            level, taken = level[taken], (slice(None),) * ndim
        parts.append(level)
        slices.append(taken)
    shapes = tuple(tuple(map(int, level.shape)) for level in levels)
    return Slice(geometry, tuple(parts), tuple(slices), projection, shapes, tuple(ends))


def hidden_spans(layer: Any, dims: Any, plane: Geometry | None = None) -> dict[int, Span]:
    """Return what is shown of each axis of a layer that is not displayed.

    Parameters
    ----------
    layer
        Any napari layer.
    dims
        The viewer's ``dims``.
    plane
        A plane of another layer, to be met instead of the viewer's position.
    """
    if layer.ndim > dims.ndim:
        raise ValueError(
            f"{quoted(layer)} was deleted, and with it the slider for its planes: choose another."
        )
    axes = _order(layer.ndim, dims)[:-2]
    if not axes:
        return {}
    factor = unit_factors(layer.units, dims)[axes]
    # Only the hidden axes take part, as in napari itself: what a rotation out of the
    # plane would contribute is left out there too.
    origin = layer.world_to_data(np.zeros(layer.ndim))
    unit_steps = [layer.world_to_data(step) - origin for step in np.eye(layer.ndim)]
    to_data = np.column_stack(unit_steps)[np.ix_(axes, axes)]

    def to_hidden(values: ArrayLike) -> NDArray[np.float64]:
        part: NDArray[np.float64] = to_data @ (factor * np.array(values)[-layer.ndim :][axes])
        return part

    middle = origin[axes] + to_hidden(dims.point if plane is None else _point_in(plane, dims))
    before = after = np.zeros(len(axes))
    if plane is None and str(layer.projection_mode) != "none":
        before, after = to_hidden(dims.margin_left), to_hidden(dims.margin_right)
    ends = zip(middle - before, middle, middle + after, strict=True)
    return {axis: Span(*map(float, span)) for axis, span in zip(axes, ends, strict=True)}


def _order(ndim: int, dims: Any) -> list[int]:
    # A layer of fewer dimensions than the viewer has the last of its axes.
    return [axis - (dims.ndim - ndim) for axis in dims.order if axis >= dims.ndim - ndim]


def _point_in(plane: Geometry, dims: Any) -> NDArray[np.float64]:
    """Return the viewer's point, moved into a plane along the axes that this one has."""
    point = np.array(dims.point, float)
    hidden = list(plane.hidden)
    index = np.array([*np.array(plane.position)[hidden], 1.0])
    world = plane.to_world(hidden, dims) @ index
    point[np.array(hidden, int) + dims.ndim - len(plane.scale)] = world[:-1]
    return point


def _slices(
    shape: Sequence[int], full: Sequence[int], spans: Mapping[int, Span]
) -> tuple[slice, ...]:
    taken = [slice(None)] * len(shape)
    for axis, span in spans.items():
        shrink = full[axis] / shape[axis]
        start, end = max(round(span.first / shrink), 0), max(round(span.last / shrink), 0)
        # napari's own rounding of a thick slice: the end is taken if it falls on a plane.
        if np.isclose(end, span.last / shrink):
            end += 1
        start = min(start, shape[axis] - 1)
        taken[axis] = slice(start, max(end, start + 1))
    return tuple(taken)
