"""Hashes that tell an image from all others."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def array_hash(array: ArrayLike) -> str:
    """Return the SHA-256 of an array's dtype, shape and values.

    The bytes that are hashed do not depend on the machine: a line such as ``<f4 (48, 64, 3)``
    in ASCII, then the values in C order, little-endian.

    Parameters
    ----------
    array
        Of booleans or numbers, of any layout.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    values = np.asarray(array)
    portable: NDArray[Any] = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{portable.dtype.str} {values.shape}\n".encode("ascii"))
    digest.update(portable.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def image_hash(rgb: ArrayLike) -> str:
    """Return the :func:`array_hash` of an image as a run takes it.

    It is that of what is painted, not of a file: the same pixels from a PNG and a TIFF, or from
    a layer with the contrast limits that make these colours, have the same.

    Parameters
    ----------
    rgb
        ``(H, W, 3)`` colours in [0, 1], as :func:`~napari_neural_style.images.to_rgb` makes them,
        or ``(H, W)`` grays for the same as with three channels; they are taken as float32.
    """
    image = np.asarray(rgb, np.float32)
    return array_hash(image if image.ndim == 3 else np.stack([image] * 3, axis=-1))
