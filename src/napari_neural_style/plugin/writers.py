"""Writers of results with more than the 8 bits that are shown."""

from pathlib import Path
from typing import Any

import numpy as np

from ..images import METADATA_KEY, write_image
from .result import EXACT_KEY


def write_16_bit(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a result layer as TIFF of 16 bits per channel.

    Parameters
    ----------
    path
        The file to write.
    data, attributes
        As napari hands a layer to a writer.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    TypeError
        If the layer is no result in colour that was painted since napari was started.
    OSError
        If the file cannot be written.
    """
    return _write(path, data, attributes, 16)


def write_float(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a result layer as TIFF of 32-bit floats in [0, 1]; as :func:`write_16_bit`."""
    return _write(path, data, attributes, 32)


def _write(path: str, data: Any, attributes: dict[str, Any], bits: int) -> list[str]:
    metadata = attributes["metadata"]
    image = metadata.get(EXACT_KEY)
    if image is None:
        # Not a ValueError: napari takes that for a lack of writers, and drops the message.
        raise TypeError(
            f"“{attributes['name']}” has no more than its {np.asarray(data).dtype} values: only "
            "results in colour that Style Transfer painted since napari was started have more; "
            "save it as plain TIFF."
        )
    if data.shape[-1] == 4:
        image = np.concatenate([image, data[..., 3:] / np.float32(255)], axis=-1)
    # A plane of a stack is one pixel thick.
    thin = [axis for axis in range(image.ndim - 1) if image.shape[axis] == 1]
    image = image.squeeze(tuple(thin[: image.ndim - 3]))
    write_image(Path(path), image, bits, metadata[METADATA_KEY])
    return [path]
