import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_neural_style.settings import (
    PRESETS,
    Settings,
    layer_weights,
    layers_to_texture,
    strength_to_weight,
    texture_to_layers,
    weight_to_strength,
)

presets = st.sampled_from(sorted(PRESETS))
percents = st.floats(0, 100)


@given(percents, presets)
def test_a_strength_comes_back_from_its_weight(percent, preset):
    weight = strength_to_weight(percent, preset)
    assert weight_to_strength(weight, preset) == pytest.approx(percent, abs=1e-9)


@pytest.mark.parametrize("preset", PRESETS)
def test_weights_beyond_the_strengths_are_the_nearer_end(preset):
    assert weight_to_strength(0, preset) == 0
    assert weight_to_strength(strength_to_weight(0, preset) / 7, preset) == 0
    assert weight_to_strength(strength_to_weight(100, preset) * 7, preset) == 100
    assert weight_to_strength(1.7e308, preset) == 100
    assert weight_to_strength(5e-324, preset) == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_extreme_weights_are_no_texture(preset):
    for ends in ((5e-324, 1.7e308), (1.7e308, 5e-324), (5e-324, 1e-300)):
        names = list(texture_to_layers(50, preset))
        layers = dict.fromkeys(names, 1.0) | {names[0]: ends[0], names[-1]: ends[1]}
        assert layers_to_texture(layers, preset) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_the_middle_is_the_presets_own(preset):
    own = Settings(preset=preset)
    middle = texture_to_layers(50, preset)
    assert layer_weights(middle) == layer_weights(own.style_layers)
    assert list(middle) == list(own.style_layers)
    assert layers_to_texture(own.style_layers, preset) == 50
    assert weight_to_strength(own.style_weight, preset) == 50


@given(percents, presets)
def test_a_texture_scale_comes_back_from_its_layers(percent, preset):
    layers = texture_to_layers(percent, preset)
    settings = Settings(preset=preset, style_layers=layers)
    assert layers_to_texture(settings.style_layers, preset) == pytest.approx(percent, abs=1e-6)
    own = Settings(preset=preset).style_layers
    assert math.isclose(sum(layers.values()), sum(layer_weights(own).values()))


@given(st.tuples(percents, percents).filter(lambda pair: pair[1] - pair[0] > 0.01), presets)
def test_coarser_is_more_of_each_layer_to_the_one_above(pair, preset):
    fine, coarse = (layer_weights(texture_to_layers(percent, preset)) for percent in pair)
    gains = [coarse[layer] / fine[layer] for layer in sorted(fine, key=lambda x: x.index)]
    assert gains == sorted(gains)
    assert gains[0] < 1 < gains[-1]


@pytest.mark.parametrize(
    "layers",
    [
        ("relu1_1", "relu2_1"),
        {"relu1_1": 1, "relu2_1": 1, "relu3_1": 1, "relu4_1": 1, "relu5_1": 0},
        {"relu1_1": 1, "relu2_1": 9, "relu3_1": 1, "relu4_1": 1, "relu5_1": 1},
        dict.fromkeys(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), 2.0),
        {"relu1_1": 5e-9, "relu2_1": 1e-9, "relu3_1": 1, "relu4_1": 1, "relu5_1": 4},
    ],
)
def test_layers_of_no_texture_scale(layers):
    assert layers_to_texture(layers) is None


def test_layers_may_go_by_any_name():
    layers = dict(zip(("r11", "r21", "r31", "r41", "r51"), (1.0,) * 5, strict=True))
    assert layers_to_texture(layers) == 50


@pytest.mark.parametrize(
    ("dial", "value", "words"),
    [
        (strength_to_weight, 101, "style_strength=101: it must be a number from 0 to 100"),
        (texture_to_layers, -1, "texture_scale=-1: it must be a number from 0 to 100"),
        (weight_to_strength, -1, "style_weight=-1: it must be a number from 0 up"),
    ],
)
def test_values_out_of_range_are_refused(dial, value, words):
    with pytest.raises(ValueError, match=words):
        dial(value)
    with pytest.raises(ValueError, match=r"preset='gatsy'.*did you mean 'gatys'"):
        dial(50, "gatsy")
