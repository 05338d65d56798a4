"""Arrays of any dtype to RGB in [0, 1] and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


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
    values, alpha = normalize(array, name, contrast_limits, dtype)
    rgb = _three_channels(values)
    if alpha is not None:
        rgb *= alpha[..., np.newaxis]
    check_structure(rgb, name)
    return rgb


def check_structure(image: NDArray[Any], name: str) -> None:
    """Raise a ``ValueError`` if all pixels of an image are the same.

    Parameters
    ----------
    image
        ``(H, W)`` or ``(H, W, channels)``.
    name
        What it is called in the message.
    """
    if (image == image[0, 0]).all():
        raise ValueError(
            f"The {name} is constant, every pixel looks the same: "
            "choose an image with some structure, or other contrast limits."
        )


def normalize(
    array: ArrayLike,
    name: str,
    contrast_limits: Sequence[float] | None = None,
    dtype: type[np.floating[Any]] = np.float32,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Bring values to [0, 1], and part colours from transparency.

    Parameters
    ----------
    array, name, contrast_limits, dtype
        As for :func:`to_rgb`. Alpha spans the range of unsigned integers of 8 and 16 bits;
        of any other dtype it is clipped to [0, 1], as napari's canvas does.

    Returns
    -------
    values
        A new ``(H, W)`` or straight ``(H, W, 3)`` array in [0, 1].
    alpha
        ``(H, W)`` in [0, 1]; None unless the array is RGBA.

    Raises
    ------
    ValueError
        As :func:`to_rgb`, but for a constant image.
    """
    pixels = np.asarray(array)
    _check_image(pixels, name)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    values = pixels[..., :3] if pixels.ndim == 3 else pixels
    if contrast_limits is None:
        unit = _to_unit_range(values, dtype)
    else:
        unit = _between(values, contrast_limits, name)
    alpha = None
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        top = np.iinfo(pixels.dtype).max if _spans_its_dtype(pixels.dtype) else 1
        alpha = np.clip(pixels[..., 3], 0, top).astype(dtype) / dtype(top)
    return unit.astype(dtype), alpha


