"""Every setting of a run, its validation, and the presets.

No torch here: settings are made, checked and stored without the engine.
"""

import base64
import dataclasses
import json
import math
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from napari_neural_style.layers import find_layer

LayerWeights = tuple[str, ...] | Mapping[str, float]
Space = Literal["rgb", "rgb-raw", "normalized", "caffe", "series"]


@dataclass(frozen=True)
class Method:
    """What a published variant fixes beside its settings.

    ``docs/methods.md`` and the presets' comments name the sources.
    """

    space: Space = "rgb"
    """Space that the optimised image lives in: RGB in [0, 1] (``rgb-raw``: fed to
    the network unnormalised), ImageNet-normalised RGB, Caffe's mean-subtracted
    0-255, or the series' 255 x normalised RGB."""
    clamp: bool = True
    """Clamp the image to [0, 1] before every evaluation."""
    gram_divisor: Literal["chw", "hw", "one"] = "hw"
    """What F Fᵀ is divided by: channels x positions, positions, or nothing."""
    content_loss: Literal["mean", "half-mean", "relative"] = "relative"
    """Mean squared difference, half of it, or relative to the features' size."""
    style_loss: Literal["mean", "size", "relative"] = "relative"
    """Mean squared difference of the Gram matrices, that divided by C²·H·W, or
    relative to the target's square."""
    squared_weights: bool = False
    """The weight multiplies features and target inside the square."""
    style_fit: Literal["content", "longest"] = "longest"
    """Resize the style to the content's shape, or to its longest side."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decay rates."""
    epsilon: float = 1e-8
    """Adam's epsilon."""
    tensorflow_adam: bool = False
    """Put the bias correction into the step and epsilon beside the raw √v."""
    eight_bit_between_scales: bool = False
    """Start a scale from the 8-bit result of the one before."""
    normalize_original: bool = True
    """Use the original weights at a mean activation of one."""
    steps_ratio: float = 1.6
    """Of a total number of steps, a scale gets so many times those of the next larger one."""


@dataclass(frozen=True)
class Preset:
    """A named recipe: a description, the settings it fixes and its method."""

    description: str
    settings: Mapping[str, Any]
    method: Method = field(default_factory=Method)


_GATYS_STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

# What a preset does not say.
_COMMON: Final[Mapping[str, Any]] = {
    "weights": "original",
    "content_weight": 1.0,
    "tv_weight": 0.0,
    "pooling": "max",
    "schedule": "cosine",
    "budget": None,
    "tolerance": 0.0,
    "patience": 20,
    "scales": "auto",
    "detail": 0.0,
    "size": None,
    "init": "content",
    "style_scale": 1.0,
    "style_weights": (),
    "color": "style",
    "mask": None,
    "style_masks": (),
    "feather": 4.0,
    "keep_best": False,
    "seed": 0,
    "device": "auto",
    "precision": "float32",
    "tile": "auto",
}

