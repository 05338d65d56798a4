"""What tells an array from others, without reading all of it where that costs."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray


def evidence(data: Any, ends: Sequence[Callable[[], NDArray[Any]]]) -> list[NDArray[Any]]:
    """Return pixels by which an array can be told from others.

    Parameters
    ----------
    data
        The array.
    ends
        Read its first and its last plane.

    Returns
    -------
    list of numpy.ndarray
        All of an array in memory, in parts that take no memory of their own; of one that
        must be read or computed, the two planes, if they can be.
    """
    if is_in_memory(data):
        return list(data)
    planes = []
    for read in ends:
        with suppress(Exception):  # a plane that cannot be read is named when it is painted
            planes.append(read())
    return planes


def is_in_memory(data: Any) -> bool:
    """Tell whether nothing of an array has to be read from a disk, or computed."""
    return isinstance(data, np.ndarray) and not isinstance(data, np.memmap)
