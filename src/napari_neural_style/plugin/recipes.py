"""What the widget's controls show of a recipe's settings, and what they cannot."""

import math
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from ..layers import find_layer
from ..recipe import beyond_preset
from ..settings import Settings, strength_to_weight, weight_to_strength

# Controls that show a setting of another name.
_CONTROLS: Final = {"style_weight": "style_strength", "style_weights": "mix"}


def values_of(settings: Settings) -> dict[str, Any]:
    """Return what controls show for settings.

    Parameters
    ----------
    settings
        Of a recipe or preset.

    Returns
    -------
    dict
        Values by the names of the settings, which are those of the controls but for
        ``style_strength``, in whole % from 0 to 100, and ``mix``, the second style's share in
        whole % where there are two. ``size`` is 0 for none, and ``steps`` 0 for the preset's,
        otherwise the total; ``style_layers`` maps layers to weights, by the preset's names of
        them. Images (``mask``, ``style_masks``, a start) and sequences are not there.
    """
    preset = Settings(preset=settings.preset)
    values = {part.name: getattr(settings, part.name) for part in fields(Settings)}
    values = {name: value for name, value in values.items() if _is_plain(value)}
    for name in ("style_weight", "mask"):  # shown by controls of another kind
        values.pop(name, None)
    values["style_strength"] = _strength(settings)
    values["style_layers"] = _layer_weights(settings, preset)
    values["size"] = _size(settings, preset) or 0
    values["steps"] = 0 if settings.steps == preset.steps else _total(settings.steps)
    if len(settings.style_weights) == 2:
        first, second = settings.style_weights
        values["mix"] = round(100 * second / (first + second))
    return values


def left_out(settings: Settings, controls: Collection[str]) -> tuple[str, ...]:
    """Return the names of settings beyond the preset's that controls do not show.

    Parameters
    ----------
    settings
        As for :func:`values_of`.
    controls
        Names, as :func:`values_of` has them, of the controls that there are.
    """
    preset = Settings(preset=settings.preset)
    shown = {name: _CONTROLS.get(name, name) in controls for name in beyond_preset(settings)}
    beyond = {  # the controls, though there are some
        "mask": True,
        "style_masks": True,
        "init": not isinstance(settings.init, str),
        "style_weight": not _has_strength(settings),
        "style_weights": len(settings.style_weights) != 2,
        "style_layers": _layer_weights(settings, preset).keys()
        != _layer_weights(preset, preset).keys(),
        "steps": isinstance(settings.steps, tuple) and len(settings.steps) > 1,
    }
    return tuple(name for name, seen in shown.items() if not seen or beyond.get(name))


def left_out_sentence(names: Collection[str]) -> str:
    """Tell the user what was left out; empty if that is nothing."""
    if not names:
        return ""
    *others, last = names
    if not others:
        return f"{last} is not among the widget's controls and was left out."
    listed = f"{', '.join(others)} and {last}"
    return f"{listed} are not among the widget's controls and were left out."


def for_any_image(settings: Settings) -> Settings:
    """Return settings without what belongs to their images: masks, a start, shares of styles."""
    preset = Settings(preset=settings.preset)
    init = settings.init if isinstance(settings.init, str) else preset.init
    return replace(settings, mask=None, style_masks=(), init=init, style_weights=())


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _strength(settings: Settings) -> int:
    """The strength in whole % that comes nearest."""
    return round(weight_to_strength(settings.style_weight, settings.preset))


def _has_strength(settings: Settings) -> bool:
    """Whether a strength in whole % stands for the weight; one to the next are 8 %."""
    nearest = strength_to_weight(_strength(settings), settings.preset)
    return math.isclose(nearest, settings.style_weight, rel_tol=0.05)


def _size(settings: Settings, preset: Settings) -> int | None:
    if settings.size is None and settings.scales not in ("auto", preset.scales):
        return int(settings.scales[-1])
    return settings.size


def _total(steps: int | tuple[int, ...]) -> int:
    return sum(steps) if isinstance(steps, tuple) else steps


def _layer_weights(settings: Settings, preset: Settings) -> dict[str, float]:
    given = settings.style_layers
    weights = given if isinstance(given, Mapping) else dict.fromkeys(given, 1.0)
    names = {find_layer(name): name for name in preset.style_layers}
    layers = {find_layer(name): weight for name, weight in weights.items()}
    return {names.get(layer, layer.name): weight for layer, weight in layers.items()}