# Sources of the published variants: docs/methods.md.
PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "default": Preset(
            "Our own recipe: coarse to fine, strokes at every scale, clean colours.",
            {
                "content_layers": ("relu4_2",),
                "style_layers": _GATYS_STYLE,
                "style_weight": 8.0,
                "tv_weight": 5.0,
                "optimizer": "bounded-lbfgs",
                "learning_rate": 0.04,
                "steps": 200,
                "detail": 1.0,
                "precision": "auto",
            },
        ),
        "fast": Preset(
            "A first sketch in seconds, for trying styles out.",
            {
                "content_layers": ("relu4_2",),
                "style_layers": _GATYS_STYLE,
                "style_weight": 8.0,
                "tv_weight": 5.0,
                "optimizer": "bounded-lbfgs",
                "learning_rate": 0.03,
                "schedule": "constant",
                "steps": 52,
                "detail": 1.0,
                "precision": "auto",
            },
            Method(steps_ratio=3.5),
        ),
        "tutorial": Preset(
            "'Neural Transfer Using PyTorch' (A. Jacq), the current edition.",
            {
                "content_layers": ("conv_4",),
                "style_layers": ("conv_1", "conv_2", "conv_3", "conv_4", "conv_5"),
                "style_weight": 1e6,
                "optimizer": "lbfgs",
                "learning_rate": 1.0,
                "schedule": "constant",
                "steps": 300,
                "scales": (512,),
            },
            Method(
                gram_divisor="chw",
                content_loss="mean",
                style_loss="mean",
                style_fit="content",
            ),
        ),
        "tutorial-2017": Preset(
            "The PyTorch tutorial's edition of 2017: weights inside the square.",
            {
                "content_layers": ("conv_4",),
                "style_layers": ("conv_1", "conv_2", "conv_3", "conv_4", "conv_5"),
                "style_weight": 1000.0,
                "optimizer": "lbfgs",
                "learning_rate": 1.0,
                "schedule": "constant",
                "steps": 300,
                "scales": (512,),
            },
            Method(
                space="rgb-raw",
                gram_divisor="chw",
                content_loss="mean",
                style_loss="mean",
                squared_weights=True,
                style_fit="content",
            ),
        ),
        "d2l": Preset(
            "'Dive into Deep Learning': Adam at two sizes, with total variation.",
            {
                # The book collects conv4_4 and conv1_1 … conv5_1, but the in-place ReLU
                # that follows overwrites all of them but the last.
                "content_layers": ("relu4_4",),
                "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "conv5_1"),
                "style_weight": 1e3,
                "tv_weight": 10.0,
                "optimizer": "adam",
                "learning_rate": 0.01,
                "schedule": "step",
                "steps": (500, 500),
                "scales": (225, 450),
            },
            Method(
                space="normalized",
                clamp=False,
                gram_divisor="chw",
                content_loss="mean",
                style_loss="mean",
                style_fit="content",
                eight_bit_between_scales=True,
                steps_ratio=1.0,
            ),
        ),
        "gatys": Preset(
            "Gatys, Ecker & Bethge 2016, as in Gatys' own PyTorch code.",
            {
                "content_layers": ("r42",),
                "style_layers": {
                    "r11": 1e3 / 64**2,
                    "r21": 1e3 / 128**2,
                    "r31": 1e3 / 256**2,
                    "r41": 1e3 / 512**2,
                    "r51": 1e3 / 512**2,
                },
                "style_weight": 1.0,
                "optimizer": "lbfgs",
                "learning_rate": 1.0,
                "schedule": "constant",
                "steps": 500,
                "scales": (512,),
            },
            Method(
                space="caffe",
                clamp=False,
                content_loss="mean",
                style_loss="mean",
                normalize_original=False,
            ),
        ),
        "series": Preset(
            "'Neural Style Transfer Series, Part 2' (PyTorch): average pooling, L-BFGS.",
            {
                "content_layers": ("re42",),
                "style_layers": ("re11", "re21", "re31", "re41", "re51"),
                "content_weight": 5.0,
                "style_weight": 1000.0,
                "pooling": "avg",
                "optimizer": "lbfgs",
                "learning_rate": 1.0,
                "schedule": "constant",
                "steps": 99 * 20,
                "scales": (512,),
            },
            Method(
                space="series",
                clamp=False,
                content_loss="mean",
                style_loss="mean",
                normalize_original=False,
            ),
        ),
        "series-adam": Preset(
            "The series' TensorFlow twin: Adam, the image of the lowest loss.",
            {
                "content_layers": ("block3_conv3",),
                "style_layers": dict.fromkeys(
                    ("block1_conv1", "block2_conv2", "block4_conv3"), 1 / 3
                ),
                "content_weight": 0.1,
                "style_weight": 0.9,
                "optimizer": "adam",
                "learning_rate": 9.0,
                "schedule": "constant",
                "steps": 200,
                "scales": (512,),
                "keep_best": True,
            },
            Method(
                space="caffe",
                clamp=False,
                gram_divisor="one",
                content_loss="half-mean",
                style_loss="size",
                epsilon=0.1,
                tensorflow_adam=True,
                normalize_original=False,
            ),
        ),
    }
)

