import json
from types import SimpleNamespace

import numpy as np
import pytest

from napari_neural_style import PRESETS, Settings
from napari_neural_style.plugin.own_presets import OwnPresets
from napari_neural_style.plugin.preferences import remembered

MINE = Settings("fast", size=300, style_layers={"r11": 1.0, "r21": 2.0}, seed=5)


@pytest.fixture
def store():
    return SimpleNamespace(presets="{}")


def test_they_are_kept(store):
    own = OwnPresets(store)
    assert own.names() == []
    own.save("Über 2.0 (soft)", Settings())
    own.save("atlas", MINE)
    again = OwnPresets(SimpleNamespace(presets=store.presets))
    assert again.names() == ["atlas", "Über 2.0 (soft)"]
    assert Settings.from_dict(again.get("atlas")) == MINE
    assert again.note == ""
    again.save("atlas", Settings(steps=3))
    assert Settings.from_dict(again.get("atlas")) == Settings(steps=3)
    again.remove("atlas")
    again.remove("atlas")
    assert again.names() == ["Über 2.0 (soft)"]


def test_napari_keeps_them(make_napari_viewer_proxy):
    make_napari_viewer_proxy()
    OwnPresets(remembered()).save("atlas", MINE)
    assert Settings.from_dict(OwnPresets(remembered()).get("atlas")) == MINE


def test_they_are_for_any_image(store):
    labels = np.ones((500, 500), np.uint8)
    OwnPresets(store).save("a", Settings(mask=labels, style_masks=(labels,), init=labels / 2.0))
    assert Settings.from_dict(OwnPresets(store).get("a")) == Settings()
    assert len(store.presets) < 2000


@pytest.mark.parametrize(
    "name", ["", " ", " a", "a ", "a\nb", "<b>", "a" * 41, "a&b", "{}", "\u202e"]
)
def test_names_that_cannot_be_used(store, name):
    with pytest.raises(ValueError, match="cannot be called") as caught:
        OwnPresets(store).save(name, MINE)
    assert len(str(caught.value)) < 200
    assert store.presets == "{}"


@pytest.mark.parametrize("name", [*PRESETS, "Default", "GATYS"])
def test_names_of_presets_are_taken(store, name):
    with pytest.raises(ValueError, match="is a preset already"):
        OwnPresets(store).save(name, MINE)


def test_there_are_not_too_many(store):
    own = OwnPresets(store)
    store.presets = json.dumps({f"a{number}": {} for number in range(100)})
    with pytest.raises(ValueError, match="100 presets"):
        own.save("one more", MINE)
    own.save("a7", MINE)
    assert Settings.from_dict(own.get("a7")) == MINE


@pytest.mark.parametrize("text", ["", None])
def test_nothing_was_stored_yet(text):
    own = OwnPresets(SimpleNamespace(presets=text))
    assert (own.names(), own.note) == ([], "")


@pytest.mark.parametrize("text", ["{", "[]", "3", '"a"', "[" * 9999, 7])
def test_what_is_stored_is_damaged(text):
    own = OwnPresets(SimpleNamespace(presets=text))
    assert own.names() == []
    assert own.note.startswith("Your own presets cannot be read (")
    with pytest.raises(ValueError, match="no preset “a”"):
        own.get("a")
    own.remove("a")
    own.save("a", MINE)
    assert (own.names(), own.note) == (["a"], "")


def test_one_is_damaged(store):
    store.presets = json.dumps({"good": {"steps": 3}, "bad": {"steps": -1}, "worse": 3})
    own = OwnPresets(store)
    assert own.names() == ["bad", "good"]
    assert own.note == "Not readable among your own presets: “worse”."
    with pytest.raises(ValueError, match="Cannot use your preset “bad”: steps=-1"):
        own.get("bad")
    assert own.get("good") == {"steps": 3}


def test_weights_of_a_file_are_the_users_own(store):
    own = OwnPresets(store)
    own.save("a", Settings(weights="/home/me/vgg.pth"))
    assert Settings.from_dict(own.get("a")).weights == "/home/me/vgg.pth"
