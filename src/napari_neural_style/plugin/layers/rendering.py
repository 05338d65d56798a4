"""From the values of an image layer to the colours that napari shows."""

from typing import Any

import numpy as np

from ...images.rendering import SHADES, ColorTable, Rendering
from .names import quoted


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
    colors = plain.map(np.linspace(0, 1, SHADES)).astype(np.float32)
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