#: Longest side that a run accepts, in pixels; more than any GPU or disk cache makes sense for.
MAX_SIZE: Final = 65_536

# Stands for "as the preset says"; Any, so that the fields keep their own types.
_PRESET: Final[Any] = type("AsThePresetSays", (), {"__repr__": lambda _: "as the preset says"})()


@dataclass(frozen=True, eq=False)
class Settings:
    """Settings of a run; every field not given is as the preset says.

    Parameters
    ----------
    preset : str
        One of ``PRESETS``.
    weights : str
        ``original``, ``torchvision`` or the path of a weights file.
    content_layers, style_layers : sequence of str, or mapping of str to float
        Layers of VGG19 by any of the names in use, with weights or without
        (equal weights).
    content_weight, style_weight, tv_weight : float
        Weights of content loss, style loss and total variation; at least 0.
    pooling : {"max", "avg"}
        Pooling of the encoder.
    optimizer : {"adam", "lbfgs", "bounded-lbfgs"}
        Optimizer of the image: Adam, L-BFGS without a line search as published, or L-BFGS
        with bounded steps, which heeds that the image is clamped and takes back a step
        after which the loss is higher.
    learning_rate : float
        Step size, above 0; of ``bounded-lbfgs`` the largest root mean square of a step.
    schedule : {"constant", "step", "cosine"}
        Of the learning rate: constant, a tenth every 200 steps of a scale, or falling
        over the whole run to 5 % along half a cosine.
    steps : int or sequence of int
        Evaluations of loss and gradient in all, or one number per scale; with 0 a scale is
        left out.
    budget : float or None
        Seconds that the run shall take, from the images to the result. It replaces the
        number of steps; numbers per scale keep their proportions. Such a run is not
        reproducible to the bit, for its steps depend on the time that they take.
    tolerance : float
        A scale ends early when its last ``patience`` evaluations lowered the loss by less
        than this share, in [0, 1]; 0 for never.
    patience : int
        See ``tolerance``.
    scales : "auto" or sequence of int
        Longest sides in pixels, coarse to fine.
    detail : float
        Share, in [0, 2], of the content's fine detail that is added to the image when it is
        enlarged for the next scale. The detail of a pyramid's level, after Burt & Adelson,
        "The Laplacian pyramid as a compact image code", 1983.
    size : int or None
        Longest side of the result in pixels; None for the content's own size, or
        the size that the preset publishes. Given scales are resized to end there.
    init : {"content", "noise", "style"} or array
        What the optimisation starts from.
    style_scale : float
        Size of the style image relative to the content, in (0, 10].
    style_weights : sequence of float
        One weight per style image; empty for equal weights.
    color : {"style", "luminance", "match"}
        Take the style's colours; paint the lightness alone and keep the content's hue
        and, as far as there are such colours, its chroma; or recolour the style to the
        content first.
    mask : array or None
        Where the content is painted; elsewhere it keeps its pixels to the last bit.
        (H, W), the content's shape: booleans, whole numbers as labels, 0 for outside, or
        floats in [0, 1], the share of each pixel that is painted, as one region of label 1.
    style_masks : sequence of arrays, or array
        Labels of the regions of each style image, (h, w) of its shape: a region of the
        content is painted with those of its label. Empty to paint all of ``mask`` with the
        whole style.
    feather : float
        Width of the soft edge within a mask of labels, in pixels of the result.
    keep_best : bool
        Return the image of the lowest loss instead of the last.
    seed : int
        Seed of the noise.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    precision : str
        ``auto``, ``float32``, ``bfloat16``, ``float16``, or ``float64`` for
        verification.
    tile : "auto", "off" or int
        The gradient is computed in strips of about as many pixels as a square tile of this
        edge has. The gradient is that of the whole image: in float32 to the last bit, in
        half precision but for rounding.

    Raises
    ------
    ValueError
        For a value out of range; it names the field, the value and what is allowed.
    """

    preset: str = "default"
    weights: str = _PRESET
    content_layers: LayerWeights = _PRESET
    style_layers: LayerWeights = _PRESET
    content_weight: float = _PRESET
    style_weight: float = _PRESET
    tv_weight: float = _PRESET
    pooling: str = _PRESET
    optimizer: str = _PRESET
    learning_rate: float = _PRESET
    schedule: str = _PRESET
    steps: int | tuple[int, ...] = _PRESET
    budget: float | None = _PRESET
    tolerance: float = _PRESET
    patience: int = _PRESET
    scales: str | tuple[int, ...] = _PRESET
    detail: float = _PRESET
    size: int | None = _PRESET
    init: str | npt.NDArray[Any] = _PRESET
    style_scale: float = _PRESET
    style_weights: tuple[float, ...] = _PRESET
    color: str = _PRESET
    mask: npt.NDArray[Any] | None = _PRESET
    style_masks: tuple[npt.NDArray[Any], ...] = _PRESET
    feather: float = _PRESET
    keep_best: bool = _PRESET
    seed: int = _PRESET
    device: str = _PRESET
    precision: str = _PRESET
    tile: str | int = _PRESET

    def __post_init__(self) -> None:
        _choice("preset", self.preset, PRESETS)
        defaults = {**_COMMON, **PRESETS[self.preset].settings}
        for f in dataclasses.fields(self)[1:]:
            value = getattr(self, f.name)
            value = defaults[f.name] if value is _PRESET else value
            object.__setattr__(self, f.name, _VALIDATORS[f.name](f.name, value))
        if (
            isinstance(self.steps, tuple)
            and isinstance(self.scales, tuple)
            and len(self.steps) != len(self.scales)
        ):
            if len(set(self.steps)) == 1:  # a preset's equal steps, at other scales than its own
                object.__setattr__(self, "steps", (self.steps[0],) * len(self.scales))
            else:
                raise ValueError(
                    f"steps={self.steps} has {len(self.steps)} numbers for "
                    f"{len(self.scales)} scales {self.scales}: give one number per scale, or one."
                )
        if self.style_masks and self.mask is None:
            raise ValueError(
                "style_masks say which region paints which, but there is no mask: give a mask of "
                "the content with the same labels."
            )
        if not self.content_weight and not self.style_weight:
            raise ValueError(
                "content_weight and style_weight are both 0: there is nothing to optimise."
            )

    @property
    def method(self) -> Method:
        """What the preset fixes beside these settings."""
        return PRESETS[self.preset].method

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data for JSON."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Settings":
        """Build settings from :meth:`to_dict`'s data, validated like any input."""
        if not isinstance(data, Mapping):
            raise ValueError(f"{data!r} are no settings: a mapping of names to values is needed.")
        return make_settings(**{name: _unplain(name, value) for name, value in data.items()})


