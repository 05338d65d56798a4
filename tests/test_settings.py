import dataclasses
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_neural_style.settings import (
    MAX_SIZE,
    PRESETS,
    Settings,
    make_settings,
    strength_to_weight,
)

FIELDS = [field.name for field in dataclasses.fields(Settings)]
PUBLISHED = ("tutorial", "tutorial-2017", "d2l", "gatys", "series", "series-adam")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=0).map(lambda exponent: 10 ** min(exponent, 500))
    | st.floats()
    | st.text(max_size=12),
    lambda values: (
        st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3)
    ),
    max_leaves=5,
)
# Values that are right for one field and near misses for the others.
familiar_values = st.sampled_from(
    [
        *("default", "gatys", "auto", "off", "max", "avg", "adam", "content", "style", "match"),
        *("cpu", "cuda", "cuda:1", "cuda:", "mps", "float32", "float64", "relu4_2", "25", "conv_4"),
        *(0, 1, 16, 64, 100, MAX_SIZE, MAX_SIZE + 1, -1, 0.0, 0.5, 10.0, 1e-300, 1e308),
        *([], [16, 32], [32, 16], [16, 16], [1, 1], [0, 0], ["relu1_1", "conv1_1"], ["r11", "1"]),
        *({}, {"relu1_1": 0.5}, {"relu1_1": -1}, {"relu9_1": 1}, {"25": 1, "conv4_4": 2}),
    ]
)


def parts(value):
    """A value and everything inside of it."""
    yield value
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for part in value:
            yield from parts(part)


def settings_or_message(data):
    try:
        return Settings.from_dict(data)
    except ValueError as error:
        return str(error)


def assert_round_trip(settings):
    text = json.dumps(settings.to_dict(), allow_nan=False)
    again = Settings.from_dict(json.loads(text))
    assert again == settings
    assert hash(again) == hash(settings)
    assert again.to_dict() == settings.to_dict()


@pytest.mark.parametrize("field", FIELDS)
@given(value=json_values | familiar_values)
@budget(max_examples=60)
def test_any_value_is_taken_or_refused_in_words(field, value):
    made = settings_or_message({field: value})
    if isinstance(made, Settings):
        assert_round_trip(made)
        return
    assert made.startswith(field)
    shown = {form(part) for part in parts(value) for form in (repr, lambda p: repr(str(p)))}
    assert any(text[:77] in made for text in shown)
    assert "must be" in made or "nearest names" in made
    assert "\n" not in made


