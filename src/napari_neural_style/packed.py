"""Settings as plain data for JSON: arrays are packed small, and unfolded within bounds."""

import base64
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from napari_neural_style.validation import short

MAX_BYTES: Final = 512 * 2**20
"""Of all arrays of a recipe, unfolded."""

_KEYS: Final = {"dtype", "shape", "base64"}


def plain(value: Any) -> Any:
    """Return the value of a setting as plain data for JSON; arrays are compressed."""
    if isinstance(value, np.ndarray):
        # Masks shrink to nearly nothing, at any level; pictures never do.
        data = zlib.compress(np.ascontiguousarray(value).tobytes(), level=1)
        return {
            "dtype": value.dtype.str,
            "shape": list(value.shape),
            "base64": base64.b64encode(data).decode(),
        }
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return dict(value) if isinstance(value, Mapping) else value


def unplain(name: str, value: Any) -> Any:
    """Return the value of a setting from what :func:`plain` made of it, not yet validated.

    Parameters
    ----------
    name
        Of the setting, for errors.
    value
        Plain data, which may be a stranger's. Whatever they hold, an array takes no more memory
        than it says, which :func:`check_arrays` adds up.

    Raises
    ------
    ValueError
        If an array is damaged, or would unfold to more than `MAX_BYTES`.
    """
    if isinstance(value, list):
        return [unplain(name, part) for part in value]
    if not _is_packed(value):
        return value
    size = check_arrays({name: value})
    try:
        unfolding = zlib.decompressobj()
        # One more than there should be, to see the end, or that there is none.
        data = unfolding.decompress(base64.b64decode(value["base64"], validate=True), size + 1)
        if not unfolding.eof or len(data) != size:
            raise ValueError("it is not as large as it says")
        return np.frombuffer(data, np.dtype(value["dtype"])).reshape(value["shape"]).copy()
    except (TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"{name} is a damaged array: {error}.") from error


def check_arrays(settings: Mapping[str, Any], total: int = 0) -> int:
    """Raise before arrays are unfolded that would take too much memory.

    Parameters
    ----------
    settings
        Values that may be arrays as :func:`plain` returns them.
    total
        Bytes that other arrays of the recipe take.

    Returns
    -------
    int
        Bytes with those of these arrays.

    Raises
    ------
    ValueError
        If that is more than `MAX_BYTES`, or one is no array of numbers.
    """
    for name, value in settings.items():
        for array in _arrays(value):
            total += _declared_size(name, array)
            if total > MAX_BYTES:
                raise ValueError(
                    f"{name}: the arrays of a recipe must unfold to no more than "
                    f"{MAX_BYTES >> 20} MB in all."
                )
    return total


def _is_packed(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == _KEYS


def _arrays(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, list | tuple):
        return [array for part in value for array in _arrays(part)]
    return [value] if _is_packed(value) else []


def _declared_size(name: str, array: Mapping[str, Any]) -> int:
    """Bytes of an array, from its dtype and shape."""
    dtype, shape = array["dtype"], array["shape"]
    kind = re.fullmatch(r"[<>|=]?[biuf]([1248])", dtype) if isinstance(dtype, str) else None
    sides = shape if isinstance(shape, list) and len(shape) <= 3 else [None]
    if kind is None or not all(type(side) is int and side >= 0 for side in sides):
        raise ValueError(
            f"{name} is an array of dtype {short(dtype)} and shape {short(shape)}, and must be "
            "one of numbers, of two or three dimensions."
        )
    return math.prod(sides) * int(kind[1])
