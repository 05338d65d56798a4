"""Arrays that are read where they are indexed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_part(array: Any, part: Any) -> NDArray[Any]:
    """Read what an index takes of an array, which may be lazy.

    Parameters
    ----------
    array
        numpy, dask, zarr, or anything else with indices.
    part
        The index.
    """
    taken = array[part]
    if hasattr(taken, "__dask_graph__"):
        # Not by an active client: its workers are busy painting.
        taken = taken.compute(scheduler="threads")
    return np.asarray(taken)


def as_slices(key: Any, ndim: int) -> tuple[list[slice], tuple[slice | int, ...]]:
    """Return an index as slices, which drop no axis, and the index that drops them then.

    Parameters
    ----------
    key
        Whole numbers, slices and an ellipsis.
    ndim
        How many axes there are.

    Returns
    -------
    slices
        One for each axis.
    rest
        What takes the axes of the numbers out of what the slices took.
    """
    given = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in given:
        at = given.index(Ellipsis)
        given[at : at + 1] = [slice(None)] * (ndim - len(given) + 1)
    given += [slice(None)] * (ndim - len(given))
    slices = [k if isinstance(k, slice) else slice(int(k), int(k) + 1 or None) for k in given]
    return slices, tuple(slice(None) if isinstance(k, slice) else 0 for k in given)
