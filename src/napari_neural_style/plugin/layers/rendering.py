"""From the values of an image layer to the colours that napari shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...images.rendering import Rendering
from .names import quoted

_LUT_LENGTH = 1024
"""Of the table that a colormap becomes on the graphics card."""
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


def layer_rendering(layer: Any) -> Rendering:
    """Return how a ``napari.layers.Image`` shows its values."""
    low, high = layer.contrast_limits
    return Rendering(
        name=f"layer {quoted(layer)}",
        contrast_limits=(float(low), float(high)),
        gamma=float(layer.gamma),
        table=None if layer.rgb else color_table(layer.colormap),
    )
