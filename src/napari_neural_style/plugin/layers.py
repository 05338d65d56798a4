"""What an image layer shows, as RGB, and where on the canvas that plane lies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..images import METADATA_KEY, to_rgb, to_uint8

_ROWS_AT_ONCE = 256
_LONGEST_NAME = 32

_PROJECTIONS: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
}


def is_result(layer: Any) -> bool:
    """Tell whether the layer was painted by this plugin."""
    return METADATA_KEY in layer.metadata


def quoted(layer: Any) -> str:
    """Return the layer's name for a message, shortened in the middle if it is long."""
    name = layer.name
    if len(name) > _LONGEST_NAME:
        half = _LONGEST_NAME // 2
        name = f"{name[:half]}…{name[-half:]}"
    return f"“{name}”"


@dataclass(frozen=True)
class Geometry:
    """Where one plane of a layer lies, in the terms of napari's layers.

    Attributes
    ----------
    shape
        Height and width of the plane in pixels of the full resolution.
    displayed
        The two axes of the layer that the plane spans, in the order of its data.
    position
        The plane's index along each axis of the layer; 0 along its own two.
    scale, translate, rotate, shear, affine, units, axis_labels
        As those of the layer.
    """

    shape: tuple[int, int]
    displayed: tuple[int, int]
    position: tuple[int, ...]
    scale: NDArray[np.float64]
    translate: NDArray[np.float64]
    rotate: NDArray[np.float64]
    shear: NDArray[np.float64]
    affine: NDArray[np.float64]
    units: tuple[Any, ...]
    axis_labels: tuple[str, ...]

    def place(self, image: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return an image of any resolution as layer data that covers the plane.

        A layer of more than two dimensions gets data of as many, one pixel thick, so
        that the image lies in the plane it was made from and nowhere else.

        Parameters
        ----------
        image
            An ``(h, w, 3)`` image of the whole plane.

        Returns
        -------
        data
            The image with an axis of length one for each axis that is not displayed.
        attributes
            The layer's ``scale`` and ``translate``. The outer *edges* of the image are
            those of the plane: napari puts coordinates on pixel centres, so a pixel k
            times as large starts (k - 1) / 2 further in.
        """
        from napari.utils.transforms import Affine

        axes = list(self.displayed)
        factor = np.ones(len(self.scale))
        factor[axes] = np.divide(self.shape, image.shape[:2])
        offset = np.array(self.position, float)
        offset[axes] = (factor[axes] - 1) / 2
        data_to_physical = Affine(
            scale=self.scale, translate=self.translate, rotate=self.rotate, shear=self.shear
        )
        others = tuple(axis for axis in range(len(factor)) if axis not in axes)
        return np.expand_dims(image, others), {
            "scale": self.scale * factor,
            "translate": data_to_physical(offset),
        }

    @property
    def orientation(self) -> dict[str, Any]:
        """The layer attributes that do not depend on the resolution."""
        return {
            "rotate": self.rotate,
            "shear": self.shear,
            "affine": self.affine,
            "units": self.units,
            "axis_labels": self.axis_labels,
        }


@dataclass(frozen=True)
class Plane:
    """One displayed plane of an image layer, ready to be read in any thread.

    Nothing is computed before :meth:`rgb` is called, and then no more than this plane.
    Everything that the layer may change meanwhile has been copied, except its pixels.
    """

    name: str
    geometry: Geometry
    levels: tuple[Any, ...]
    """The data at each resolution, finest first."""
    slices: tuple[tuple[slice, ...], ...]
    """For each level, what to take of every axis of the layer."""
    projection: str
    contrast_limits: tuple[float, float]
    gamma: float
    colormap: Any

    def rgb(self, size: int | None = None) -> NDArray[np.float32]:
        """Read the plane as napari shows it: contrast limits, gamma and colormap applied.

        Parameters
        ----------
        size
            Longest side wanted, in pixels. Of a multiscale layer, the coarsest level
            that is at least as long is read; without it, the finest.

        Returns
        -------
        numpy.ndarray
            ``(H, W, 3)`` float32 in [0, 1].

        Raises
        ------
        ValueError
            If the plane cannot be stylized, see :func:`~napari_neural_style.images.to_rgb`.
        """
        level = self._level(size)
        pixels = np.asarray(self.levels[level][self.slices[level]])
        axes = self.geometry.displayed
        others = tuple(axis for axis in range(len(self.geometry.scale)) if axis not in axes)
        # Where a single plane is meant, a projection would only change its dtype.
        if all(pixels.shape[axis] == 1 for axis in others):
            pixels = pixels.squeeze(others)
        else:
            pixels = _PROJECTIONS[self.projection](pixels, axis=others)
        rgb = to_rgb(pixels, self.name, self.contrast_limits)
        if self.gamma != 1:
            rgb **= self.gamma
        return rgb if self.colormap is None else _colour(rgb[..., 0], self.colormap)

    def thinned(self, side: int) -> "Plane | None":
        """Return every n-th pixel of the plane, about `side` long; None if it is lazy."""
        level = self._level(side)
        data = self.levels[level]
        if not isinstance(data, np.ndarray):
            return None
        axes = self.geometry.displayed
        step = max(1, max(data.shape[axis] for axis in axes) // side)
        taken = list(self.slices[level])
        for axis in axes:
            taken[axis] = slice(None, None, step)
        return replace(self, levels=(data,), slices=(tuple(taken),))

    def _level(self, size: int | None) -> int:
        axes = list(self.geometry.displayed)
        longest = [max(np.array(data.shape)[axes]) for data in self.levels]
        enough = [level for level, side in enumerate(longest) if size and side >= size]
        return max(enough, default=0)


def displayed_plane(layer: Any, dims: Any) -> Plane:
    """Return the plane of an image layer that the viewer shows.

    Parameters
    ----------
    layer
        A ``napari.layers.Image``.
    dims
        The viewer's ``dims``.

    Raises
    ------
    ValueError
        If no single plane of the layer is displayed, or none of it at all.
    """
    ndim = layer.ndim
    if dims.ndisplay != 2 and ndim > 2:
        raise ValueError(
            f"{quoted(layer)} is shown as a volume: switch the viewer to 2-D and choose "
            "the plane with the slider."
        )
    # A layer of fewer dimensions than the viewer has the last of its axes.
    order = [axis - (dims.ndim - ndim) for axis in dims.order if axis >= dims.ndim - ndim]
    row, column = sorted(order[-2:])
    spans = _hidden_spans(layer, dims, order[:-2])
    levels = tuple(layer.data) if layer.multiscale else (layer.data,)
    shapes = [level.shape[:ndim] for level in levels]
    for axis, span in spans.items():
        if round(span.last) < 0 or round(span.first) > shapes[0][axis] - 1:
            raise ValueError(
                f"{quoted(layer)} has nothing at the viewer's position along axis "
                f"{layer.axis_labels[axis]}: move the slider to one of its planes."
            )
    position = np.zeros(ndim, int)
    for axis, span in spans.items():
        position[axis] = np.clip(round(span.middle), 0, shapes[0][axis] - 1)
    return Plane(
        name=f"layer {quoted(layer)}",
        geometry=Geometry(
            shape=(shapes[0][row], shapes[0][column]),
            displayed=(row, column),
            position=tuple(position.tolist()),
            scale=np.array(layer.scale, float),
            translate=np.array(layer.translate, float),
            rotate=np.array(layer.rotate),
            shear=np.array(layer.shear),
            affine=np.array(layer.affine.affine_matrix),
            units=tuple(layer.units),
            axis_labels=tuple(layer.axis_labels),
        ),
        levels=levels,
        slices=tuple(_slices(shape, shapes[0], spans) for shape in shapes),
        projection=str(layer.projection_mode),
        contrast_limits=(float(layer.contrast_limits[0]), float(layer.contrast_limits[1])),
        gamma=float(layer.gamma),
        colormap=None if layer.rgb or layer.colormap.name == "gray" else layer.colormap,
    )


class _Span(NamedTuple):
    """What is shown of an axis that is not displayed, in data coordinates."""

    first: float
    middle: float
    last: float


def _hidden_spans(layer: Any, dims: Any, hidden: Sequence[int]) -> dict[int, _Span]:
    if not hidden:
        return {}
    axes = list(hidden)
    factor = _unit_factors(layer, dims)[axes]
    # Only the hidden axes take part, as in napari itself: what a rotation out of the
    # plane would contribute is left out there too.
    origin = layer.world_to_data(np.zeros(layer.ndim))
    unit_steps = [layer.world_to_data(step) - origin for step in np.eye(layer.ndim)]
    to_data = np.column_stack(unit_steps)[np.ix_(axes, axes)]

    def to_hidden(values: Sequence[float]) -> NDArray[np.float64]:
        part: NDArray[np.float64] = to_data @ (factor * np.array(values)[-layer.ndim :][axes])
        return part

    middle = to_hidden(dims.point) + origin[axes]
    before = after = np.zeros(len(axes))
    if str(layer.projection_mode) != "none":
        before, after = to_hidden(dims.margin_left), to_hidden(dims.margin_right)
    ends = zip(middle - before, middle, middle + after, strict=True)
    return {axis: _Span(*map(float, span)) for axis, span in zip(axes, ends, strict=True)}


def _unit_factors(layer: Any, dims: Any) -> NDArray[np.float64]:
    """Return how many of the layer's units one of the viewer's is, by layer axis."""
    units = getattr(dims, "units", None)  # new in napari 0.9
    if units is None:
        return np.ones(layer.ndim)
    pairs = zip(units[-layer.ndim :], layer.units, strict=True)
    return np.array([_in_base(viewer) / _in_base(own) for viewer, own in pairs])


def _in_base(unit: Any) -> float:
    return float((1.0 * unit).to_base_units().magnitude)


def _slices(
    shape: Sequence[int], full: Sequence[int], spans: dict[int, _Span]
) -> tuple[slice, ...]:
    """Return what to take of a level; the spans are those of the full resolution."""
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


def _colour(values: NDArray[np.float32], colormap: Any) -> NDArray[np.float32]:
    """Map (H, W) values in [0, 1] to RGB, in bands, for a colormap takes 64 bytes a pixel."""
    rgb = np.empty((*values.shape, 3), np.float32)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        band = slice(start, start + _ROWS_AT_ONCE)
        colours = colormap.map(values[band].ravel()).reshape(*values[band].shape, 4)
        rgb[band] = colours[..., :3] * colours[..., 3:]
    return rgb


def thumbnail(layer: Any, dims: Any, side: int) -> NDArray[np.uint8]:
    """Return a small picture of what a layer shows, without computing anything lazy.

    Parameters
    ----------
    layer
        A ``napari.layers.Image``.
    dims
        The viewer's ``dims``.
    side
        About the longest side of the picture, in pixels.

    Returns
    -------
    numpy.ndarray
        ``(h, w, 3)``; napari's own 32-pixel thumbnail where there is no better one.
    """
    try:
        plane = displayed_plane(layer, dims).thinned(side)
        if plane is not None:
            return to_uint8(plane.rgb(side))
    except Exception:  # whatever is wrong with the layer is said when it is used
        pass
    return np.asarray(layer.thumbnail)[..., :3]
