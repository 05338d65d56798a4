"""The painted planes, in a zarr array on disk that knows which of them are done."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from napari_neural_style.images import METADATA_KEY, check_writable
from napari_neural_style.images.metadata import PLANES
from napari_neural_style.images.stack_files import check_codecs, check_metadata
from napari_neural_style.stacks.axes import Index
from napari_neural_style.stacks.disk import check_room, explained
from napari_neural_style.validation import whole

_SESSIONS: Final = "sessions"
_NAMES: Final = "names"
_MOST_SESSIONS: Final = 100
_MOST_BYTES: Final = 64 << 20  # of a journal, for a hundred thousand planes
_BYTES: Final = "bytes"  # of the file of a plane
_VERSION: Final = "version"  # of the program, in a recipe


class PaintedOtherwiseError(ValueError):
    """What is in a folder was painted from other images, or with other settings.

    Parameters
    ----------
    path
        The folder.
    how
        What was other.
    """

    def __init__(self, path: Path, how: str = "other images or settings") -> None:
        super().__init__(
            f"{path} holds a stack that was painted otherwise ({how}): "
            "choose another place, or delete it."
        )


class PlaneStore:
    """A zarr array with a chunk for each plane, and a journal of those that are done.

    A plane counts as done when its line stands whole in the journal, which is written after
    its pixels: whenever a process dies, no half plane is taken for a whole one. The line
    keeps a digest of what the plane was painted from, and the size of its file: a plane whose
    file was deleted or cut off since is :attr:`damaged`, and not done.

    Parameters
    ----------
    path
        Folder of the array.
    array
        The array.
    """

    def __init__(self, path: Path, array: zarr.Array[Any]) -> None:
        self.path = path
        self.array = array
        self.recipe: dict[str, Any] = dict(cast(Any, array.attrs[METADATA_KEY]))
        """What made it, as data for JSON."""
        self.found: dict[str, Any] = dict(cast(Any, array.attrs["found"]))
        """What was found out about the stack, as data for JSON."""
        self.damaged: set[Index] = set()
        """Indices of planes that were painted, and whose files are gone or of another size."""
        self._planes: dict[Index, dict[str, Any]] = self._done()

    @property
    def done(self) -> Set[Index]:
        """Indices of the planes that are painted; it grows with them."""
        return self._planes.keys()

    @classmethod
    def create(
        cls,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        names: str,
        recipe: Mapping[str, Any],
        found: Mapping[str, Any],
    ) -> Self:
        """Create the array.

        Parameters
        ----------
        path
            Folder of the array, which does not exist.
        shape, dtype
            Of the array; the last two or, in colour, three axes are those of a plane.
        names
            A letter for each axis.
        recipe
            What decides how planes look, as data for JSON.
        found
            What was found out about the stack, as data for JSON; kept in :attr:`found`.

        Raises
        ------
        OSError
            If the folder cannot be written, or the disk has no room for half of the array.
        """
        check_writable(path)
        check_room(path, math.prod(shape) * dtype.itemsize)
        in_plane = 3 if names.endswith("S") else 2
        try:
            array = zarr.create_array(
                store=path,
                shape=shape,
                dtype=dtype,
                chunks=(*(1,) * (len(shape) - in_plane), *shape[-in_plane:]),
                compressors=ZstdCodec(level=0, checksum=True),
                dimension_names=list(names),
                attributes={METADATA_KEY: dict(recipe), "found": dict(found)},
            )
        except OSError as error:
            raise explained(path, error) from error
        return cls(path, array)

    @classmethod
    def reopen(
        cls, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], recipe: Mapping[str, Any]
    ) -> Self:
        """Go on with an array that the same recipe made; parameters as for :meth:`create`.

        Raises
        ------
        ValueError
            If something else is there.
        """
        try:
            check_metadata(path)
            array = zarr.open_array(path, mode="r+")
            theirs, _ = (dict(cast(Any, array.attrs[name])) for name in (METADATA_KEY, "found"))
            check_codecs(path, array)
        except Exception as error:  # what zarr raises on other folders and files is not documented
            raise ValueError(
                f"{path} is there already, and is no painted stack: choose another place."
            ) from error
        ours = json.loads(json.dumps(recipe))
        if theirs != ours or array.shape != shape or array.dtype != dtype:
            if theirs == ours | {_VERSION: theirs.get(_VERSION)}:
                raise PaintedOtherwiseError(path, f"version {theirs[_VERSION]} of this program")
            raise PaintedOtherwiseError(path)
        return cls(path, array)

    def refresh(self) -> None:
        """Read again what is done, for other runs may have painted since.

        Raises
        ------
        ValueError
            If the array was replaced by another one.
        """
        now = self.reopen(self.path, self.array.shape, self.array.dtype, self.recipe)
        if now.found != json.loads(json.dumps(self.found)):
            raise PaintedOtherwiseError(self.path)
        self._planes.update(now._planes)

    @classmethod
    def removed_if_empty(cls, path: Path) -> bool:
        """Remove an array of this kind of which no plane is done; return whether there was one."""
        try:
            check_metadata(path)
            array = zarr.open_array(path, mode="r")
            if METADATA_KEY not in array.attrs or cls(path, array).done:
                return False
        except Exception:  # it is something else
            return False
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise explained(path, error) from error
        return True

    def check(self, index: Index, digest: str) -> None:
        """Raise a PaintedOtherwiseError if a plane is done, from something else."""
        if index in self._planes and self._planes[index]["source"] != digest:
            raise PaintedOtherwiseError(self.path)

    def write(self, index: Index, plane: NDArray[Any], digest: str, **told: Any) -> None:
        """Store a plane, and then that it is done.

        Parameters
        ----------
        index
            Of the plane.
        plane
            As it was painted.
        digest
            Of what it was painted from, see :func:`digest_of`.
        **told
            How it was painted, as data for JSON.

        Raises
        ------
        OSError
            If it cannot be written; what was done before stays.
        """
        entry = {"plane": index, "source": digest, **told}
        try:
            self.array[index] = plane
            self._settle(index)
            entry[_BYTES] = self._size(index)
            with (self.path / PLANES).open("a") as journal:
                journal.write(json.dumps(entry) + "\n")
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise explained(self.path, error) from error
        self._planes[index] = entry

    def keep(self, name: str, value: Any) -> None:
        """Keep something that was found out about the stack, as data for JSON."""
        self.found[name] = value
        try:
            self.array.attrs["found"] = self.found
        except OSError as error:
            raise explained(self.path, error) from error

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """What painted the planes, and when, as data for JSON; the latest last."""
        return [dict(session) for session in cast(Any, self.array.attrs.get(_SESSIONS, []))]

    @property
    def planes(self) -> list[dict[str, Any]]:
        """What is told of the planes that are done, in their order, as data for JSON."""
        return [dict(entry) for entry in self._planes.values()]

    @property
    def names(self) -> dict[str, Any]:
        """What the images are called, as data for JSON."""
        return dict(cast(Any, self.array.attrs.get(_NAMES, {})))

    def keep_names(self, names: Mapping[str, Any]) -> None:
        """Keep what the images are called."""
        try:
            self.array.attrs[_NAMES] = dict(names)
        except OSError as error:
            raise explained(self.path, error) from error

    @property
    def digest(self) -> str:
        """Of what all planes that are done were painted from, in the order of the stack."""
        planes = [
            f"{list(index)} {entry['source']}\n" for index, entry in sorted(self._planes.items())
        ]
        return hashlib.sha256("".join(planes).encode()).hexdigest()

    def begin_session(self, told: Mapping[str, Any]) -> None:
        """Keep what paints from now on."""
        self._keep_sessions([*self.sessions, told][-_MOST_SESSIONS:])

    def end_session(self, told: Mapping[str, Any]) -> None:
        """Keep what came of the present session."""
        with suppress(OSError):  # the planes are what counts
            self._keep_sessions([*self.sessions[:-1], told])

    def _keep_sessions(self, sessions: list[Any]) -> None:
        try:
            self.array.attrs[_SESSIONS] = sessions
        except OSError as error:
            raise explained(self.path, error) from error

    def read(self, index: Index) -> NDArray[Any]:
        """Read a plane that is done."""
        return np.asarray(self.array[index])

    def _file(self, index: Index) -> Path:
        place = (*index, *(0,) * (self.array.ndim - len(index)))
        return self.path / self.array.metadata.encode_chunk_key(place)

    def _size(self, index: Index) -> int:
        """Return the bytes of the file of a plane; 0 without one, as of a black plane."""
        try:
            return self._file(index).stat().st_size
        except FileNotFoundError:
            return 0

    def _settle(self, index: Index) -> None:
        """Wait until a plane is on the disk: no power cut must leave its line without it."""
        with suppress(FileNotFoundError), self._file(index).open("rb+") as chunk:
            os.fsync(chunk.fileno())

    def _done(self) -> dict[Index, dict[str, Any]]:
        journal = self.path / PLANES
        if journal.is_symlink():  # to a file that must not be changed
            raise ValueError(f"{journal} is a link, which we never make: choose another place.")
        if journal.exists() and not (journal.is_file() and journal.stat().st_size <= _MOST_BYTES):
            raise ValueError(f"{journal} is no journal of planes: choose another place.")
        try:
            text = journal.read_bytes()
            # The last line is whole only if it ends; another must not be added to a torn one.
            complete = text[: text.rfind(b"\n") + 1]
            if len(complete) < len(text):
                os.truncate(journal, len(complete))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise explained(self.path, error) from error
        done = {}
        shape = self.array.shape
        for line in complete.splitlines():
            # One that a power cut has spoilt is of a plane that is to be painted again.
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                entry = json.loads(line)
                plane, source = entry["plane"], entry["source"]
                index = tuple(
                    whole("plane", i, 0, n - 1) for i, n in zip(plane, shape, strict=False)
                )
                if isinstance(source, str) and len(index) == len(plane) <= len(shape) - 2:
                    done[index] = entry
        self.damaged = {
            index for index, entry in done.items() if entry.get(_BYTES) != self._size(index)
        }
        return {index: entry for index, entry in done.items() if index not in self.damaged}


def digest_of(*arrays: NDArray[Any] | None) -> str:
    """Return a digest of the values of arrays, in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        if array is not None:
            native = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
            digest.update(f"{native.dtype}{native.shape}".encode())
            digest.update(native.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
