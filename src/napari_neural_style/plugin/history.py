"""How a run came to its picture, kept in little memory."""

import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

NO_RECIPE: Final[Mapping[str, Any]] = MappingProxyType({})


class _Snapshot(NamedTuple):
    step: int
    packed: bytes
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    recipe: Mapping[str, Any]


class History:
    """Compressed snapshots of a run, fewer of them the longer it lasts; safe in any thread.

    Beyond the first and the newest, which are always kept, snapshots lie at least a stride
    apart. When they take more than the limit, the stride is doubled and those too close to
    their neighbour are dropped. Where snapshots come at most a stride apart, the widest gap
    is therefore at most twice the narrowest.

    Parameters
    ----------
    limit
        Bytes that the snapshots may take together. Two are kept even if they take more.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stride = 1
        self._snapshots: tuple[_Snapshot, ...] = ()
        self._changing = threading.Lock()

    def __len__(self) -> int:
        return len(self._snapshots)

    @property
    def steps(self) -> tuple[int, ...]:
        """The step of each snapshot, rising."""
        return tuple(snapshot.step for snapshot in self._snapshots)

    @property
    def nbytes(self) -> int:
        """Bytes that the snapshots take."""
        return _size(self._snapshots)

    def add(
        self, step: int, data: NDArray[np.generic], recipe: Mapping[str, Any] = NO_RECIPE
    ) -> None:
        """Keep a picture of the run.

        Parameters
        ----------
        step
            When it was painted. Snapshots of this step and later ones are dropped: a run
            that went back paints them anew.
        data
            An ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)`` array of any dtype.
        recipe
            Of the picture; kept as it is.
        """
        newest = _Snapshot(step, _pack(data), data.shape, data.dtype, recipe)
        with self._changing:
            before = [snapshot for snapshot in self._snapshots if snapshot.step < step]
            before = _apart(before, self._stride)
            while len(before) > 1 and _size([*before, newest]) > self._limit:
                self._stride *= 2
                before = _apart(before, self._stride)
            self._snapshots = (*before, newest)

    def nearest(self, step: int) -> NDArray[np.generic]:
        """Return the picture of the snapshot nearest to a step, to the bit as it was added.

        Unlike an index, a step means the same after snapshots were dropped.

        Raises
        ------
        ValueError
            If there is no snapshot.
        """
        return _unpack(self._nearest(step))

    def recipe(self, step: int) -> Mapping[str, Any]:
        """Return the recipe of the snapshot nearest to a step."""
        return self._nearest(step).recipe

    def _nearest(self, step: int) -> _Snapshot:
        snapshots = self._snapshots
        if not snapshots:
            raise ValueError(f"There is no picture of step {step}: nothing was painted yet.")
        return min(snapshots, key=lambda snapshot: abs(snapshot.step - step))


def _pack(data: NDArray[np.generic]) -> bytes:
    # Neighbours differ little: their differences take a fifth less than the values. Formats
    # for pictures take less still, but too long to give one back while a slider is moved.
    bits = np.ascontiguousarray(data).view(f"u{data.itemsize}")
    return bytes(imagecodecs.zstd_encode(imagecodecs.delta_encode(bits, axis=1).tobytes(), level=1))


def _unpack(snapshot: _Snapshot) -> NDArray[np.generic]:
    unsigned = np.dtype(f"u{snapshot.dtype.itemsize}")
    differences = np.frombuffer(imagecodecs.zstd_decode(snapshot.packed), unsigned)
    bits = imagecodecs.delta_decode(differences.reshape(snapshot.shape), axis=1)
    return bits.view(snapshot.dtype)


def _apart(snapshots: Iterable[_Snapshot], stride: int) -> list[_Snapshot]:
    """Keep the first, and of the others those a stride or more behind the one kept before."""
    kept: list[_Snapshot] = []
    for snapshot in snapshots:
        if not kept or snapshot.step - kept[-1].step >= stride:
            kept.append(snapshot)
    return kept


def _size(snapshots: Iterable[_Snapshot]) -> int:
    return sum(len(snapshot.packed) for snapshot in snapshots)