def split_alpha(
    array: ArrayLike, name: str = "image"
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Part an image into its colours and its transparency.

    Parameters
    ----------
    array, name
        As for :func:`to_rgb`.

    Returns
    -------
    rgb
        Straight colours, ``(H, W, 3)`` float32 in [0, 1], not multiplied by alpha. Fully
        transparent pixels, whose colours mean nothing, continue what is visible around
        them smoothly, so that nothing unseen leaves its traces in a style transfer.
    alpha
        ``(H, W)`` float32 in [0, 1]; None unless the array is RGBA.

    Raises
    ------
    ValueError
        As :func:`to_rgb`; or if nothing is visible.
    """
    values, alpha = normalize(array, name)
    if alpha is not None:
        values = fill_transparent(values, alpha, name)
    rgb = _three_channels(values)
    check_structure(rgb, name)
    return rgb, alpha


def _three_channels(values: NDArray[Any]) -> NDArray[Any]:
    rgb = np.empty((*values.shape[:2], 3), values.dtype)
    rgb[...] = values if values.ndim == 3 else values[..., np.newaxis]
    return rgb


def fill_transparent(
    rgb: NDArray[np.float32], alpha: NDArray[np.float32], name: str = "image"
) -> NDArray[np.float32]:
    """Return straight colours with fully transparent pixels filled from their surroundings.

    Colours are averaged, weighted by alpha, into ever coarser images until no hole is
    left, and interpolated back into the holes: the pull-push of Gortler et al., "The
    Lumigraph" (SIGGRAPH 1996).

    Parameters
    ----------
    rgb
        ``(H, W, 3)`` straight colours.
    alpha
        ``(H, W)`` in [0, 1].
    name
        What the image is called in the message.

    Raises
    ------
    ValueError
        If every pixel is fully transparent.
    """
    if not alpha.any():
        raise ValueError(f"The {name} is fully transparent: choose an image that can be seen.")
    hole = alpha == 0
    if not hole.any():
        return rgb
    weight = alpha[..., np.newaxis]
    coarse_weight = _half(weight)
    coarse_rgb = _half(rgb * weight)
    coarse_rgb /= np.where(coarse_weight == 0, 1, coarse_weight)
    coarse = fill_transparent(coarse_rgb, coarse_weight[..., 0], name)
    return np.where(hole[..., np.newaxis], _doubled(coarse, hole.shape), rgb)


def _half(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average blocks of 2 x 2; zeros beyond an odd edge."""
    height, width, channels = image.shape
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)))
    blocks = even.reshape(len(even) // 2, 2, -1, 2, channels)
    mean: NDArray[np.float32] = blocks.mean(axis=(1, 3))
    return mean


def _doubled(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Interpolate linearly to twice the size, cropped to a shape."""
    for axis, length in enumerate(shape):
        last = image.shape[axis] - 1
        position = np.clip((np.arange(length, dtype=np.float32) - 0.5) / 2, 0, last)
        below = position.astype(np.intp)
        part = (position - below).astype(np.float32)
        part = part.reshape(-1, *(1,) * (image.ndim - axis - 1))
        lower = image.take(below, axis)
        image = lower + (image.take(np.minimum(below + 1, last), axis) - lower) * part
    return image


def to_intensity(
    values: ArrayLike,
    dtype: DTypeLike,
    contrast_limits: Sequence[float],
    gamma: float = 1.0,
) -> NDArray[Any]:
    """Turn values in [0, 1] back into those that a layer with these contrast limits shows so.

    Parameters
    ----------
    values
        Finite values; those beyond [0, 1] are clipped.
    dtype
        Of the result: booleans, integers or floats.
    contrast_limits
        What 0 and 1 become.
    gamma
        The layer's exponent, which is undone.

    Returns
    -------
    numpy.ndarray
        Of the shape of the values, rounded for integers, and clipped to what the dtype
        can hold.
    """
    dtype = np.dtype(dtype)
    low, high = (float(limit) for limit in contrast_limits)
    part = np.clip(np.asarray(values, np.float64), 0, 1) ** (1 / gamma)
    span = high - low
    # The first rounds less, but the difference of the limits can overflow.
    wide = low + part * span if np.isfinite(span) else low * (1 - part) + high * part
    if dtype.kind == "b":
        return wide >= 0.5
    if dtype.kind == "f":
        info = np.finfo(dtype)
        return np.clip(wide, float(info.min), float(info.max)).astype(dtype)
    bounds = np.iinfo(dtype)
    rounded = np.rint(wide)
    high_end, low_end = rounded >= bounds.max, rounded <= bounds.min
    # The largest 64-bit integers are no floats: what reaches them is set, not converted.
    integers = np.where(high_end | low_end, 0, rounded).astype(dtype)
    integers[high_end], integers[low_end] = bounds.max, bounds.min
    return integers


def intensity_like(
    plane: NDArray[Any],
    values: ArrayLike,
    contrast_limits: Sequence[float],
    gamma: float = 1.0,
    mask: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Turn a painted channel into values such as those of the plane that it was painted from.

    Parameters
    ----------
    plane
        ``(H, W)``, whose dtype the result gets.
    values, contrast_limits, gamma
        As for :func:`to_intensity`.
    mask
        ``(H, W)``; where it is 0, the plane's own values stay to the bit, also those that the
        contrast limits clip, unless the result has another size.
    """
    painted = to_intensity(values, plane.dtype, contrast_limits, gamma)
    if mask is not None and painted.shape == plane.shape:
        np.copyto(painted, plane, where=mask == 0)
    return painted


def rgba_like(
    original: NDArray[np.uint8], rgb: ArrayLike, mask: NDArray[Any] | None = None
) -> NDArray[np.uint8]:
    """Give painted colours the transparency of the image that they were painted from.

    Parameters
    ----------
    original
        ``(H, W, 4)`` straight RGBA, whose alpha the result gets.
    rgb
        ``(h, w, 3)`` painted colours, finite, in [0, 1].
    mask
        ``(H, W)``; where it is 0, the colours stay to the bit, also those of fully transparent
        pixels, unless the result has another size.

    Returns
    -------
    numpy.ndarray
        ``(h, w, 4)``.
    """
    painted = to_uint8(rgb)
    if painted.shape[:2] != original.shape[:2]:
        alpha = resized(np.divide(original[..., 3], 255, dtype=np.float32), painted.shape[:2])
        return np.dstack([painted, to_uint8(alpha)])
    if mask is not None:
        np.copyto(painted, original[..., :3], where=(mask == 0)[..., np.newaxis])
    return np.dstack([painted, original[..., 3]])


def resized(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return an image at another height and width; the same one where they are its own.

    Parameters
    ----------
    image
        ``(H, W)`` or ``(H, W, channels)``.
    shape
        The height and width wanted.
    """
    if image.shape[:2] == shape:
        return image
    from skimage.transform import resize

    smooth: NDArray[np.float32] = resize(image, shape, order=1, anti_aliasing=True)
    return smooth


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
    if _spans_its_dtype(dtype):
        return pixels.astype(precision) / np.iinfo(dtype).max
    if dtype.kind == "f" and pixels.min() >= 0 and pixels.max() <= 1:
        return pixels
    return _stretch(pixels, pixels.min(), pixels.max())


def _spans_its_dtype(dtype: np.dtype[Any]) -> bool:
    """Tell whether the largest value of the dtype means 1, whatever is in the array."""
    return dtype.kind == "u" and dtype.itemsize <= 2


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
