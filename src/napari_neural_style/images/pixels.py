"""Arrays of any dtype to RGB in [0, 1] and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def to_rgb(
    array: ArrayLike,
    name: str = "image",
    contrast_limits: Sequence[float] | None = None,
    dtype: type[np.floating[Any]] = np.float32,
) -> NDArray[Any]:
    """Convert an image of any real dtype to RGB in [0, 1].

    Parameters
    ----------
    array
        A ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` or ``(H, W, 4)`` array of booleans,
        integers or floats. RGBA is composited over black, as napari's canvas shows it.
    name
        What the array is called in error messages.
    contrast_limits
        The two values that become 0 and 1; colours beyond them are clipped. Without
        them, booleans become 0 and 1, ``uint8`` and ``uint16`` span the range of their
        dtype, floats already in [0, 1] stay as they are, and anything else is stretched
        from its minimum to its maximum.
    dtype
        Floating-point type of the result; float64 keeps all digits, for verification.

    Returns
    -------
    numpy.ndarray
        A new C-contiguous ``(H, W, 3)`` array in [0, 1], float32 unless asked otherwise.

    Raises
    ------
    ValueError
        If the array is no such image, is empty, has fewer than two pixels, holds NaN or
        infinite values, or is constant; or if the contrast limits are not increasing.
    """
    pixels = np.asarray(array)
    _check_image(pixels, name)
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    values = _to_unit_range(pixels, dtype)
    colours = values[..., :3]
    if contrast_limits is not None:
        colours = _between(pixels[..., :3], contrast_limits, name)
    if values.shape[2] == 4:
        colours = colours * values[..., 3:]

    rgb = np.empty((*pixels.shape[:2], 3), dtype)
    rgb[...] = colours
    if (rgb == rgb[0, 0]).all():
        raise ValueError(
            f"The {name} is constant, every pixel looks the same: "
            "choose an image with some structure, or other contrast limits."
        )
    return rgb


def to_uint8(rgb: ArrayLike) -> NDArray[np.uint8]:
    """Round an image of finite values in [0, 1] to 8 bits; values beyond are clipped."""
    eight_bit: NDArray[np.uint8] = quantize(rgb, np.uint8)
    return eight_bit


def _check_image(pixels: NDArray[Any], name: str) -> None:
    if pixels.dtype.kind not in "biuf":
        raise ValueError(
            f"The {name} has dtype {pixels.dtype}: booleans, integers and real floats can be used."
        )
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise ValueError(
            f"The {name} has shape {pixels.shape}: it must be (height, width), or "
            "(height, width, channels) with 3 (RGB) or 4 (RGBA) channels; "
            "select one plane of a stack."
        )
    height, width = pixels.shape[:2]
    if height * width < 2:
        raise ValueError(
            f"The {name} has {height} x {width} pixels: it needs at least two, better thousands."
        )
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError(
            f"The {name} holds NaN or infinite values: replace them first, "
            "for example with numpy.nan_to_num."
        )


def _to_unit_range(pixels: NDArray[Any], precision: type[np.floating[Any]]) -> NDArray[Any]:
    dtype = pixels.dtype
    if dtype.kind == "b":
        return pixels.astype(precision)
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return pixels.astype(precision) / np.iinfo(dtype).max
    if dtype.kind == "f" and pixels.min() >= 0 and pixels.max() <= 1:
        return pixels
    return _stretch(pixels, pixels.min(), pixels.max())


def _between(pixels: NDArray[Any], limits: Sequence[float], name: str) -> NDArray[Any]:
    low, high = (float(limit) for limit in limits)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(
            f"The contrast limits of the {name} are {low:g} and {high:g}: "
            "the second must be larger than the first."
        )
    return _stretch(pixels, low, high)


def _stretch(pixels: NDArray[Any], low: Any, high: Any) -> NDArray[Any]:
    """Map low to 0 and high to 1, clipped; zeros if the two are equal."""
    wide = np.result_type(pixels.dtype, np.float64).type
    low, high = wide(low), wide(high)
    if low == high:
        return np.zeros(pixels.shape)
    # Without the division by their magnitude, the difference of the limits can overflow.
    magnitude = max(abs(low), abs(high))
    offset = low / magnitude
    clipped = np.clip(pixels.astype(wide), low, high) / magnitude
    stretched: NDArray[Any] = np.clip((clipped - offset) / (high / magnitude - offset), 0, 1)
    return stretched


def quantize(rgb: ArrayLike, dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """Round an image of finite values in [0, 1] to the range of an unsigned integer dtype."""
    scaled = np.clip(np.asarray(rgb, np.float32), 0, 1)
    scaled *= np.iinfo(dtype).max
    return np.rint(scaled, out=scaled).astype(dtype)
