"""Parts of a state that was saved, read with the suspicion that user input deserves."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from napari_neural_style.validation import flag, number, whole

State = Mapping[str, Any]

__all__ = ["State", "flag", "number", "part", "plain", "tensor", "tensors", "whole"]


def part(state: State, name: str) -> State:
    """Return a part that has parts by their names.

    Raises
    ------
    ValueError
        If it is none; KeyError, here and below, if there is nothing of that name.
    """
    value = state[name]
    if not isinstance(value, Mapping):
        raise ValueError(f"its {name} is no mapping")
    return value


def tensor(state: State, name: str, like: torch.Tensor) -> torch.Tensor:
    """Return a tensor of the shape and dtype of another, on its device."""
    return _fitting(name, state[name], like)


def tensors(state: State, name: str, *likes: torch.Tensor) -> list[torch.Tensor]:
    """Return tensors of the shapes and dtypes of others, these in turns."""
    values = state[name]
    if not isinstance(values, Sequence) or len(values) % len(likes):
        raise ValueError(f"its {name} is no list of tensors")
    return [_fitting(name, value, likes[i % len(likes)]) for i, value in enumerate(values)]


def plain(state: State, name: str) -> Any:
    """Return what JSON can hold."""
    try:
        json.dumps(state[name], allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError(f"its {name} are no plain data") from None
    return state[name]


def _fitting(name: str, value: Any, like: torch.Tensor) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise ValueError(f"its {name} is no tensor")
    if value.shape != like.shape or value.dtype != like.dtype:
        raise ValueError(
            f"its {name} is {_kind(value)} where {_kind(like)} is needed",
        )
    return value.to(like.device)


def _kind(tensor: torch.Tensor) -> str:
    sides = " x ".join(map(str, tensor.shape)) or "a number"
    return f"{sides} in {str(tensor.dtype).removeprefix('torch.')}"
