"""What a person turns, as settings: style strength and texture scale."""

import math
from collections.abc import Mapping
from typing import Final

from napari_neural_style.layers import Layer, find_layer
from napari_neural_style.presets import PRESETS
from napari_neural_style.validation import LayerWeights, choice, layer_weights, number

# By eye, on five pairs: below, the content hardly changes; above, nothing does any more.
_STRENGTH_DECADES: Final = 1.7
# What the deepest layer gains over the shallowest, either way. By eye, on two pairs: with a
# decade more the coarse end loses the style's colours, which the shallow layers hold.
_TEXTURE_DECADES: Final = 2.0


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
    number("style_strength", percent, 0, 100)
    return _own_style_weight(preset) * _factor(percent, _STRENGTH_DECADES, preset)


def weight_to_strength(weight: float, preset: str = "default") -> float:
    """Style strength of a style weight, the inverse of :func:`strength_to_weight`.

    Parameters
    ----------
    weight : float
        The ``style_weight`` of :class:`Settings`.
    preset : str
        One of ``PRESETS``.

    Returns
    -------
    float
        From 0 to 100; for weights beyond, the nearer of the two.
    """
    number("style_weight", weight, 0, math.inf)
    own = _own_style_weight(preset)
    return _percent(own, weight, _STRENGTH_DECADES, preset) if weight else 0.0


def texture_to_layers(percent: float, preset: str = "default") -> dict[str, float]:
    """Weights of the style layers for a texture scale; 50 % are the preset's own.

    Shallow layers see the grain of a style, deep ones its large patterns. The weights are
    tilted from one end to the other, by equal factors from layer to layer; their sum is kept.

    Parameters
    ----------
    percent : float
        Texture scale, 0 (fine) to 100 (coarse).
    preset : str
        One of ``PRESETS``.

    Returns
    -------
    dict of str to float
        The ``style_layers`` of :class:`Settings`.
    """
    number("texture_scale", percent, 0, 100)
    own = _own_layers(preset)
    if percent == 50:
        return own
    deepest = _depths(own)
    tilted = {
        name: weight * _factor(percent, _TEXTURE_DECADES * deepest[name], preset)
        for name, weight in own.items()
    }
    share = sum(own.values()) / sum(tilted.values())
    return {name: weight * share for name, weight in tilted.items()}


def layers_to_texture(layers: LayerWeights, preset: str = "default") -> float | None:
    """Texture scale of some style layers, the inverse of :func:`texture_to_layers`.

    Parameters
    ----------
    layers : mapping or tuple
        The ``style_layers`` of :class:`Settings`.
    preset : str
        One of ``PRESETS``.

    Returns
    -------
    float or None
        From 0 to 100; None for weights that no texture scale has.
    """
    given = layer_weights(layers)
    own = layer_weights(_own_layers(preset))
    if given.keys() != own.keys() or not all(given.values()):
        return None
    first, last = min(own, key=_index), max(own, key=_index)
    tilts = own[last] / own[first], given[last] / given[first]
    if first is last:
        percent = 50.0
    elif 0 < tilts[1] < math.inf:
        percent = _percent(*tilts, _TEXTURE_DECADES, preset)
    else:  # beyond all floats
        return None
    meant = layer_weights(texture_to_layers(percent, preset))
    same = all(math.isclose(given[layer], meant[layer], rel_tol=1e-6) for layer in own)
    return percent if same else None


def _factor(percent: float, decades: float, preset: str) -> float:
    if PRESETS[preset].method.squared_weights:
        decades /= 2
    return float(10 ** (decades * (percent - 50) / 50))


def _percent(own: float, other: float, decades: float, preset: str) -> float:
    if PRESETS[preset].method.squared_weights:
        decades /= 2
    gained = math.log10(other) - math.log10(own)  # of extreme numbers the ratio is none
    return min(100.0, max(0.0, 50 + 50 * gained / decades))


def _own_style_weight(preset: str) -> float:
    choice("preset", preset, PRESETS)
    return float(PRESETS[preset].settings["style_weight"])


def _own_layers(preset: str) -> dict[str, float]:
    choice("preset", preset, PRESETS)
    layers = PRESETS[preset].settings["style_layers"]
    return dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0)


def _depths(layers: Mapping[str, float]) -> dict[str, float]:
    """From -1/2 for the shallowest to 1/2 for the deepest, in equal steps."""
    ordered = sorted(layers, key=lambda name: find_layer(name).index)
    last = max(1, len(ordered) - 1)
    return {name: i / last - 0.5 for i, name in enumerate(ordered)}


def _index(layer: Layer) -> int:
    return layer.index
