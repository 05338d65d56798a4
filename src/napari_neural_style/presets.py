"""The presets: named recipes, and what each fixes beside the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

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

_TUTORIAL: Final[Mapping[str, Any]] = {
    "content_layers": ("conv_4",),
    "style_layers": ("conv_1", "conv_2", "conv_3", "conv_4", "conv_5"),
    "optimizer": "lbfgs",
    "learning_rate": 1.0,
    "schedule": "constant",
    "steps": 300,
    "scales": (512,),
}

# What a preset does not say.
COMMON: Final[Mapping[str, Any]] = {
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
    "memory_limit": None,
}

# A usual step of optimizers that bound it, in RGB in [0, 1], …
_STEP: Final = 0.04
# … and how far the values of each space lie apart from those.
_SPREADS: Final[Mapping[Space, float]] = {
    "rgb": 1.0,
    "rgb-raw": 1.0,
    "normalized": 4.4,
    "caffe": 255.0,
    "series": 1100.0,
}


def usual_rate(optimizer: str, preset: Preset) -> float:
    """Return the learning rate of a preset, or a usual one of another optimizer than its own."""
    if optimizer == preset.settings["optimizer"]:
        return float(preset.settings["learning_rate"])
    # L-BFGS learns the scale from the gradients.
    return 1.0 if optimizer == "lbfgs" else _STEP * _SPREADS[preset.method.space]


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
            {**_TUTORIAL, "style_weight": 1e6},
            Method(
                gram_divisor="chw",
                content_loss="mean",
                style_loss="mean",
                style_fit="content",
            ),
        ),
        "tutorial-2017": Preset(
            "The PyTorch tutorial's edition of 2017: weights inside the square.",
            {**_TUTORIAL, "style_weight": 1000.0},
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
