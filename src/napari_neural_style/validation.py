"""What each setting may be: a value, checked, or a ValueError that says what is allowed."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_neural_style.layers import Layer, find_layer

LayerWeights = tuple[str, ...] | Mapping[str, float]

#: Longest side that a run accepts, in pixels; more than any GPU or disk cache makes sense for.
MAX_SIZE: Final = 65_536

_MAX_NAME: Final = 200


def layer_weights(layers: LayerWeights) -> dict[Layer, float]:
    """Layers and their weights, by the layers themselves."""
    named = layers if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0)
    return {find_layer(name): weight for name, weight in named.items()}


def fail(name: str, value: object, allowed: str) -> ValueError:
    """Return the error that says what a setting must be."""
    return ValueError(f"{name}={short(value)}: it must be {allowed}")


def short(value: object) -> str:
    """Return how a value is written, on one line, or the start of that."""
    text = repr(value).replace("\n", "")
    return text if len(text) < 80 else text[:77] + "…"


def one_line(value: Any) -> str:
    """Return text that can be shown: of one line, and not too long."""
    if not isinstance(value, str):
        return ""
    line = "".join(letter if letter.isprintable() else " " for letter in value[:_MAX_NAME])
    return line.strip()


def choice(name: str, value: object, allowed: Sequence[str] | Mapping[str, Any]) -> str:
    """Return one of some words, or raise a ValueError that names the nearest."""
    if not isinstance(value, str) or value not in allowed:
        near = get_close_matches(str(value), list(allowed), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise fail(name, value, "one of " + ", ".join(map(repr, allowed)) + hint)
    return value


def number(name: str, value: object, low: float, high: float, above: bool = False) -> float:
    """Return a finite number of a range, or raise a ValueError; ``above`` leaves ``low`` out."""
    allowed = f"a number {'above' if above else 'from'} {low:g}"
    allowed += f" to {high:g}." if math.isfinite(high) else "." if above else " up."
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise fail(name, value, allowed)
    try:
        number = float(value)
    except OverflowError:  # an int beyond all floats
        number = math.inf
    if not math.isfinite(number) or not low <= number <= high or (above and number == low):
        raise fail(name, value, allowed)
    return number


def whole(name: str, value: object, low: int, high: int, also: str = "") -> int:
    """Return a whole number of a range, or raise a ValueError; ``also`` tells what else may be."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | np.integer)
        or not low <= value <= high
    ):
        raise fail(name, value, f"{also}a whole number from {low} to {high}.")
    return int(value)


def _layers(name: str, value: Any) -> LayerWeights:
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, Mapping):
        pairs = {str(k): number(f"{name}[{k!r}]", v, 0, math.inf) for k, v in value.items()}
    elif isinstance(value, Sequence):
        pairs = dict.fromkeys(map(str, value), 1.0)
    else:
        raise fail(name, value, "layer names, or a mapping of layer names to weights.")
    if not pairs:
        raise fail(name, value, "at least one layer, such as 'relu4_2'.")
    for layer in pairs:
        try:
            find_layer(layer)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if len({find_layer(layer) for layer in pairs}) < len(value):
        raise fail(name, value, "layers that are named once each.")
    return pairs if isinstance(value, Mapping) else tuple(pairs)


