"""What may change while a run goes on."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import torch

from napari_neural_style.packed import plain
from napari_neural_style.settings import Settings, layer_weights
from napari_neural_style.transfer.inputs import (
    IMAGES,
    Inputs,
    content_tensor,
    image_digest,
    picture_tensor,
    style_tensors,
)
from napari_neural_style.validation import short

#: Settings that weigh the losses.
WEIGHTS: Final = frozenset({"content_weight", "style_weight", "tv_weight", "style_weights"})
#: Layers, with their weights.
LAYERS: Final = frozenset({"content_layers", "style_layers"})
#: Settings that say how much of what is asked for.
WEIGHING: Final = WEIGHTS | LAYERS
#: What the styles are to the objective.
STYLES: Final = frozenset({"style", "style_scale"})
#: What is painted where, and in which colours: the image itself is another for them.
PICTURES: Final = frozenset({"content", "color", "mask", "style_masks", "feather"})
#: Settings that say how large the image is to be.
SIZES: Final = frozenset({"size", "scales"})
# Part of an image that another one has other pixels in, or else it is the same one edited.
_MOST_EDITED: Final = 0.5
#: All that may change.
LIVE: Final = frozenset().union(
    WEIGHTS, LAYERS, STYLES, PICTURES, SIZES, {"steps", "learning_rate", "keep_best", "picture"}
)


def prepare(changes: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Check the names of changes, and take images as they are now, as tensors.

    Raises
    ------
    ValueError
        For what a run cannot change, or an image that is none.
    """
    for name, value in changes.items():
        if name not in LIVE:
            raise ValueError(
                f"{name}={short(value)} cannot change while a run goes on; "
                f"these can: {', '.join(sorted(LIVE))}."
            )
    makers: dict[str, Callable[[Any, torch.dtype], Any]] = {
        "content": content_tensor,
        "style": style_tensors,
        "picture": picture_tensor,
    }
    return {
        name: makers[name](value, dtype) if name in IMAGES else value
        for name, value in changes.items()
    }


def changed(before: Inputs, after: Inputs) -> set[str]:
    """Names of all that is not the same."""
    names = {
        name
        for name in LIVE.difference(IMAGES)
        if not _same(getattr(before.settings, name), getattr(after.settings, name))
    }
    if not _same_images((before.content,), (after.content,)):
        names.add("content")
    if not _same_images(before.styles, after.styles):
        names.add("style")
    return names


def other_layers(before: Settings, after: Settings) -> bool:
    """Whether there are others, and not the same with other weights."""
    return any(
        layer_weights(getattr(before, name)).keys() != layer_weights(getattr(after, name)).keys()
        for name in LAYERS
    )


def leads_far(before: Inputs, after: Inputs, names: Iterable[str]) -> bool:
    """Whether a change of some names is to quite other colours, style or content."""
    if "color" in names or ("content" in names and _is_other(before.content, after.content)):
        return True
    pairs = itertools.product(before.styles, after.styles)
    return "style" in names and all(_is_other(one, other) for one, other in pairs)


def _is_other(before: torch.Tensor, after: torch.Tensor) -> bool:
    """Whether an image is another one, and not the same with an edit."""
    if before.shape != after.shape:
        return True
    return float((before != after.to(before)).any(1).float().mean()) > _MOST_EDITED


def described(
    inputs: Inputs, names: Iterable[str], step: int, picture: torch.Tensor | None = None
) -> dict[str, Any]:
    """Tell a change as plain data for JSON: images by their hashes, masks whole."""
    change = {"step": step, **{name: told(inputs, name) for name in sorted(names)}}
    return change if picture is None else {**change, "picture": image_digest(picture)}


def told(inputs: Inputs, name: str) -> Any:
    """Tell what a run has of a name of :data:`LIVE`, as plain data for JSON."""
    if name == "content":
        return image_digest(inputs.content)
    if name == "style":
        return list(inputs.style_digests)
    return plain(getattr(inputs.settings, name))


def _same(one: object, other: object) -> bool:
    """Whether two values of a setting are equal; arrays and tuples of them, too."""
    ones, others = (v if isinstance(v, tuple) else (v,) for v in (one, other))
    return len(ones) == len(others) and all(map(np.array_equal, ones, others))


def _same_images(ones: tuple[torch.Tensor, ...], others: tuple[torch.Tensor, ...]) -> bool:
    return len(ones) == len(others) and all(
        one is other or (one.shape == other.shape and torch.equal(one, other.to(one)))
        for one, other in zip(ones, others, strict=True)
    )
