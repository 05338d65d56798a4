import dataclasses

import numpy as np
import pytest

from napari_neural_style import Settings
from napari_neural_style.transfer.live import LIVE, changed, check_live

MASK = np.eye(4, dtype=int)
OTHER = {
    "content_weight": 3,
    "style_weight": 3,
    "tv_weight": 3,
    "style_weights": (1, 2),
    "learning_rate": 3,
    "keep_best": True,
    "color": "match",
    "mask": MASK * 2,
    "style_masks": (MASK, MASK),
    "feather": 9,
}


def test_every_live_setting_is_tested():
    assert OTHER.keys() == LIVE


@pytest.mark.parametrize("name", OTHER)
def test_a_change_is_noticed(name):
    settings = Settings(mask=MASK, style_masks=MASK)
    other = dataclasses.replace(settings, **{name: OTHER[name]})
    assert changed(settings, other) == changed(other, settings) == {name}
    assert changed(other, dataclasses.replace(other)) == set()


def test_no_mask_is_another_than_one():
    assert changed(Settings(), Settings(mask=MASK)) == {"mask"}
    assert changed(Settings(mask=MASK), Settings(mask=MASK, style_masks=MASK)) == {"style_masks"}


def test_what_cannot_change_is_named_with_what_can():
    check_live({"style_weight": 3}.items())
    with pytest.raises(ValueError, match=r"size=3 cannot change while a run goes on; .*feather"):
        check_live({"style_weight": 3, "size": 3}.items())
