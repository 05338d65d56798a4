"""What was stored with a picture, read back from files that may be a stranger's."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final
from xml.sax.saxutils import unescape

from napari_neural_style.images.files import (
    JPEG_COMMENT,
    METADATA_KEY,
    PNG_SIGNATURE,
    TIFF_SIGNATURES,
    reason,
)

MAX_BYTES: Final = 256 * 2**20
"""Of JSON that is read: enough for an RGB picture of 4096 x 4096 floats."""

_MAX_PARTS: Final = 10**6
_JPEG_SIGNATURE: Final = b"\xff\xd8"
_JPEG_COMMENT, _JPEG_SCAN = 0xFE, 0xDA
_ZARR_FILES: Final = ("zarr.json", ".zattrs")
PLANES: Final = "planes.jsonl"
"""In the folder of an array of painted planes, a line for each, in their order."""


def read_metadata(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file, or the JSON that our writers store with a picture.

    Parameters
    ----------
    path
        A JSON file; a PNG, TIFF or JPEG file as ``write_image`` and ``write_ome_tiff`` write
        them, whose pixels are not read; or the folder of a Zarr array of painted planes. Its
        content, not its name, tells the format.

    Returns
    -------
    object
        As ``json.loads`` returns it.

    Raises
    ------
    OSError
        If there is no such file or it may not be read.
    ValueError
        If it is damaged, too large, or holds no such JSON.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _of_zarr(path)
        if path.exists() and not path.is_file():
            raise ValueError("it is a pipe or a device; save what comes from it in a file")
        with path.open("rb") as file:
            signature = file.read(len(PNG_SIGNATURE))
            file.seek(0)
            if signature == PNG_SIGNATURE:
                return _load(_of_png(file))
            if signature.startswith(TIFF_SIGNATURES):
                return _described(_of_tiff(file))
            if signature.startswith(_JPEG_SIGNATURE):
                return _described(_of_jpeg(file))
            return _load(_read(file))
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {reason(error)}.") from error
    except _NothingStoredError:
        raise ValueError(
            f"Cannot use {path}: there is no recipe in it; napari-neural-style stores one in the "
            "PNG, TIFF and JPEG files and Zarr arrays that it writes itself."
        ) from None
    except ValueError as error:
        raise ValueError(f"Cannot use {path}: {error}.") from error


class _NothingStoredError(ValueError):
    """An intact file without any JSON of ours."""


def _too_large() -> ValueError:
    return ValueError(f"it has more than {MAX_BYTES >> 20} MB, and no recipe is as large")


def _read(file: BinaryIO, length: int | None = None) -> bytes:
    """Read so many bytes, or all, unless they are too many."""
    size = os.fstat(file.fileno()).st_size
    length = size if length is None else min(length, size)
    if length > MAX_BYTES:
        raise _too_large()
    return file.read(length)


def _load(text: bytes) -> Any:
    """Parse JSON that does not take much more memory than its text."""
    # Arrays are strings in it, which take what they take in the file; but "[],[],…" takes
    # twenty times that.
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > _MAX_PARTS:
        raise ValueError(f"it has more than {_MAX_PARTS} values, and no recipe has as many")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON, or damaged ({error})") from error


def _described(text: bytes) -> Any:
    """Return what a description of the picture holds under our key."""
    if METADATA_KEY.encode() not in text:
        raise _NothingStoredError
    return _ours(_load(text))


def _ours(data: Any) -> Any:
    if not isinstance(data, Mapping) or METADATA_KEY not in data:
        raise _NothingStoredError
    return data[METADATA_KEY]


def _of_png(file: BinaryIO) -> bytes:
    """Return the text chunk of our keyword; it stands before the pixels."""
    file.seek(len(PNG_SIGNATURE))
    keyword = METADATA_KEY.encode() + b"\0"
    while len(head := file.read(8)) == 8:
        length, kind = int.from_bytes(head[:4]), head[4:]
        if kind == b"tEXt" and length >= len(keyword):
            start = file.read(len(keyword))
            if start == keyword:
                return _read(file, length - len(keyword))
            length -= len(keyword)
        if kind == b"IDAT":
            break
        file.seek(length + 4, os.SEEK_CUR)  # with the checksum
    raise _NothingStoredError


def _of_tiff(file: BinaryIO) -> bytes:
    from tifffile import TiffFile

    try:
        with TiffFile(file) as tiff:
            description = tiff.pages.first.description
    except Exception as error:  # what tifffile raises on damaged files is not documented
        raise ValueError(f"the image is damaged ({error})") from error
    if description.lstrip().startswith("{"):
        return description.encode()
    # OME's metadata. A parser would make a tree of all of it, whatever a stranger put in.
    within = re.search(r"<(?:\w+:)?Description>([^<]*)</", description)
    return unescape(within[1], {"&quot;": '"', "&apos;": "'"}).encode() if within else b""


def _of_jpeg(file: BinaryIO) -> bytes:
    """Return the comment of ours, which may go on in those behind it; before the pixels."""
    file.seek(len(_JPEG_SIGNATURE))
    pieces: list[bytes] = []
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != _JPEG_SCAN:
        segment = file.read(max(int.from_bytes(head[2:]) - 2, 0))
        if head[1] == _JPEG_COMMENT and (pieces or METADATA_KEY.encode() in segment):
            pieces.append(segment)
            if len(pieces) * JPEG_COMMENT > MAX_BYTES:
                raise _too_large()
            if len(segment) < JPEG_COMMENT:
                break
    if not pieces:
        raise _NothingStoredError
    return b"".join(pieces)


def _of_zarr(path: Path) -> Any:
    for name in _ZARR_FILES:
        file = path / name
        if file.is_file():
            with file.open("rb") as opened:
                data = _load(_read(opened))
            # Of the third version of the format, attributes are part of the metadata.
            inner = data.get("attributes") if isinstance(data, Mapping) else None
            attributes: Any = data if name == ".zattrs" else inner
            ours = _ours(attributes)
            if not isinstance(ours, Mapping) or "found" not in attributes:
                return ours
            # Beside it, for a stack is gone on with only if its recipe is the same.
            found, names = attributes["found"], attributes.get("names", {})
            if not isinstance(found, Mapping) or not isinstance(names, Mapping):
                raise ValueError("what its attributes say of the run is damaged")
            return {
                **ours,
                **found,
                "inputs": {"styles": ours.get("styles")},
                **names,
                "sessions": attributes.get("sessions", []),
                "planes": _planes(path / PLANES),
            }
    raise _NothingStoredError


def _planes(journal: Path) -> list[Any]:
    """Return what is told of the planes that are done, a line for each that is whole."""
    if journal.is_symlink() or not journal.is_file():
        return []
    with journal.open("rb") as opened:
        lines = _read(opened).splitlines(keepends=True)
    return list(_load(b"[" + b",".join(line for line in lines if line.endswith(b"}\n")) + b"]"))
