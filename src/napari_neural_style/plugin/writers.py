"""Writers of results with their recipe, and with more than the 8 bits that are shown."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import METADATA_KEY, write_image
from .result import EXACT_KEY


def write_16_bit(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a result layer as TIFF of 16 bits per channel, with its recipe.

    Earlier steps of a run have no more than the 8 bits that are shown; one channel is written
    as it is, in its own dtype.

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
        If the layer is no result, or a whole stack.
    OSError
        If the file cannot be written.
    """
    return _write(path, data, attributes, 16)


def write_float(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a result layer as TIFF of 32-bit floats in [0, 1]; as :func:`write_16_bit`."""
    return _write(path, data, attributes, 32)


def _write(path: str, data: Any, attributes: dict[str, Any], bits: int) -> list[str]:
    metadata = attributes["metadata"]
    # Not a ValueError: napari takes that for a lack of writers, and drops the message.
    if METADATA_KEY not in metadata:
        raise TypeError(
            f"“{attributes['name']}” was not painted by Style Transfer: save it as plain TIFF."
        )
    in_color = attributes["rgb"]
    # A plane of a stack is one pixel thick.
    ndim = len(data.shape) - in_color
    thin = [axis for axis in range(ndim) if data.shape[axis] == 1][: ndim - 2]
    if ndim - len(thin) > 2:
        raise TypeError(f"“{attributes['name']}” is a whole stack: save it as plain TIFF.")
    image = np.asarray(data)
    if in_color:
        image = _colours(image, metadata.get(EXACT_KEY))
    image = image.squeeze(tuple(thin))
    write_image(Path(path), image, bits if in_color else None, metadata[METADATA_KEY])
    return [path]


def _colours(data: NDArray[Any], exact: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return colours in [0, 1], in all digits that there are, with the data's transparency."""
    colours: NDArray[np.float32] = np.divide(data, 255, dtype=np.float32)
    if exact is not None:
        colours[..., :3] = exact
    return colours
