"""From the values of an image layer to the colours that napari shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...images.pixels import check_structure, normalize

_LUT_LENGTH = 1024
"""Of the table that a colormap becomes on the graphics card."""
_ROWS_AT_ONCE = 256
_EXTREME = 1e-12
"""How near a value must be to 0 or 1 to get the colour for what is beyond the limits."""


@dataclass(frozen=True)
class ColorTable:
    """A colormap as napari's shader reads it: a table of RGBA colours.

    Attributes
    ----------
    colors
        ``(n, 4)`` float32 in [0, 1].
    smooth
        Interpolate between the colours.
    low, high
        Colours of what is not above 0, and not below 1, if they are special.
    """

    colors: NDArray[np.float32]
    smooth: bool
    low: NDArray[np.float32] | None
    high: NDArray[np.float32] | None

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map ``(H, W)`` values in [0, 1] to ``(H, W, 4)`` colours."""
        colors: NDArray[np.float32]
        # As OpenGL samples a texture: its values lie on the centres of n equal bins.
        last = len(self.colors) - 1
        where = values * np.float32(len(self.colors))
        if self.smooth:
            where = np.clip(where - 0.5, 0, last)
            below = np.minimum(where.astype(np.intp), last - 1)
            part = (where - below)[..., np.newaxis]
            colors = self.colors[below] * (1 - part) + self.colors[below + 1] * part
        else:
            colors = self.colors[np.minimum(where.astype(np.intp), last)]
        if self.low is not None:
            colors[values <= _EXTREME] = self.low
        if self.high is not None:
            colors[1 - values <= _EXTREME] = self.high
        return colors


def color_table(colormap: Any) -> ColorTable | None:
    """Return a napari colormap as a table; None for plain gray, which needs none.

    Parameters
    ----------
    colormap
        A ``napari.utils.Colormap``.
    """
    smooth = str(colormap.interpolation) == "linear"
    low, high = (
        None if color is None else np.array(color, np.float32)
        for color in (colormap.low_color, colormap.high_color)
    )
    black_to_white = np.array_equal(colormap.colors, [[0, 0, 0, 1], [1, 1, 1, 1]])
    if smooth and black_to_white and low is None and high is None:
        return None
    plain = colormap.model_copy(update={"low_color": None, "high_color": None})
    colors = plain.map(np.linspace(0, 1, _LUT_LENGTH)).astype(np.float32)
    return ColorTable(colors, smooth, low, high)


@dataclass(frozen=True)
class Rendering:
    """How an image layer turns its values into colours; can be sent to other processes.

    Attributes
    ----------
    name
        What the layer is called in messages.
    contrast_limits, gamma
        As those of the layer.
    table
        Its colormap; None for gray, and for RGB.
    """

    name: str
    contrast_limits: tuple[float, float]
    gamma: float
    table: ColorTable | None

    def rgba(self, pixels: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return straight colours, and how opaque they are.

        Parameters
        ----------
        pixels
            ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` values of the layer.

        Returns
        -------
        colors
            ``(H, W, 3)`` float32 in [0, 1].
        alpha
            ``(H, W)`` float32 in [0, 1]; None where all is opaque.

        Raises
        ------
        ValueError
            If the pixels are no image, or not finite, or the contrast limits not
            increasing.
        """
        unit, alpha = self._unit(pixels)
        if unit.ndim == 3:
            return unit, alpha
        if self.table is None:
            return np.repeat(unit[..., np.newaxis], 3, axis=2), None
        rgba = np.empty((*unit.shape, 4), np.float32)
        # In bands, for the table's intermediates are several times as large as the plane.
        for start in range(0, len(unit), _ROWS_AT_ONCE):
            band = slice(start, start + _ROWS_AT_ONCE)
            rgba[band] = self.table(unit[band])
        alpha = rgba[..., 3]
        return rgba[..., :3], None if (alpha == 1).all() else alpha

    def rgb(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return the colours over black, ``(H, W, 3)``; errors as :meth:`rgba`, or constant."""
        colors, alpha = self.rgba(pixels)
        if alpha is not None:
            colors = colors * alpha[..., np.newaxis]
        colors = np.ascontiguousarray(colors)
        check_structure(colors, self.name)
        return colors

    def gray(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``(H, W)`` values between the contrast limits as [0, 1], without colormap.

        Raises
        ------
        ValueError
            As :meth:`rgb`; or if the pixels are RGB.
        """
        unit, _ = self._unit(pixels)
        if unit.ndim == 3:
            raise ValueError(
                f"The {self.name} is an RGB image: an intensity result needs a content of one "
                "channel."
            )
        check_structure(unit, self.name)
        return unit

    def _unit(self, pixels: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        unit, alpha = normalize(pixels, self.name, self.contrast_limits)
        # Before any transparency, as in the shader of the canvas.
        if self.gamma != 1:
            unit **= self.gamma
        return unit, alpha


def layer_rendering(layer: Any, name: str) -> Rendering:
    """Return how a ``napari.layers.Image`` shows its values.

    Parameters
    ----------
    layer
        The layer.
    name
        What it is called in messages.
    """
    low, high = layer.contrast_limits
    return Rendering(
        name=name,
        contrast_limits=(float(low), float(high)),
        gamma=float(layer.gamma),
        table=None if layer.rgb else color_table(layer.colormap),
    )
