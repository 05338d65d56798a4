"""An earlier result, as a picture of the content that a run can go on from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .composite import Composite
from .geometry import Geometry
from .names import quoted
from .plane import Plane, displayed_plane

_APART = 1.0
"""How far the edges of a result may be from the content's, in pixels of the coarser one."""


def earlier_picture(layer: Any, content: Plane | Composite, dims: Any) -> NDArray[Any]:
    """Return the pixels of an earlier result.

    Parameters
    ----------
    layer
        A ``napari.layers.Image``.
    content
        What it was painted from.
    dims
        The viewer's ``dims``.

    Returns
    -------
    numpy.ndarray
        ``(h, w)``, or ``(h, w, channels)`` for RGB and RGBA, as the layer has them.

    Raises
    ------
    ValueError
        If the layer does not lie on the content.
    """
    plane = displayed_plane(layer, dims)
    if not _same_edges(plane.geometry, content.geometry, dims):
        raise ValueError(
            f"{quoted(layer)} does not lie on the {content.name}: choose the content that it was "
            "painted from, and the plane that it lies in."
        )
    return plane.values()


def _same_edges(result: Geometry, content: Geometry, dims: Any) -> bool:
    found = content.pixels_of(result, dims) @ _corners(result.shape)
    coarser = max(1.0, *np.divide(content.shape, result.shape))
    return bool(np.abs(found - _corners(content.shape)).max() <= _APART * coarser)


def _corners(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Outer corners of the pixels of a plane, as columns of homogeneous coordinates."""
    height, width = shape
    rows, columns = [-0.5, height - 0.5], [-0.5, width - 0.5]
    return np.array([[row, column, 1.0] for row in rows for column in columns]).T