@given(st.dictionaries(st.sampled_from(FIELDS), json_values | familiar_values, max_size=4))
def test_any_mapping_makes_settings_or_a_value_error(data):
    made = settings_or_message(data)
    if isinstance(made, Settings):
        assert_round_trip(made)
    else:
        assert any(field in made for field in data)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("preset", "gatis", "did you mean 'gatys'"),
        ("preset", None, "'default', 'fast', 'tutorial'"),
        ("weights", "", "'original', 'torchvision' or the path"),
        ("content_layers", "relu4_5", "relu4_4"),
        ("style_layers", [], "at least one layer"),
        ("style_layers", ("conv1_1", "0"), "named once each"),
        ("style_layers", ("r11", "r11"), "named once each"),
        ("style_layers", {"relu1_1": math.inf}, "a number from 0 up"),
        ("style_layers", 25, "layer names, or a mapping"),
        ("content_weight", -1, "a number from 0 up"),
        ("style_weight", math.nan, "a number from 0 up"),
        ("style_weight", 10**400, "a number from 0 up"),
        ("tv_weight", "5", "a number from 0 up"),
        ("tv_weight", True, "a number from 0 up"),
        ("pooling", "mean", "'max', 'avg'"),
        ("optimizer", "lbgfs", "did you mean 'lbfgs'"),
        ("learning_rate", 0, "a number above 0 to 1000"),
        ("learning_rate", 1001, "a number above 0 to 1000"),
        ("schedule", "linear", "'constant', 'step', 'cosine'"),
        ("steps", 0, "whole number from 1"),
        ("steps", 1.5, "whole number from 1"),
        ("steps", [10, -1], "whole number from 0"),
        ("steps", [0, 0], "whole number from 1 for one scale at least"),
        ("budget", 0, "a number above 0"),
        ("budget", math.inf, "a number above 0"),
        ("steps", np.array([3, 4]), "one number per scale"),
        ("tolerance", 1.5, "a number from 0 to 1"),
        ("tolerance", -0.1, "a number from 0 to 1"),
        ("patience", 0, "a whole number from 1"),
        ("scales", "coarse", "'auto' or growing longest sides"),
        ("scales", [64, 64], "growing longest sides"),
        ("scales", [15], "from 16 to 65536"),
        ("scales", np.array([32, 64]), "'auto' or growing longest sides"),
        ("size", MAX_SIZE + 1, "None or a whole number from 16 to 65536"),
        ("size", 15, "None or a whole number from 16 to 65536"),
        ("init", "random", "'content', 'noise', 'style'"),
        ("init", np.array([None]), "an array of real numbers"),
        ("style_scale", 0, "a number above 0 to 10"),
        ("style_weights", (0, 0), "not all 0"),
        ("style_weights", 1.0, "one weight per style image"),
        ("color", "luma", "'style', 'luminance', 'match'"),
        ("mask", [[0, 1]], "an array of booleans or labels from 0, or floats in [0, 1]"),
        ("mask", np.ones((2, 2), complex), "an array of booleans"),
        ("mask", np.ones((2, 2, 2), int), "shape (2, 2, 2): it must be (height, width)"),
        ("mask", np.zeros((0, 2), int), "must be (height, width)"),
        ("mask", np.array([[0, -1]]), "values from -1 to 0: they must be labels from 0"),
        ("mask", np.array([[0, 1.5]]), "values from 0 to 1.5: they must be in [0, 1]"),
        ("mask", np.array([[0, np.nan]]), "NaN or infinite values"),
        ("mask", np.zeros((3, 4), bool), "0 everywhere: draw a label"),
        ("style_masks", "mask.png", "one array of labels per style image"),
        ("style_masks", [np.eye(2)], "an array of booleans or labels from 0."),
        ("style_masks", np.eye(2, dtype=int), "there is no mask"),
        ("feather", -1, "a number from 0 to 65536"),
        ("feather", math.nan, "a number from 0 to 65536"),
        ("keep_best", 1, "True or False"),
        ("seed", -1, "whole number from 0"),
        ("seed", 2**63, "whole number from 0"),
        ("device", "gpu", "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'"),
        ("precision", "double", "'bfloat16', 'float16', 'float64'"),
        ("tile", 63, "'auto', 'off' or a whole number from 64"),
        ("tile", np.array([64, 64]), "'auto', 'off' or a whole number from 64"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(field, value, allowed):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        make_settings(**{field: value})
    assert str(caught.value).startswith(field)
    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("weights", Path("some") / "vgg.pth", str(Path("some") / "vgg.pth")),
        ("content_layers", "relu4_2", ("relu4_2",)),
        ("content_layers", ["25"], ("25",)),
        ("style_layers", {"r11": 1, "r21": np.float32(0.5)}, {"r11": 1.0, "r21": 0.5}),
        ("style_weight", 0, 0.0),
        ("learning_rate", np.float64(1000), 1000.0),
        ("steps", np.int64(7), 7),
        ("steps", [7], (7,)),
        ("steps", [7, 0], (7, 0)),
        ("budget", 20, 20.0),
        ("budget", None, None),
        ("scales", [16, MAX_SIZE], (16, MAX_SIZE)),
        ("size", 16, 16),
        ("style_scale", 10, 10.0),
        ("style_weights", [0, 2], (0.0, 2.0)),
        ("keep_best", np.True_, True),
        ("seed", 2**63 - 1, 2**63 - 1),
        ("device", "cuda:12", "cuda:12"),
        ("tile", 64, 64),
    ],
)
def test_a_right_value_is_kept_in_plain_types(field, value, kept):
    settings = make_settings(**{field: value})
    found = getattr(settings, field)
    assert found == kept
    assert type(found) is type(kept)
    assert_round_trip(settings)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_and_complete(preset):
    settings = Settings(preset=preset)
    assert settings.preset == preset
    assert PRESETS[preset].description
    assert settings.method is PRESETS[preset].method
    for name, value in PRESETS[preset].settings.items():
        assert getattr(settings, name) == value
    assert_round_trip(settings)


