"""Several image layers as one picture, blended as napari blends them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...images.blending import blend
from ...images.pixels import check_structure
from .geometry import Geometry
from .names import quoted
from .plane import Plane, displayed_plane
from .slicing import fitting


class Sheet(NamedTuple):
    """One layer of a composite."""

    plane: Plane
    blending: str
    opacity: float

    def draw(self, shape: tuple[int, int]) -> tuple[NDArray[np.float32], Any, str]:
        """Read it at the resolution that has some height and width, to be blended."""
        pixels = self.plane.pixels.read(self.plane.pixels.shapes.index(shape))
        colors, alpha = self.plane.rendering.rgba(pixels)
        opaqueness = self.opacity if alpha is None else self.opacity * alpha
        return colors, opaqueness, self.blending


@dataclass(frozen=True)
class Composite:
    """Planes that lie on each other, blended; used like a :class:`Plane`.

    Attributes
    ----------
    name
        What the composite is called in messages.
    geometry
        Where it lies.
    sheets
        The layers, the lowest first.
    background
        The colour of the canvas, RGB in [0, 1].
    """

    name: str
    geometry: Geometry
    sheets: tuple[Sheet, ...]
    background: tuple[float, float, float]

    def shape(self, size: int | None = None) -> tuple[int, int]:
        """Return the height and width that :meth:`rgb` returns for a size."""
        shapes = self._shapes()
        return shapes[fitting(shapes, size)]

    def rgb(self, size: int | None = None) -> NDArray[np.float32]:
        """Read the layers and blend them.

        Parameters
        ----------
        size
            Longest side wanted, in pixels: of the resolutions that all layers have, the
            coarsest that is at least as long is read; without it, the finest.

        Returns
        -------
        numpy.ndarray
            ``(H, W, 3)`` float32 in [0, 1].

        Raises
        ------
        ValueError
            If a layer has NaN, or the whole is a single colour.
        """
        shape = self.shape(size)
        rgb = blend((sheet.draw(shape) for sheet in self.sheets), self.background)
        check_structure(rgb, self.name)
        return rgb

    def _shapes(self) -> list[tuple[int, int]]:
        first, *others = (sheet.plane.pixels.shapes for sheet in self.sheets)
        return [shape for shape in first if all(shape in shapes for shapes in others)]


def displayed_composite(
    layers: Sequence[Any], dims: Any, background: Sequence[float] = (0.0, 0.0, 0.0)
) -> Composite:
    """Return what several image layers show together, as if there were no others.

    Parameters
    ----------
    layers
        ``napari.layers.Image`` layers, the lowest first, as in ``viewer.layers``.
    dims
        The viewer's ``dims``.
    background
        The colour of the canvas, RGB in [0, 1], see :func:`canvas_background`; it is
        seen only where the lowest layer is transparent.

    Raises
    ------
    ValueError
        If there is no layer, if one of them has no plane to show, or if their pixels do
        not lie on each other.
    """
    if not layers:
        raise ValueError("There is no layer to blend: choose at least one.")
    planes = [displayed_plane(layer, dims) for layer in layers]
    # Of a plane and a stack together, the result lies in the plane of the stack.
    geometry = max((plane.geometry for plane in planes), key=lambda g: len(g.scale))
    base = next(plane for plane in planes if plane.geometry is geometry)
    for plane in planes:
        names = f"the {base.name}", f"The {plane.name}"
        advice = "Choose layers of one shape and place."
        geometry.check_covers(plane.geometry, dims, *names, advice)
    red, green, blue = background[:3]
    return Composite(
        name=f"composite of {', '.join(map(quoted, layers))}",
        geometry=geometry,
        sheets=tuple(
            Sheet(plane, str(layer.blending), float(layer.opacity))
            for plane, layer in zip(planes, layers, strict=True)
        ),
        background=(float(red), float(green), float(blue)),
    )


def canvas_background(viewer: Any) -> tuple[float, float, float]:
    """Return the colour of a viewer's canvas, RGB in [0, 1].

    Parameters
    ----------
    viewer
        A ``napari.Viewer``.
    """
    from napari.utils.theme import get_theme

    canvas = getattr(viewer, "canvas", None)  # new in napari 0.9
    if canvas is not None:
        red, green, blue = map(float, canvas.background_color[:3])
    else:
        red, green, blue = (c / 255 for c in get_theme(viewer.theme).canvas.as_rgb_tuple()[:3])
    return red, green, blue