def make_settings(preset: str = "default", **overrides: Any) -> Settings:
    """Settings of a preset with overrides; an unknown name is a ValueError."""
    known = [f.name for f in dataclasses.fields(Settings)]
    for name, value in overrides.items():
        if name not in known:
            near = get_close_matches(name, known, n=3) or known
            raise ValueError(
                f"There is no setting {name!r} (given {value!r}): did you mean {', '.join(near)}?"
            )
    return Settings(preset=preset, **overrides)


def strength_to_weight(percent: float, preset: str = "default") -> float:
    """Style weight for a style strength; 50 % is the preset's own.

    The eye takes equal factors of the weight for equal steps: the exponent is
    linear in the strength, over 1.7 decades either way.

    Parameters
    ----------
    percent : float
        Style strength, 0 ("barely") to 100 ("fully").
    preset : str
        One of ``PRESETS``.

    Returns
    -------
    float
        The ``style_weight`` of :class:`Settings`.
    """
    _number("style_strength", percent, 0, 100)
    _choice("preset", preset, PRESETS)
    weight = PRESETS[preset].settings["style_weight"]
    decades = _STRENGTH_DECADES * (percent - 50) / 50
    if PRESETS[preset].method.squared_weights:
        decades /= 2
    return float(weight * 10**decades)


