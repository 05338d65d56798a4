import numpy as np
import pytest

from napari_neural_style import PRESETS, Settings
from napari_neural_style.plugin.recipes import (
    for_any_image,
    left_out,
    left_out_sentence,
    values_of,
)
from napari_neural_style.settings import strength_to_weight

CONTROLS = {
    *("preset", "style_strength", "style_layers", "color", "size", "steps", "device", "mix"),
    *("mask", "style_masks", "feather", "content_weight", "tv_weight", "weights"),
}
LABELS = np.ones((8, 8), int)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_as_it_is(preset):
    settings = Settings(preset)
    values = values_of(settings)
    assert values["preset"] == preset
    assert values["style_strength"] == 50
    assert (values["size"], values["steps"]) == (0, 0)
    assert (values["color"], values["device"], values["feather"]) == ("style", "auto", 4.0)
    assert values["content_weight"] == settings.content_weight
    assert list(values["style_layers"]) == list(settings.style_layers)
    assert left_out(settings, CONTROLS) == ()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("strength", [0, 1, 37, 99, 100])
def test_the_strength_that_was_chosen(preset, strength):
    settings = Settings(preset, style_weight=strength_to_weight(strength, preset))
    shown = values_of(settings)["style_strength"]
    assert shown == strength
    assert strength_to_weight(shown, preset) == settings.style_weight
    assert left_out(settings, CONTROLS) == ()


@pytest.mark.parametrize(("weight", "shown"), [(0, 0), (1e-300, 0), (1e-9, 0), (1e9, 100)])
def test_a_weight_beyond_all_strengths(weight, shown):
    settings = Settings(style_weight=weight)
    assert values_of(settings)["style_strength"] == shown
    assert left_out(settings, CONTROLS) == ("style_weight",)


@pytest.mark.parametrize(
    ("given", "values", "left"),
    [
        ({"size": 300, "steps": 70}, {"size": 300, "steps": 70}, ()),
        ({"steps": PRESETS["default"].settings["steps"]}, {"steps": 0}, ()),
        ({"steps": (30, 40), "scales": (64, 128)}, {"steps": 70, "size": 128}, ("steps", "scales")),
        ({"scales": (64, 128), "size": 90}, {"size": 90}, ("scales",)),
        ({"content_weight": 2.5, "tv_weight": 0}, {"content_weight": 2.5, "tv_weight": 0.0}, ()),
        ({"color": "match", "device": "cuda:1"}, {"color": "match", "device": "cuda:1"}, ()),
        ({"weights": "my.pth"}, {"weights": "my.pth"}, ()),
        ({"precision": "float32"}, {"precision": "float32"}, ("precision",)),
        ({"seed": 4, "init": "noise"}, {"seed": 4, "init": "noise"}, ("init", "seed")),
        ({"style_weights": (3, 1)}, {"mix": 25}, ()),
        ({"style_weights": (3, 1, 1)}, {}, ("style_weights",)),
        ({"mask": LABELS, "feather": 9}, {"feather": 9.0}, ("mask",)),
        ({"mask": LABELS, "style_masks": (LABELS,)}, {}, ("mask", "style_masks")),
        ({"feather": 0.0}, {"feather": 0.0}, ()),
        ({"init": LABELS / 2}, {}, ("init",)),
    ],
)
def test_settings_of_their_own(given, values, left):
    settings = Settings(**given)
    shown = values_of(settings)
    assert {name: shown[name] for name in values} == values
    assert left_out(settings, CONTROLS) == left
    assert not {"mask", "style_masks", "style_weight", "style_weights"} & shown.keys()


def test_what_has_a_control_is_not_left_out():
    settings = Settings(seed=4, precision="float32", style_layers=("conv1_1",))
    assert left_out(settings, CONTROLS | {"seed"}) == ("style_layers", "precision")
    assert left_out(settings, ()) == ("style_layers", "seed", "precision")


def test_layers_go_by_the_names_of_the_preset():
    weights = {"r11": 0.5, "3": 1.0, "block3_conv1": 0.0}
    settings = Settings(style_layers=weights)
    assert values_of(settings)["style_layers"] == {"relu1_1": 0.5, "relu1_2": 1.0, "relu3_1": 0.0}
    five = dict(zip(("r51", "r41", "r31", "r21", "r11"), range(5), strict=True))
    assert left_out(Settings(style_layers=five), CONTROLS) == ()
    assert values_of(Settings(style_layers=five))["style_layers"]["relu1_1"] == 4


def test_what_was_left_out_is_told():
    assert left_out_sentence(()) == ""
    assert left_out_sentence(("seed",)) == (
        "seed is not among the widget's controls and was left out."
    )
    assert left_out_sentence(("mask", "scales", "seed")) == (
        "mask, scales and seed are not among the widget's controls and were left out."
    )


def test_for_any_image():
    settings = Settings(
        "d2l", mask=LABELS, style_masks=(LABELS,), init=LABELS / 2, style_weights=(1,), seed=3
    )
    assert for_any_image(settings) == Settings("d2l", seed=3)
    assert for_any_image(Settings(init="noise")) == Settings(init="noise")
