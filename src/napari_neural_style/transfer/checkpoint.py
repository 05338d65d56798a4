"""Checkpoints: data only, as safetensors with a JSON header, never a pickle."""

import json
import math
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import safetensors
import torch

from napari_neural_style.images import check_writable
from napari_neural_style.images.files import reason, replacing

_KIND: Final = "napari-neural-style checkpoint"
_VERSION: Final = 3
# What is no tensor takes some kilobytes; a stranger's may not take all memory.
_MAX_HEADER: Final = 16 << 20
_MAX_REASON: Final = 200
_NAMED_WITHIN: Final = 128  # bytes, the kind of file is told
_LENGTH: Final = struct.Struct("<Q")  # of the header, before it

# What reading a file raises that is damaged, or a stranger's.
_DAMAGE: Final = (
    *(safetensors.SafetensorError, RecursionError),
    *(ValueError, LookupError, TypeError, AttributeError),
)

_DTYPES: Final = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.bool: "BOOL",
    torch.uint8: "U8",
}

Tensors = dict[str, torch.Tensor]


def write_checkpoint(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a state whole or not at all; a power cut leaves the old file or the new one, too.

    Parameters
    ----------
    path : str or path
        The file; one of this name is replaced.
    state : dict
        Nested dicts and lists of tensors, arrays of numbers, and plain data.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    check_writable(path)
    tensors: Tensors = {}
    plain = json.dumps(_split(state, "", tensors))
    if len(plain) > _MAX_HEADER // 4:
        raise OSError(f"Cannot write {path}: what has changed in the run is too much to be kept.")
    with replacing(path) as part, part.open("wb") as file:
        _write(file, plain, tensors)


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Raise an ``OSError`` that says why, if no checkpoint could, or should, be written at `path`.

    Only a checkpoint is replaced, however old or damaged, or an empty file: with any other one
    somebody has picked the wrong name.
    """
    check_writable(path)
    path = Path(path)
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            if _KIND.encode() not in file.read(_NAMED_WITHIN):
                raise FileExistsError(
                    f"Cannot write a checkpoint to {path}: it is a file of another kind, which "
                    "would be lost. Choose another name, or delete it."
                )


def keep_interrupted(path: str | os.PathLike[str]) -> Path | None:
    """Move a checkpoint aside if its run can still go on and nobody has stopped it.

    Returns
    -------
    Path or None
        Where it is now, beside `path`; None if there was no such run.

    Raises
    ------
    OSError
        If it cannot be moved.
    """
    path = Path(path)
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata()
        _check_format(metadata["format"])
        if json.loads(metadata["state"]).get("ended"):
            return None
    except (OSError, *_DAMAGE):
        return None  # there is none, or none that could be resumed
    names = (f"{path.stem}-interrupted{number}{path.suffix}" for number in _numbers())
    free = next(there for name in names if not os.path.lexists(there := path.with_name(name)))
    path.rename(free)
    return free


def _numbers() -> Iterator[str]:
    return chain([""], map("-{}".format, count(2)))


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what :func:`write_checkpoint` wrote.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is damaged or not one of these checkpoints.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {str(path)!r}.")
    try:
        state = _read(path)
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {reason(error)}.") from error
    except _DAMAGE as error:
        raise refusal(path, error) from error
    return state


def refusal(path: str | os.PathLike[str], error: Exception) -> ValueError:
    """Say in a sentence why a file is no checkpoint that can be used."""
    why = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
    if len(why) > _MAX_REASON:
        why = why[:_MAX_REASON] + "…"
    return ValueError(
        f"{os.fspath(path)!r} is damaged or no checkpoint of napari-neural-style "
        f"({why.rstrip('.') or type(error).__name__}): start the run anew without it."
    )


# ----------------------------------------------------------------------- the file


def _write(file: BinaryIO, plain: str, tensors: Tensors) -> None:
    """Write tensor by tensor: copies of all of them might not fit into the memory."""
    # The largest numbers first: then all of them are aligned.
    names = sorted(tensors, key=lambda name: -tensors[name].itemsize)
    file.write(_header(plain, tensors, names, "0" * 8))
    checksums = {}
    for name in names:
        data = _bytes(tensors[name].detach().cpu().contiguous())
        checksums[name] = zlib.crc32(data)
        file.write(data)
    file.seek(0)
    file.write(_header(plain, tensors, names, _checksum(plain, tensors, checksums)))


def _header(plain: str, tensors: Tensors, names: list[str], checksum: str) -> bytes:
    metadata = {"format": f"{_KIND} {_VERSION}", "state": plain, "checksum": checksum}
    entries: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in names:
        begin, end = end, end + tensors[name].nbytes
        entries[name] = {
            "dtype": _DTYPES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return _LENGTH.pack(len(text)) + text


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        start = file.read(_LENGTH.size)
    if len(start) < _LENGTH.size or _LENGTH.unpack(start)[0] > _MAX_HEADER:
        raise ValueError("it has another format")
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        _check_format(metadata.get("format", ""))
        # Copies: the file is not held, so that it can be replaced.
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    plain = metadata["state"]
    checksums = {name: zlib.crc32(_bytes(tensor)) for name, tensor in tensors.items()}
    if metadata["checksum"] != _checksum(plain, tensors, checksums):
        raise ValueError("its checksum is wrong")
    state = _join(json.loads(plain), tensors)
    if not isinstance(state, dict):
        raise ValueError("it holds no state")
    return state


def _check_format(found: str) -> None:
    kind, _, version = found.rpartition(" ")
    if kind != _KIND:
        raise ValueError("it has another format")
    if version != str(_VERSION):
        raise ValueError(f"it is of version {version[:20]}, and only {_VERSION} can be read")


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _checksum(plain: str, tensors: Tensors, checksums: Mapping[str, int]) -> str:
    table = [
        (name, str(tensors[name].dtype), list(tensors[name].shape), checksums[name])
        for name in sorted(tensors)
    ]
    return f"{zlib.crc32(json.dumps([plain, table]).encode()):08x}"


# ------------------------------------------------------------ tensors and the rest


def _split(value: Any, key: str, tensors: Tensors) -> Any:
    """Move tensors and arrays out, leaving a reference to each."""
    if isinstance(value, torch.Tensor):
        tensors[key] = value
        return {"tensor": key}
    if isinstance(value, np.ndarray):
        if value.itemsize > 8:  # of a kind that other machines do not have
            value = value.astype(np.float64)
        data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        tensors[key] = torch.from_numpy(data.copy())
        return {"array": key, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, Mapping):
        return {k: _split(v, f"{key}.{k}" if key else k, tensors) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_split(v, f"{key}.{i}", tensors) for i, v in enumerate(value)]
    return value


def _join(value: Any, tensors: Tensors) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"tensor"}:
            return tensors[value["tensor"]]
        if value.keys() == {"array", "dtype", "shape"}:
            return _array(tensors[value["array"]], value["dtype"], value["shape"])
        return {k: _join(v, tensors) for k, v in value.items()}
    if isinstance(value, list):
        return [_join(v, tensors) for v in value]
    return value


def _array(data: torch.Tensor, dtype: Any, shape: Any) -> np.ndarray[Any, Any]:
    kind = re.fullmatch("[<>|][biuf]([1248])", dtype) if isinstance(dtype, str) else None
    sides: list[Any] = shape if isinstance(shape, list) else [None]
    if (
        kind is None
        or data.dtype != torch.uint8
        or not all(type(side) is int and side >= 0 for side in sides)
        or math.prod(sides) * int(kind[1]) != data.numel()
    ):
        raise ValueError("an array in it is not as large as it says")
    return np.frombuffer(data.numpy().tobytes(), dtype).reshape(tuple(sides)).copy()