# By eye, on five pairs: below, the content hardly changes; above, nothing does any more.
_STRENGTH_DECADES: Final = 1.7


# ------------------------------------------------------------------- validation


def _fail(name: str, value: object, allowed: str) -> ValueError:
    text = repr(value).replace("\n", "")
    return ValueError(f"{name}={text if len(text) < 80 else text[:77] + '…'}: it must be {allowed}")


def _choice(name: str, value: object, allowed: Sequence[str] | Mapping[str, Any]) -> str:
    if not isinstance(value, str) or value not in allowed:
        near = get_close_matches(str(value), list(allowed), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise _fail(name, value, "one of " + ", ".join(map(repr, allowed)) + hint)
    return value


def _number(name: str, value: object, low: float, high: float, above: bool = False) -> float:
    allowed = f"a number {'above' if above else 'from'} {low:g}"
    allowed += f" to {high:g}." if math.isfinite(high) else "." if above else " up."
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise _fail(name, value, allowed)
    try:
        number = float(value)
    except OverflowError:  # an int beyond all floats
        number = math.inf
    if not math.isfinite(number) or not low <= number <= high or (above and number == low):
        raise _fail(name, value, allowed)
    return number


def _whole(name: str, value: object, low: int, high: int, also: str = "") -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | np.integer)
        or not low <= value <= high
    ):
        raise _fail(name, value, f"{also}a whole number from {low} to {high}.")
    return int(value)


def _layers(name: str, value: Any) -> LayerWeights:
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, Mapping):
        pairs = {str(k): _number(f"{name}[{k!r}]", v, 0, math.inf) for k, v in value.items()}
    elif isinstance(value, Sequence):
        pairs = dict.fromkeys(map(str, value), 1.0)
    else:
        raise _fail(name, value, "layer names, or a mapping of layer names to weights.")
    if not pairs:
        raise _fail(name, value, "at least one layer, such as 'relu4_2'.")
    for layer in pairs:
        try:
            find_layer(layer)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if len({find_layer(layer) for layer in pairs}) < len(value):
        raise _fail(name, value, "layers that are named once each.")
    return pairs if isinstance(value, Mapping) else tuple(pairs)


