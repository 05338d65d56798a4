"""From the values of a stack to what is painted, the same for all its planes."""

from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.images import to_rgb
from napari_neural_style.stacks.axes import Axes

# Of longer stacks, limits are those of so many planes, evenly spread.
_LOOKED_AT: Final = 32


class Rendering(Protocol):
    """Turns a plane's values into what is painted; can be sent to other processes."""

    @property
    def contrast_limits(self) -> tuple[float, float]:
        """The values that become 0 and 1."""

    @property
    def gamma(self) -> float:
        """Exponent of the values between."""

    def rgb(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``(H, W, 3)`` colours in [0, 1]; ValueError for what cannot be painted."""

    def gray(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``(H, W)`` values in [0, 1]; ValueError for what cannot be painted."""


@dataclass(frozen=True)
class FixedLimits:
    """The same contrast limits for every plane: limits of their own would flicker.

    Attributes
    ----------
    contrast_limits
        The values that become 0 and 1.
    """

    contrast_limits: tuple[float, float]
    gamma: float = 1.0

    def rgb(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``(H, W, 3)`` colours in [0, 1]; RGBA is composited over black."""
        rgb: NDArray[np.float32] = to_rgb(pixels, "plane", self.contrast_limits)
        return rgb

    def gray(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``(H, W)`` values in [0, 1]."""
        return np.ascontiguousarray(self.rgb(pixels)[..., 0])


def fixed_limits(stack: Any, axes: Axes) -> FixedLimits:
    """Find contrast limits for a whole stack.

    Those of :func:`~napari_neural_style.images.to_rgb`; where they depend on the pixels, the
    smallest and largest value of 32 planes spread over the stack, or of all if it has fewer.

    Raises
    ------
    ValueError
        If none of these planes can be read, or all are constant.
    """
    dtype = np.dtype(stack.dtype)
    if dtype.kind == "b" or dtype == np.uint8 or (dtype == np.uint16 and axes.in_color):
        return FixedLimits((0, 1 if dtype.kind == "b" else float(np.iinfo(dtype).max)))
    count = int(np.prod(axes.counts))
    step = -(-count // _LOOKED_AT)
    lows, highs = [], []
    for index in islice(axes.indices(), 0, None, step):
        try:
            plane = axes.take(stack, index)
            low, high = float(plane.min()), float(plane.max())
        except Exception:  # said when it is to be painted
            continue
        if np.isfinite([low, high]).all():
            lows.append(low)
            highs.append(high)
    if not lows:
        raise ValueError("No plane of the stack can be read, or all hold NaN or infinite values.")
    low, high = min(lows), max(highs)
    if dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    if low == high:
        raise ValueError(f"The stack is constant: every value looked at is {low:g}.")
    return FixedLimits((low, high))
