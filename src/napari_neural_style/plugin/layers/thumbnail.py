"""Small pictures of what layers show."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...images import to_uint8
from .composite import displayed_composite
from .plane import Plane, displayed_plane


def thumbnail(
    layers: Sequence[Any], dims: Any, side: int, background: Sequence[float] = (0.0, 0.0, 0.0)
) -> NDArray[np.uint8]:
    """Return a small picture of what layers show together, without computing anything lazy.

    Parameters
    ----------
    layers
        ``napari.layers.Image`` layers, the lowest first.
    dims
        The viewer's ``dims``.
    side
        About the longest side of the picture, in pixels.
    background
        The colour of the canvas, RGB in [0, 1].

    Returns
    -------
    numpy.ndarray
        ``(h, w, 3)``; napari's own 32-pixel thumbnail of the lowest layer where there is
        no better one.
    """
    try:
        if len(layers) == 1:
            return to_uint8(_thinned(displayed_plane(layers[0], dims), side).rgb())
        composite = displayed_composite(layers, dims, background)
        thin = [sheet._replace(plane=_thinned(sheet.plane, side)) for sheet in composite.sheets]
        return to_uint8(replace(composite, sheets=tuple(thin)).rgb())
    except Exception:  # whatever is wrong with the layers is said when they are used
        return np.asarray(layers[0].thumbnail)[..., :3]


def _thinned(plane: Plane, side: int) -> Plane:
    return replace(plane, pixels=plane.pixels.thinned(side))
