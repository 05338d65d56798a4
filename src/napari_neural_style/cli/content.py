"""The content: a file's pixels as the engine takes them, and results as the file's pixels."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.cli.channels import read_pixels
from napari_neural_style.images import (
    intensity_like,
    read_calibration,
    resized,
    split_alpha,
    to_rgb,
)
from napari_neural_style.images.pixels import normalize


class Content:
    """An image file that is painted; one of several channels is painted in their colours.

    Parameters
    ----------
    path
        The file.
    output
        ``rgb`` or ``intensity``: whether results are colours, with the file's transparency, or
        one channel of its dtype and range.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read or used, or has colours where one channel is wanted.
    """

    def __init__(self, path: str | Path, output: str) -> None:
        image, name = read_pixels(path), f"image {path}"
        if output == "intensity" and image.ndim == 3:
            raise ValueError(
                f"--output intensity is for images of one channel, and {path} has colours."
            )
        self._image = image
        self._limits = shown_limits(image)
        self._one_channel = output == "intensity"
        self._alpha: NDArray[np.float32] | None = None
        self.calibration = read_calibration(path)
        """Size of its pixels."""
        self.rgb: NDArray[np.float32]
        """What the engine paints, ``(H, W, 3)`` in [0, 1]."""
        if image.ndim == 3:
            self.rgb, self._alpha = split_alpha(image, name)
        else:
            self.rgb = to_rgb(image, name, self._limits)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Of a result of one channel; None for colours."""
        return self._image.dtype if self._one_channel else None

    def finish(self, result: NDArray[np.float32], mask: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return a result as ``write_image`` takes it.

        Parameters
        ----------
        result
            ``(H, W, 3)`` in [0, 1], of any size.
        mask
            Where it was painted, if not everywhere.
        """
        if self._alpha is not None:
            if mask is not None and mask.shape == result.shape[:2]:
                # Also the colours that nobody sees.
                hidden = (mask == 0) & (self._alpha == 0)
                result = np.where(
                    hidden[..., np.newaxis], normalize(self._image, "image")[0], result
                )
            return np.dstack([result, resized(self._alpha, result.shape[:2])])
        if not self._one_channel:
            return result
        assert self._limits is not None
        return intensity_like(self._image, result[..., 0], self._limits, mask=mask)


def shown_limits(image: NDArray[Any]) -> tuple[float, float] | None:
    """The values shown as black and white; None where they are those of ``to_rgb``."""
    if image.ndim == 3:
        return None
    low, high = float(image.min()), float(image.max())
    if image.dtype == np.uint8:
        return 0.0, 255.0
    if image.dtype.kind == "b" or (image.dtype.kind == "f" and low >= 0 and high <= 1):
        return 0.0, 1.0
    # Cameras seldom fill 16 bits: like napari, span what is there.
    return (low, high) if low < high else None