def test_presets_are_those_of_the_design():
    assert set(PRESETS) == {"default", "fast", *PUBLISHED}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_published_presets_run_as_published(preset):
    """In plain single precision, without measuring what would be faster."""
    assert Settings(preset=preset).precision == "float32"


@given(
    init=arrays.arrays(
        arrays.boolean_dtypes()
        | arrays.integer_dtypes(endianness="?")
        | arrays.unsigned_integer_dtypes()
        | arrays.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
        arrays.array_shapes(min_dims=2, max_dims=3, max_side=4),
    )
)
def test_arrays_round_trip_through_json(init):
    settings = Settings(init=init)
    again = Settings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert again.init.dtype == init.dtype
    assert again.init.shape == init.shape
    assert again.init.tobytes() == init.tobytes()


@given(
    mask=arrays.arrays(
        arrays.boolean_dtypes() | arrays.unsigned_integer_dtypes(endianness="?"),
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=4),
    ).filter(np.any),
    styles=st.integers(0, 2),
)
def test_masks_round_trip_through_json(mask, styles):
    settings = Settings(mask=mask, style_masks=[mask.T] * styles)
    assert_round_trip(settings)
    again = Settings.from_dict(json.loads(json.dumps(settings.to_dict())))
    expected = (mask, *[mask.T] * styles)
    for found, kept in zip((again.mask, *again.style_masks), expected, strict=True):
        assert found.dtype == mask.dtype
        np.testing.assert_array_equal(found, kept)


def test_masks_are_stored_small():
    mask = np.zeros((1000, 1000), np.int64)
    mask[100:900, 300:] = 7
    assert len(json.dumps(Settings(mask=mask).to_dict()["mask"])) < 100_000


def test_a_mask_is_not_what_its_owner_makes_of_it_later():
    mask = np.eye(4, dtype=int)
    settings = Settings(mask=mask, style_masks=mask)
    mask[:] = 0
    assert settings.mask.any()
    assert settings.style_masks[0].any()


def test_an_array_may_have_any_strides():
    whole = np.arange(24).reshape(4, 6)
    again = Settings.from_dict(Settings(init=whole.T[::-1, ::2]).to_dict())
    np.testing.assert_array_equal(again.init, whole.T[::-1, ::2])


def test_settings_differ_by_their_arrays():
    one, other = Settings(init=np.eye(3)), Settings(init=np.eye(3) * 2)
    assert one == Settings(init=np.eye(3))
    assert one != other
    assert one != "content"


def test_the_order_of_layers_with_weights_does_not_matter():
    one = Settings(style_layers={"r11": 1, "r21": 2})
    other = Settings(style_layers={"r21": 2, "r11": 1})
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    "damage",
    [
        {"dtype": "nonsense"},
        {"dtype": "|O"},
        {"dtype": 3},
        {"shape": [5]},
        {"shape": "x"},
        {"base64": "A"},
        {"base64": None},
    ],
)
def test_a_damaged_array_is_refused(damage):
    data = Settings(init=np.eye(2)).to_dict()
    data["init"] |= damage
    with pytest.raises(ValueError, match="init"):
        Settings.from_dict(data)


