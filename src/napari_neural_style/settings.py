"""Every setting of a run; with presets, validation and the dials of a person.

No torch here: settings are made, checked and stored without the engine.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import numpy.typing as npt

from napari_neural_style.dials import (
    layers_to_texture,
    strength_to_weight,
    texture_to_layers,
    weight_to_strength,
)
from napari_neural_style.packed import check_arrays, plain, unplain
from napari_neural_style.presets import COMMON, PRESETS, Method, Preset, Space, usual_rate
from napari_neural_style.validation import (
    MAX_SIZE,
    VALIDATORS,
    LayerWeights,
    choice,
    layer_weights,
    short,
)

__all__ = [
    "MAX_SIZE",
    "PRESETS",
    "LayerWeights",
    "Method",
    "Preset",
    "Settings",
    "Space",
    "layer_weights",
    "layers_to_texture",
    "make_settings",
    "strength_to_weight",
    "texture_to_layers",
    "weight_to_strength",
]

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
        Step size, above 0; of ``bounded-lbfgs`` the largest root mean square of a step. With
        another optimizer than the preset's own: 1 for ``lbfgs``, 0.04 of the range of RGB for
        the others.
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
    memory_limit : float or None
        Memory that the run may take on its device, in GB (2³⁰ bytes), with ``tile="auto"`` in
        as small tiles as it needs; None for most of what is free. In float32 the result does
        not depend on it.

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
    memory_limit: float | None = _PRESET

    def __post_init__(self) -> None:
        choice("preset", self.preset, PRESETS)
        preset = PRESETS[self.preset]
        defaults = {**COMMON, **preset.settings}
        for f in dataclasses.fields(self)[1:]:
            value = getattr(self, f.name)
            value = defaults[f.name] if value is _PRESET else value
            object.__setattr__(self, f.name, VALIDATORS[f.name](f.name, value))
            if f.name == "optimizer":
                defaults["learning_rate"] = usual_rate(self.optimizer, preset)
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
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Settings":
        """Build settings from :meth:`to_dict`'s data, validated like any input.

        Raises
        ------
        ValueError
            For an unknown name or a wrong value, a damaged array, or arrays that would unfold
            to more than 512 MB in all.
        """
        if not isinstance(data, Mapping):
            raise ValueError(
                f"{short(data)} are no settings: a mapping of names to values is needed."
            )
        try:
            check_arrays(data)
            return make_settings(**{name: unplain(name, value) for name, value in data.items()})
        except RecursionError:
            raise ValueError("its values are nested without end.") from None


def make_settings(preset: str = "default", **overrides: Any) -> Settings:
    """Settings of a preset with overrides; an unknown name is a ValueError."""
    known = [f.name for f in dataclasses.fields(Settings)]
    for name, value in overrides.items():
        if name not in known:
            near = ", ".join(get_close_matches(name, known, n=3))
            hint = f": did you mean {near}?" if near else "."
            raise ValueError(f"There is no setting {short(name)} (given {short(value)}){hint}")
    return Settings(preset=preset, **overrides)