def _steps(name: str, value: Any) -> int | tuple[int, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        steps = tuple(_whole(name, v, 0, 10**7) for v in value)
        if not any(steps):
            raise _fail(name, value, "a whole number from 1 for one scale at least.")
        return steps
    return _whole(name, value, 1, 10**7, "one number per scale or ")


def _scales(name: str, value: Any) -> str | tuple[int, ...]:
    if isinstance(value, str) and value == "auto":
        return value
    allowed = f"'auto' or growing longest sides in pixels, from 16 to {MAX_SIZE}."
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise _fail(name, value, allowed)
    sides = tuple(_whole(name, side, 16, MAX_SIZE) for side in value)
    if any(a >= b for a, b in pairwise(sides)):
        raise _fail(name, value, allowed)
    return sides


def _init(name: str, value: Any) -> str | npt.NDArray[Any]:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value
    if isinstance(value, str) and value in ("content", "noise", "style"):
        return value
    raise _fail(name, value, "'content', 'noise', 'style' or an array of real numbers.")


def _mask(name: str, value: Any, kinds: str = "biuf") -> npt.NDArray[Any]:
    """Validate a mask of any size, and copy it: its owner may go on drawing."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in kinds:
        floats = ", or floats in [0, 1]" if "f" in kinds else ""
        raise _fail(name, value, f"an array of booleans or labels from 0{floats}.")
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
        raise _fail(name, value, "one array of labels per style image.")
    return tuple(_mask(f"{name}[{i}]", mask, "biu") for i, mask in enumerate(value))


def _style_weights(name: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _fail(name, value, "one weight per style image.")
    weights = tuple(_number(name, w, 0, math.inf) for w in value)
    if weights and not sum(weights):
        raise _fail(name, value, "weights that are not all 0.")
    return weights


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise _fail(name, value, "True or False.")
    return bool(value)


def _device(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", value):
        raise _fail(name, value, "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'.")
    return value


def _tile(name: str, value: Any) -> str | int:
    if isinstance(value, str) and value in ("auto", "off"):
        return value
    return _whole(name, value, 64, MAX_SIZE, "'auto', 'off' or ")


def _weights(name: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise _fail(name, value, "'original', 'torchvision' or the path of a weights file.")
    return str(os.fspath(value))


_VALIDATORS: Final[Mapping[str, Any]] = {
    "weights": _weights,
    "content_layers": _layers,
    "style_layers": _layers,
    "content_weight": lambda n, v: _number(n, v, 0, math.inf),
    "style_weight": lambda n, v: _number(n, v, 0, math.inf),
    "tv_weight": lambda n, v: _number(n, v, 0, math.inf),
    "pooling": lambda n, v: _choice(n, v, ("max", "avg")),
    "optimizer": lambda n, v: _choice(n, v, ("adam", "lbfgs", "bounded-lbfgs")),
    "learning_rate": lambda n, v: _number(n, v, 0, 1000, above=True),
    "schedule": lambda n, v: _choice(n, v, ("constant", "step", "cosine")),
    "steps": _steps,
    "budget": lambda n, v: None if v is None else _number(n, v, 0, math.inf, above=True),
    "tolerance": lambda n, v: _number(n, v, 0, 1),
    "patience": lambda n, v: _whole(n, v, 1, 10**7),
    "scales": _scales,
    "detail": lambda n, v: _number(n, v, 0, 2),
    "size": lambda n, v: None if v is None else _whole(n, v, 16, MAX_SIZE, "None or "),
    "init": _init,
    "style_scale": lambda n, v: _number(n, v, 0, 10, above=True),
    "style_weights": _style_weights,
    "color": lambda n, v: _choice(n, v, ("style", "luminance", "match")),
    "mask": lambda n, v: None if v is None else _mask(n, v),
    "style_masks": _style_masks,
    "feather": lambda n, v: _number(n, v, 0, MAX_SIZE),
    "keep_best": _flag,
    "seed": lambda n, v: _whole(n, v, 0, 2**63 - 1),
    "device": _device,
    "precision": lambda n, v: _choice(n, v, ("auto", "float32", "bfloat16", "float16", "float64")),
    "tile": _tile,
}


# --------------------------------------------------------------- to and from JSON


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        # Masks shrink to nearly nothing, at any level; pictures never do.
        data = zlib.compress(np.ascontiguousarray(value).tobytes(), level=1)
        return {
            "dtype": value.dtype.str,
            "shape": list(value.shape),
            "base64": base64.b64encode(data).decode(),
        }
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return dict(value) if isinstance(value, Mapping) else value


def _unplain(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_unplain(name, part) for part in value]
    if not isinstance(value, Mapping) or set(value) != {"dtype", "shape", "base64"}:
        return value
    try:
        data = zlib.decompress(base64.b64decode(value["base64"], validate=True))
        return np.frombuffer(data, np.dtype(value["dtype"])).reshape(value["shape"]).copy()
    except (TypeError, ValueError, zlib.error) as error:
        raise _fail(name, value, f"an undamaged array ({error}).") from error
