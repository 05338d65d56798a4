"""Spatial guides: regions of an image from a Labels layer, or drawn in a Shapes layer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .composite import Composite
from .geometry import coarser
from .labels import StackLabels, read_labels, stack_labels
from .names import quoted
from .plane import Plane
from .slicing import displayed_slice, hidden_spans, layer_geometry, refuse_volume
from .stack import StackSource

_WITH_AREA = ("rectangle", "ellipse", "polygon")
_ADVICE = "Use a Labels layer of the same shape and place, or draw shapes, which may lie anywhere."


def content_mask(
    layer: Any, plane: Plane | Composite, dims: Any, size: int | None = None
) -> NDArray[Any]:
    """Return the regions of a plane that a Labels or Shapes layer draws over it.

    Parameters
    ----------
    layer
        A ``napari.layers.Labels`` with the pixels of the plane, or a ``Shapes`` anywhere
        in the viewer's world.
    plane
        The plane of the content, or of the style image.
    dims
        The viewer's ``dims``.
    size
        As for :meth:`Plane.rgb`: the mask has the shape of what that returns.

    Returns
    -------
    numpy.ndarray
        ``(H, W)`` integers, 0 outside of all regions. The i-th shape of a Shapes layer,
        from 0, has the label i + 1; where shapes overlap, the later lies on top.

    Raises
    ------
    ValueError
        If the layer has no region on the plane; if the pixels of a Labels layer are not
        those of the plane; if a shape on the plane has no area.
    """
    shape = plane.shape(size)
    if hasattr(layer, "shape_type"):
        mask = _drawn(layer, plane, dims, shape)
    else:
        mask = _painted(layer, plane, dims, shape)
    if not mask.any():
        raise ValueError(
            f"{quoted(layer)} marks nothing of the {plane.name}: draw the regions over this "
            "plane, or paint everywhere."
        )
    return mask


def stack_mask(
    layer: Any, source: StackSource, plane: Plane | Composite, dims: Any, size: int | None
) -> NDArray[Any] | StackLabels:
    """Return the regions of a stack's planes that a Labels or Shapes layer draws over them.

    Parameters
    ----------
    layer
        As for :func:`content_mask`. Of a Labels layer that is a stack itself, each plane has
        the labels that lie in it; of others, all planes have those of one.
    source
        The stack.
    plane
        The plane of the stack whose regions are meant where they are not each plane's own.
    dims, size
        As for :func:`content_mask`.

    Returns
    -------
    array
        ``(H, W)``, or the labels of all planes with the axes of the stack, not read yet.

    Raises
    ------
    ValueError
        As :func:`content_mask`; of a stack of lazy labels, only if none lies in any plane.
    """
    if hasattr(layer, "shape_type") or layer.ndim == 2:
        return content_mask(layer, plane, dims, size)
    refuse_volume(layer, dims)
    labels = stack_labels(layer, source, dims, size)
    names = f"the {plane.name}", quoted(layer)
    source.geometry.check_covers(labels.geometry, dims, *names, _ADVICE)
    if labels.empty:
        raise ValueError(
            f"{quoted(layer)} marks nothing of the {plane.name}: paint labels in its planes, or "
            "paint everywhere."
        )
    return labels


def _painted(
    layer: Any, plane: Plane | Composite, dims: Any, shape: tuple[int, int]
) -> NDArray[Any]:
    labels = displayed_slice(layer, dims, plane.geometry)
    names = f"the {plane.name}", quoted(layer)
    plane.geometry.check_covers(labels.geometry, dims, *names, _ADVICE)
    return read_labels(labels, shape)


def _drawn(
    layer: Any, plane: Plane | Composite, dims: Any, shape: tuple[int, int]
) -> NDArray[np.int32]:
    refuse_volume(layer, dims)
    geometry = layer_geometry(layer, dims, (1,) * layer.ndim)
    plane.geometry.check_units(geometry, f"the {plane.name}", quoted(layer))
    finer = coarser(shape, plane.geometry.shape)
    to_pixels = finer @ plane.geometry.pixels_of(geometry, dims)
    position = {
        axis: round(span.middle) for axis, span in hidden_spans(layer, dims, plane.geometry).items()
    }
    mask = np.zeros(shape, np.int32)
    for number, (kind, vertices) in enumerate(zip(layer.shape_type, layer.data, strict=True)):
        if any(
            not round(vertices[:, axis].min()) <= index <= round(vertices[:, axis].max())
            for axis, index in position.items()
        ):
            continue
        if kind not in _WITH_AREA:
            raise ValueError(
                f"Shape {number + 1} of {quoted(layer)} is a {kind}, which has no area: delete "
                "it, or draw a rectangle, an ellipse or a polygon instead."
            )
        corners = vertices[:, list(geometry.displayed)]
        corners = corners @ to_pixels[:2, :2].T + to_pixels[:2, 2]
        inside = _in_ellipse if kind == "ellipse" else _in_polygon
        mask[inside(corners, shape)] = number + 1
    return mask


_Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]


def _in_polygon(corners: NDArray[np.float64], shape: tuple[int, int]) -> _Pixels:
    from skimage.draw import polygon

    rows, columns = polygon(corners[:, 0], corners[:, 1], shape)
    return rows, columns


def _in_ellipse(corners: NDArray[np.float64], shape: tuple[int, int]) -> _Pixels:
    """Return the pixels in the ellipse that a parallelogram encloses."""
    centre = corners.mean(axis=0)
    radii = np.column_stack([corners[1] - corners[0], corners[3] - corners[0]]) / 2
    if abs(np.linalg.det(radii)) == 0:
        empty = np.empty(0, np.intp)
        return empty, empty
    low = np.clip(np.ceil(corners.min(axis=0)), 0, shape).astype(int)
    high = np.clip(np.floor(corners.max(axis=0)) + 1, 0, shape).astype(int)
    rows, columns = np.mgrid[low[0] : high[0], low[1] : high[1]]
    offsets = np.stack([rows - centre[0], columns - centre[1]], axis=-1)
    inside = ((offsets @ np.linalg.inv(radii).T) ** 2).sum(axis=-1) <= 1
    return rows[inside], columns[inside]
