"""The plane of an image layer that the viewer shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...images.rendering import Rendering
from ...images.views import View
from .geometry import Geometry
from .rendering import layer_rendering
from .slicing import Slice, displayed_slice, fitting


@dataclass(frozen=True)
class Plane:
    """One plane of an image layer, ready to be read in any thread or process.

    Nothing is computed before it is asked for, and then no more than this plane.
    Everything that the layer may change meanwhile has been copied, except its pixels.

    All methods take the longest side wanted, in pixels: of a multiscale layer, the
    coarsest level that is at least as long is read; without it, the finest. For colours
    that cannot be stylized (NaN, a single one, a single pixel) they raise ``ValueError``.
    """

    pixels: Slice
    rendering: Rendering

    @property
    def name(self) -> str:
        """What the plane is called in messages."""
        return self.rendering.name

    @property
    def geometry(self) -> Geometry:
        """Where the plane lies."""
        return self.pixels.geometry

    def shape(self, size: int | None = None) -> tuple[int, int]:
        """Return the height and width that the other methods return for a size."""
        return self.pixels.shapes[fitting(self.pixels.shapes, size)]

    def rgb(self, size: int | None = None) -> NDArray[np.float32]:
        """Return ``(H, W, 3)`` colours in [0, 1] as napari shows them over black."""
        return self.rendering.rgb(self.values(size))

    def values(self, size: int | None = None) -> NDArray[Any]:
        """Return the layer's own values, ``(H, W)`` or ``(H, W, channels)``."""
        return self.pixels.read(fitting(self.pixels.shapes, size))

    def view(self, digest: str, size: int | None = None, kind: str = "rgb") -> View:
        """Tell how the plane is seen, for a recipe; parameters as those of a `View`."""
        pixels, level = self.pixels, fitting(self.pixels.shapes, size)
        return View(
            digest,
            *(pixels.name, pixels.file, level),
            shape=pixels.shapes_of_arrays[level],
            part=pixels.parts[level],
            displayed=self.geometry.displayed,
            projection=pixels.projection,
            rendering=self.rendering,
            kind=kind,
        )


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
    return Plane(displayed_slice(layer, dims), layer_rendering(layer))