def test_from_dict_needs_a_mapping():
    with pytest.raises(ValueError, match=r"\[1\].*mapping"):
        Settings.from_dict([1])


def test_from_dict_keeps_what_is_missing_as_the_preset_says():
    assert Settings.from_dict({"preset": "gatys"}) == Settings(preset="gatys")
    assert Settings.from_dict({}) == Settings()
    older = Settings(preset="d2l").to_dict()
    del older["schedule"]
    assert Settings.from_dict(older).schedule == "step"


@pytest.mark.parametrize(("name", "near"), [("style_wieght", "style_weight"), ("step", "steps")])
def test_an_unknown_setting_names_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"no setting '{name}'.*3.*{near}"):
        make_settings(**{name: 3})
    with pytest.raises(ValueError, match=near):
        Settings.from_dict({name: 3})


def test_nothing_to_optimise():
    with pytest.raises(ValueError, match="content_weight and style_weight are both 0"):
        Settings(content_weight=0, style_weight=0)


def test_steps_must_fit_the_scales():
    with pytest.raises(ValueError, match=r"steps=\(5, 6\) has 2 numbers for 3 scales"):
        Settings(steps=(5, 6), scales=(16, 32, 64))
    assert Settings(steps=(5, 6, 7), scales=(16, 32, 64)).steps == (5, 6, 7)
    assert Settings(preset="d2l", scales=(64,)).steps == (500,)


@pytest.mark.parametrize(
    ("preset", "optimizer", "rate"),
    [
        ("gatys", "lbfgs", 1.0),
        ("tutorial", "adam", 0.04),
        ("gatys", "bounded-lbfgs", 0.04 * 255),
        ("default", "lbfgs", 1.0),
        ("default", "adam", 0.04),
        ("series-adam", "adam", 9.0),
    ],
)
def test_another_optimizer_has_another_rate(preset, optimizer, rate):
    """Adam with the 1 of L-BFGS paints all over in a step; L-BFGS with Adam's 0.04 crawls."""
    settings = make_settings(preset, optimizer=optimizer)
    assert settings.learning_rate == pytest.approx(rate)
    assert make_settings(preset, optimizer=optimizer, learning_rate=0.5).learning_rate == 0.5


def test_settings_are_frozen_and_can_be_replaced():
    settings = Settings(preset="gatys", steps=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.steps = 4
    changed = dataclasses.replace(settings, style_weight=2)
    assert (changed.steps, changed.style_weight, changed.preset) == (3, 2.0, "gatys")
    with pytest.raises(ValueError, match="style_weight"):
        dataclasses.replace(settings, style_weight=-2)


def test_settings_can_be_pickled():
    """Workers in other processes get theirs so."""
    settings = Settings(preset="d2l", init=np.eye(4))
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize("preset", PRESETS)
def test_half_strength_is_the_presets_own_weight(preset):
    assert strength_to_weight(50, preset) == PRESETS[preset].settings["style_weight"]


@pytest.mark.parametrize("preset", PRESETS)
@given(percent=st.floats(0, 95))
@budget(max_examples=20)
def test_equal_steps_of_strength_are_equal_factors_of_the_loss(preset, percent):
    """Of the loss, not of the weight: `tutorial-2017` squares its weight."""
    power = 2 if PRESETS[preset].method.squared_weights else 1
    low, high = strength_to_weight(percent, preset), strength_to_weight(percent + 5, preset)
    whole = strength_to_weight(100) / strength_to_weight(0)
    assert (high / low) ** power == pytest.approx(whole ** (5 / 100))
    Settings(preset=preset, style_weight=low)


@pytest.mark.parametrize("percent", [-1, 100.5, math.nan, "50", None])
def test_a_strength_out_of_range_is_refused(percent):
    with pytest.raises(ValueError, match=r"style_strength=.*a number from 0 to 100"):
        strength_to_weight(percent)


def test_the_strength_of_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="preset='gatis'"):
        strength_to_weight(50, "gatis")