def _steps(name: str, value: Any) -> int | tuple[int, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        steps = tuple(whole(name, v, 0, 10**7) for v in value)
        if not any(steps):
            raise fail(name, value, "a whole number from 1 for one scale at least.")
        return steps
    return whole(name, value, 1, 10**7, "one number per scale or ")


def _scales(name: str, value: Any) -> str | tuple[int, ...]:
    if isinstance(value, str) and value == "auto":
        return value
    allowed = f"'auto' or growing longest sides in pixels, from 16 to {MAX_SIZE}."
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise fail(name, value, allowed)
    sides = tuple(whole(name, side, 16, MAX_SIZE) for side in value)
    if any(a >= b for a, b in pairwise(sides)):
        raise fail(name, value, allowed)
    return sides


def _init(name: str, value: Any) -> str | npt.NDArray[Any]:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value
    if isinstance(value, str) and value in ("content", "noise", "style"):
        return value
    raise fail(name, value, "'content', 'noise', 'style' or an array of real numbers.")


def _mask(name: str, value: Any, kinds: str = "biuf") -> npt.NDArray[Any]:
    """Validate a mask of any size, and copy it: its owner may go on drawing."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in kinds:
        floats = ", or floats in [0, 1]" if "f" in kinds else ""
        raise fail(name, value, f"an array of booleans or labels from 0{floats}.")
    if value.ndim != 2 or not value.size:
        raise ValueError(f"{name} has shape {value.shape}: it must be (height, width).")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError(f"{name} holds NaN or infinite values: they must be in [0, 1].")
    low, high = value.min(), value.max()
    if low < 0 or (value.dtype.kind == "f" and high > 1):
        allowed = "in [0, 1]" if value.dtype.kind == "f" else "labels from 0"
        raise ValueError(f"{name} has values from {low:g} to {high:g}: they must be {allowed}.")
    if not high:
        raise ValueError(f"{name} is 0 everywhere: draw a label where the image shall be painted.")
    return value.copy()


def _style_masks(name: str, value: Any) -> tuple[npt.NDArray[Any], ...]:
    if isinstance(value, np.ndarray):
        value = (value,)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise fail(name, value, "one array of labels per style image.")
    return tuple(_mask(f"{name}[{i}]", mask, "biu") for i, mask in enumerate(value))


def _style_weights(name: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise fail(name, value, "one weight per style image.")
    weights = tuple(number(name, w, 0, math.inf) for w in value)
    if weights and not sum(weights):
        raise fail(name, value, "weights that are not all 0.")
    return weights


def flag(name: str, value: object) -> bool:
    """Return True or False, or raise a ValueError."""
    if not isinstance(value, bool | np.bool_):
        raise fail(name, value, "True or False.")
    return bool(value)


def _device(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", value):
        raise fail(name, value, "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'.")
    return value


def _tile(name: str, value: Any) -> str | int:
    if isinstance(value, str) and value in ("auto", "off"):
        return value
    return whole(name, value, 64, MAX_SIZE, "'auto', 'off' or ")


def _weights(name: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise fail(name, value, "'original', 'torchvision' or the path of a weights file.")
    return str(os.fspath(value))


VALIDATORS: Final[Mapping[str, Any]] = {
    "weights": _weights,
    "content_layers": _layers,
    "style_layers": _layers,
    "content_weight": lambda n, v: number(n, v, 0, math.inf),
    "style_weight": lambda n, v: number(n, v, 0, math.inf),
    "tv_weight": lambda n, v: number(n, v, 0, math.inf),
    "pooling": lambda n, v: choice(n, v, ("max", "avg")),
    "optimizer": lambda n, v: choice(n, v, ("adam", "lbfgs", "bounded-lbfgs")),
    "learning_rate": lambda n, v: number(n, v, 0, 1000, above=True),
    "schedule": lambda n, v: choice(n, v, ("constant", "step", "cosine")),
    "steps": _steps,
    "budget": lambda n, v: None if v is None else number(n, v, 0, math.inf, above=True),
    "tolerance": lambda n, v: number(n, v, 0, 1),
    "patience": lambda n, v: whole(n, v, 1, 10**7),
    "scales": _scales,
    "detail": lambda n, v: number(n, v, 0, 2),
    "size": lambda n, v: None if v is None else whole(n, v, 16, MAX_SIZE, "None or "),
    "init": _init,
    "style_scale": lambda n, v: number(n, v, 0, 10, above=True),
    "style_weights": _style_weights,
    "color": lambda n, v: choice(n, v, ("style", "luminance", "match")),
    "mask": lambda n, v: None if v is None else _mask(n, v),
    "style_masks": _style_masks,
    "feather": lambda n, v: number(n, v, 0, MAX_SIZE),
    "keep_best": flag,
    "seed": lambda n, v: whole(n, v, 0, 2**63 - 1),
    "device": _device,
    "precision": lambda n, v: choice(n, v, ("auto", "float32", "bfloat16", "float16", "float64")),
    "tile": _tile,
    "memory_limit": lambda n, v: None if v is None else number(n, v, 0, math.inf, above=True),
}
