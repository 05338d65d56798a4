import dataclasses
import json

import numpy as np
import pytest
import torch

from napari_neural_style import Settings
from napari_neural_style.transfer.inputs import IMAGES, Inputs, content_tensor, style_tensors
from napari_neural_style.transfer.live import LIVE, changed, described, other_layers, prepare

MASK = np.eye(32, dtype=int)
CONTENT = np.random.default_rng(0).random((32, 32, 3))
OTHER = {
    "content_weight": 3,
    "style_weight": 3,
    "tv_weight": 3,
    "style_weights": (1, 2),
    "content_layers": "relu1_1",
    "style_layers": {"relu1_1": 0.3},
    "style_scale": 2,
    "learning_rate": 3,
    "keep_best": True,
    "color": "match",
    "mask": MASK * 2,
    "style_masks": (MASK, MASK),
    "feather": 9,
    "size": 100,
    "scales": (20, 30),
    "steps": 7,
    "content": CONTENT[::-1],
    "style": [CONTENT[::-1]],
}


def inputs(content=CONTENT, style=CONTENT, **settings):
    images = content_tensor(content, torch.float32), style_tensors(style, torch.float32)
    return Inputs(Settings(**settings), *images)


def test_everything_that_may_change_is_tested():
    # A picture is nothing that a run is made of.
    assert OTHER.keys() == LIVE - {"picture"}


@pytest.mark.parametrize("name", OTHER)
def test_a_change_is_noticed(name):
    before = inputs(mask=MASK, style_masks=MASK)
    if name in IMAGES:
        after = inputs(mask=MASK, style_masks=MASK, **{name: OTHER[name]})
    else:
        settings = dataclasses.replace(before.settings, **{name: OTHER[name]})
        after = dataclasses.replace(before, settings=settings)
    assert changed(before, after) == changed(after, before) == {name}
    assert changed(after, dataclasses.replace(after)) == set()
    told = described(after, {name}, 3)
    assert told["step"] == 3
    assert json.loads(json.dumps(told)) == told
    assert told != described(before, {name}, 3)


def test_no_mask_is_another_than_one():
    plain, masked = inputs(), inputs(mask=MASK)
    assert changed(plain, masked) == {"mask"}
    assert described(plain, {"mask"}, 1) == {"step": 1, "mask": None}
    assert changed(masked, inputs(mask=MASK, style_masks=MASK)) == {"style_masks"}


def test_images_of_the_same_pixels_are_the_same():
    assert changed(inputs(), inputs(CONTENT.copy(), [CONTENT.copy()])) == set()
    assert changed(inputs(), inputs(style=[CONTENT, CONTENT])) == {"style"}


def test_the_same_layers_may_have_other_names_and_weights():
    before = Settings(style_layers=("relu1_1", "relu4_2"))
    assert not other_layers(before, Settings(style_layers={"r42": 3, "1": 0}))
    assert other_layers(before, Settings(style_layers=("relu1_1", "relu4_1")))
    assert other_layers(before, dataclasses.replace(before, content_layers="relu1_1"))


def test_what_cannot_change_is_named_with_what_can():
    assert prepare({"style_weight": 3}, torch.float32) == {"style_weight": 3}
    with pytest.raises(ValueError, match=r"seed=3 cannot change while a run goes on; .*feather"):
        prepare({"style_weight": 3, "seed": 3}, torch.float32)
    with pytest.raises(ValueError, match="style 2 is constant"):
        prepare({"style": [CONTENT, CONTENT * 0]}, torch.float32)


def test_images_are_taken_as_they_are_now():
    content = CONTENT.copy()
    taken = prepare({"content": content}, torch.float64)["content"]
    content[:] = 0
    np.testing.assert_array_equal(taken[0].permute(1, 2, 0).numpy(), CONTENT)
