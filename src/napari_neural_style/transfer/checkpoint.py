"""Checkpoints: data only, as safetensors with a JSON header, never a pickle."""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file

from napari_neural_style.images import check_writable

_FORMAT = "napari-neural-style checkpoint 2"


def write_checkpoint(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors and plain data, whole or not at all.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    check_writable(path)
    tensors: dict[str, torch.Tensor] = {}
    plain = json.dumps(_split(state, "", tensors))
    header = {"format": _FORMAT, "state": plain, "checksum": _checksum(plain, tensors)}
    target = path.resolve()  # of a link: only beside the file is the replacement atomic
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        save_file(tensors, partial, header)
        partial.replace(target)
    except safetensors.SafetensorError as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"Cannot write {path}: {error}.") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


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
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise ValueError("it has another format")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        plain = metadata["state"]
        if metadata["checksum"] != _checksum(plain, tensors):
            raise ValueError("its checksum is wrong")
        state: dict[str, Any] = _join(json.loads(plain), tensors)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ValueError(
            f"{str(path)!r} is damaged or no checkpoint of napari-neural-style ({error}): "
            "start the run anew without it."
        ) from error
    return state


def _checksum(plain: str, tensors: dict[str, torch.Tensor]) -> str:
    checksum = zlib.crc32(plain.encode())
    for key in sorted(tensors):
        checksum = zlib.crc32(tensors[key].reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"


def _split(value: Any, key: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Move the tensors out, leaving a reference to each."""
    if isinstance(value, torch.Tensor):
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {"tensor": key}
    if isinstance(value, dict):
        return {k: _split(v, f"{key}.{k}" if key else k, tensors) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_split(v, f"{key}.{i}", tensors) for i, v in enumerate(value)]
    return value


def _join(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"tensor"}:
            return tensors[value["tensor"]]
        return {k: _join(v, tensors) for k, v in value.items()}
    if isinstance(value, list):
        return [_join(v, tensors) for v in value]
    return value
