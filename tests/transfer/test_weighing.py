import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_neural_style import PRESETS, Settings
from napari_neural_style.layers import find_layer
from napari_neural_style.transfer.weighing import weigh

LAYERS = {"content_layers": {"relu2_1": 2.0}, "style_layers": {"relu1_1": 1.0, "relu3_1": 3.0}}
weights = st.floats(0, 1.7e308)


def values(weights):
    return [*weights.content.values(), *weights.style.values(), weights.tv]


@pytest.mark.parametrize("preset", PRESETS)
def test_weights_of_presets_are_products(preset):
    settings = Settings(preset=preset, **LAYERS, content_weight=0.5, style_weight=8, tv_weight=0.1)
    found = weigh(settings)
    power = 2 if preset == "tutorial-2017" else 1
    share = 4 if preset in ("default", "fast") else 1
    assert found.exponent == 0
    assert found.content == {find_layer("relu2_1"): 1**power}
    assert found.style == {
        find_layer(name): (8 * weight) ** power / share
        for name, weight in LAYERS["style_layers"].items()
    }
    assert found.tv == 0.1


@given(st.sampled_from(sorted(PRESETS)), weights, weights, weights, st.tuples(*[weights] * 3))
def test_the_largest_is_never_extreme(preset, content, style, tv, layers):
    settings = Settings(
        preset=preset,
        content_weight=content,
        style_weight=style or 1,
        tv_weight=tv,
        content_layers={"relu2_1": layers[0]},
        style_layers={"relu1_1": layers[1], "relu3_1": layers[2]},
    )
    found = values(weigh(settings))
    assert all(math.isfinite(value) and value >= 0 for value in found)
    assert not any(found) or 1e-7 < max(found) < 1e10


def test_what_weighs_nothing_beside_the_others_is_left_out():
    """Its gradients would be subnormal numbers, with which a step takes a hundred times as long."""
    found = weigh(Settings(**LAYERS, content_weight=1e38, style_weight=8, tv_weight=1e21))
    assert set(found.style.values()) == {0}
    assert found.content[find_layer("relu2_1")] > 0 < found.tv


@pytest.mark.parametrize("exponent", [-900, -50, 50, 900])
def test_a_common_factor_is_taken_out(exponent):
    settings = Settings(**LAYERS, content_weight=3, style_weight=5, tv_weight=0.25)
    factor = 2.0**exponent
    other = dataclasses.replace(
        settings, content_weight=3 * factor, style_weight=5 * factor, tv_weight=factor / 4
    )
    scaled = weigh(other)
    ratio = {a / b for a, b in zip(values(weigh(settings)), values(scaled), strict=True)}
    assert ratio == {2.0 ** (scaled.exponent - exponent)}
