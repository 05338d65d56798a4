"""From the values of an image to the colours that are painted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_neural_style.images.pixels import check_structure, fill_transparent, normalize

SHADES: Final = 1024
"""Colours of a colormap on napari's canvas."""
_ROWS_AT_ONCE = 256
_EXTREME = 1e-12
"""How near a value must be to 0 or 1 to get the colour for what is beyond the limits."""


def is_rgba(pixels: NDArray[Any]) -> bool:
    """Tell whether an image has an alpha channel."""
    return pixels.ndim == 3 and pixels.shape[2] == 4


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

    @classmethod
    def to(cls, color: ArrayLike) -> Self:
        """Make a colormap from black to a colour, RGB in [0, 1]."""
        shades = np.ones((SHADES, 4), np.float32)
        shades[:, :3] = np.linspace(0, 1, SHADES)[:, np.newaxis] * np.asarray(color)
        return cls(shades, smooth=True, low=None, high=None)

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


@dataclass(frozen=True)
class Rendering:
    """How an image's values become colours; can be sent to other processes.

    All methods take ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` values, and raise ``ValueError``
    for what is no image, is not finite or, but for :meth:`rgba`, is constant; or if the contrast
    limits are not increasing.

    Attributes
    ----------
    name
        What the image is called in messages.
    contrast_limits
        The values that become 0 and 1.
    gamma
        Exponent of the values between.
    table
        Colormap, from ``(H, W)`` values in [0, 1] to ``(H, W, 4)`` colours; None for gray, and
        for RGB.
    """

    name: str
    contrast_limits: tuple[float, float]
    gamma: float = 1.0
    table: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None

    def rgba(self, pixels: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return straight colours, and how opaque they are.

        Returns
        -------
        colors
            ``(H, W, 3)`` float32 in [0, 1].
        alpha
            ``(H, W)`` float32 in [0, 1]; None where all is opaque.
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
        """Return the colours over black, ``(H, W, 3)``."""
        colors, alpha = self.rgba(pixels)
        if alpha is not None:
            colors = colors * alpha[..., np.newaxis]
        colors = np.ascontiguousarray(colors)
        check_structure(colors, self.name)
        return colors

    def straight(
        self, pixels: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the colours apart from the transparency of RGBA.

        Returns
        -------
        rgb
            ``(H, W, 3)`` float32 in [0, 1]; where RGBA is fully transparent, smoothly filled
            from what is visible around.
        alpha
            ``(H, W)`` float32 in [0, 1]; None unless the pixels are RGBA.
        """
        if not is_rgba(pixels):
            return self.rgb(pixels), None
        colors, alpha = self.rgba(pixels)
        assert alpha is not None
        filled = fill_transparent(colors, alpha, self.name)
        check_structure(filled, self.name)
        return filled, alpha

    def gray(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``(H, W)`` values in [0, 1], without the colormap; ValueError for RGB."""
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
        # Before any transparency, as in the shader of napari's canvas.
        if self.gamma != 1:
            unit **= self.gamma
        return unit, alpha
