"""What each loss weighs, in a unit with which the sums stay within the range of floats."""

from fractions import Fraction
from typing import Final, NamedTuple

from napari_neural_style.layers import Layer
from napari_neural_style.settings import Settings, layer_weights

# Powers of two between which the largest weight is taken as it is: those of every published
# variant are. Beyond, squares of gradients leave the range of float32.
_USUAL: Final = range(-20, 31)
# Of the largest: what weighs less is lost in the rounding, and its gradients of tiny numbers,
# which processors are a hundred times slower with.
_LEAST: Final = Fraction(1, 1 << 60)


class Weights(NamedTuple):
    """Weights of the losses, as the objective takes them."""

    content: dict[Layer, float]
    style: dict[Layer, float]
    tv: float
    exponent: int
    """Of the power of two that these have been divided by; the optimizers do not mind, for
    they look at the direction of a gradient, and at losses beside each other."""


def weigh(settings: Settings) -> Weights:
    """Multiply the weights of losses and layers, and scale them if they are extreme.

    Those that weigh nothing beside the largest are 0.

    Parameters
    ----------
    settings : Settings
        ``content_weight``, ``style_weight``, ``tv_weight`` and the weights of the layers, any
        of them from 0 to the largest float.
    """
    method = settings.method
    power = 2 if method.squared_weights else 1
    # Products of the smallest and the largest floats are none: exactly, then, and rounded once.
    content = _products(settings.content_weight, layer_weights(settings.content_layers), power)
    styles = layer_weights(settings.style_layers)
    style = _products(settings.style_weight, styles, power)
    if method.style_loss == "relative":
        share = sum(map(Fraction, styles.values())) or 1
        style = {layer: weight / share for layer, weight in style.items()}
    tv = Fraction(settings.tv_weight)
    largest = max(*content.values(), *style.values(), tv)
    exponent = largest.numerator.bit_length() - largest.denominator.bit_length()
    exponent = exponent if largest and exponent not in _USUAL else 0
    unit = Fraction(2) ** exponent

    def scaled(weight: Fraction) -> float:
        return float(weight / unit) if weight >= _LEAST * largest else 0.0

    return Weights(
        {layer: scaled(weight) for layer, weight in content.items()},
        {layer: scaled(weight) for layer, weight in style.items()},
        scaled(tv),
        exponent,
    )


def _products(weight: float, layers: dict[Layer, float], power: int) -> dict[Layer, Fraction]:
    return {layer: (Fraction(weight) * Fraction(w)) ** power for layer, w in layers.items()}
