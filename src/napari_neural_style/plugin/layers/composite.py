"""Several image layers as one picture, blended as napari blends them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...images.blending import Picture, blend, drawn
from ...images.pixels import check_structure
from .geometry import Geometry, coarser
from .names import quoted
from .plane import Plane, displayed_plane
from .sampling import sample
from .slicing import fitting


class Sheet(NamedTuple):
    """One layer of a composite."""

    plane: Plane
    blending: str
    opacity: float
    to_pixels: NDArray[np.float64] | None = None
    """``(3, 3)``, from the pixels of the composite to those of the plane, both of the full
    resolution; None where they are the same."""

    def draw(self, shape: tuple[int, int], full: tuple[int, int]) -> Picture:
        """Read it for a composite of some height and width, given those of the full resolution."""
        pixels = self.plane.pixels
        if self.to_pixels is None:
            return self._picture(pixels.read(pixels.shapes.index(shape)))
        sampled = sample(pixels, self.to_pixels @ coarser(full, shape), shape)
        if sampled is None:
            return Picture(
                np.zeros((*shape, 3), np.float32), 0, self.blending, np.zeros(shape, bool)
            )
        return self._picture(sampled.values)._replace(covered=sampled.covered)

    def _picture(self, values: NDArray[Any]) -> Picture:
        return drawn(self.plane.rendering, values, self.opacity, self.blending)


@dataclass(frozen=True)
class Composite:
    """Planes that lie on each other, blended; used like a :class:`Plane`.

    Its pixels are those of the plane with the smallest; others are sampled there.

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
            Longest side wanted, in pixels: of the resolutions that all layers of the same pixels
            have, the coarsest that is at least as long is read; without it, the finest.

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
        full = self.geometry.shape
        rgb = blend((sheet.draw(shape, full) for sheet in self.sheets), self.background)
        check_structure(rgb, self.name)
        return rgb

    def _shapes(self) -> list[tuple[int, int]]:
        aligned = (sheet.plane for sheet in self.sheets if sheet.to_pixels is None)
        first, *others = (plane.pixels.shapes for plane in aligned)
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
        If there is no layer, if one of them has no plane to show, or if they are measured in
        units that cannot be converted.
    """
    if not layers:
        raise ValueError("There is no layer to blend: choose at least one.")
    planes = [displayed_plane(layer, dims) for layer in layers]
    # Of a plane and a stack together, the result lies in the plane of the stack.
    most = max(len(plane.geometry.scale) for plane in planes)
    base = min(
        (plane for plane in planes if len(plane.geometry.scale) == most),
        key=lambda plane: round(plane.geometry.pixel_area(dims), 9),
    )
    geometry = base.geometry
    sheets = []
    for plane, layer in zip(planes, layers, strict=True):
        geometry.check_units(plane.geometry, f"the {base.name}", f"The {plane.name}")
        same = geometry.covers(plane.geometry, dims)
        to_pixels = None if same else plane.geometry.pixels_of(geometry, dims)
        sheets.append(Sheet(plane, str(layer.blending), float(layer.opacity), to_pixels))
    red, green, blue = background[:3]
    return Composite(
        name=f"composite of {', '.join(map(quoted, layers))}",
        geometry=geometry,
        sheets=tuple(sheets),
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
