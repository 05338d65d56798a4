import base64
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from napari_neural_style import PRESETS, Settings, StyleTransfer, __version__
from napari_neural_style.images import write_image
from napari_neural_style.recipe import Recipe, beyond_preset, read_recipe, write_recipe

LABELS = np.arange(48, dtype=np.int32).reshape(6, 8) % 3
GUIDED = Settings(preset="fast", mask=LABELS, style_masks=(LABELS, LABELS[::2]), steps=7)
PLAIN = Settings(
    *("tutorial", "original"), style_layers={"r11": 0.1, "r21": 3.0}, scales=(64, 128), seed=5
)


def data(settings=PLAIN, **more):
    return {"settings": settings.to_dict(), **more}


def packed(content, dtype="|u1", shape=(2, 2)):
    text = base64.b64encode(zlib.compress(content)).decode()
    return {"dtype": dtype, "shape": list(shape), "base64": text}


@pytest.mark.parametrize("settings", [PLAIN, GUIDED, *(Settings(name) for name in PRESETS)])
def test_written_recipes_are_read(tmp_path, settings):
    path = tmp_path / "a.json"
    write_recipe(path, data(settings, content="cells", style="paint"))
    recipe = read_recipe(path)
    assert recipe.settings == settings
    assert recipe.content == "cells"
    assert recipe.styles == ("paint",)


def test_what_a_run_tells_is_a_recipe(tmp_path):
    picture = np.random.default_rng(0).random((32, 32, 3))
    transfer = StyleTransfer(picture, picture[::-1], preset="fast", steps=2, device="cpu", seed=3)
    transfer.run()
    write_recipe(tmp_path / "a.json", transfer.provenance())
    recipe = read_recipe(tmp_path / "a.json")
    assert recipe.settings == transfer.settings
    assert recipe.versions["napari-neural-style"] == __version__
    assert "not data" in recipe.note
    assert (recipe.content, recipe.styles, recipe.axes) == ("", (), "")
    assert not recipe.changed


def test_settings_alone_are_a_recipe(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"preset": "fast", "steps": 9}')
    assert read_recipe(path) == Recipe(Settings(preset="fast", steps=9))


def test_a_recipe_in_a_picture(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, np.zeros((4, 4, 3)), metadata=data(GUIDED, styles=["a.png", "b.png"]))
    assert read_recipe(path).settings == GUIDED
    assert read_recipe(path).styles == ("a.png", "b.png")


def test_a_recipe_of_a_stack():
    recipe = Recipe.from_dict(
        data(axes="TYX", plane_masks=True, styles=["0" * 64], version="0.0.9", shape=[3, 8, 8])
    )
    assert recipe.axes == "TYX"
    assert recipe.own_masks
    assert recipe.styles == ()
    assert recipe.versions == {"napari-neural-style": "0.0.9"}


def test_a_layer_has_names_and_the_engine_digests():
    recipe = Recipe.from_dict(data(styles=["0123456789abcdef" * 2], content="cells", style="waves"))
    assert (recipe.content, recipe.styles) == ("cells", ("waves",))


def test_of_a_run_that_was_steered():
    assert not Recipe.from_dict(data(changes=[])).changed
    assert Recipe.from_dict(data(changes=[{"step": 3, "settings": {"tv_weight": 1.0}}])).changed


def test_the_file_is_for_people_too(tmp_path):
    path = tmp_path / "a.json"
    write_recipe(path, {"settings": {"steps": 3}, "seed": 0, "content": "Gewölbe", "note": "n"})
    text = path.read_text("utf-8")
    assert text.splitlines()[1:3] == ['  "note": "n",', '  "content": "Gewölbe",']
    assert text.endswith("}\n")


def test_names_that_are_no_unicode(tmp_path):
    path = tmp_path / "a.json"
    write_recipe(path, data(content="a\udcff.png"))
    assert json.loads(path.read_text("utf-8"))["content"] == "a\udcff.png"
    assert read_recipe(path).content == "a .png"


def test_writing_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_recipe(path, data())
    before = path.read_bytes()
    for bad in (object(), float("nan")):
        with pytest.raises(ValueError, match="no plain data"):
            write_recipe(path, data(losses=bad))
    with pytest.raises(OSError, match=r"Cannot write .*no such file or folder"):
        write_recipe(tmp_path / "no" / "a.json", data())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "holds no settings"),
        ("fast", "holds no settings"),
        (None, "holds no settings"),
        ({"settings": 3}, "holds no settings"),
        ({"sharpness": 3}, "no setting 'sharpness'"),
        ({"settings": {"masc": packed(b"1234")}}, "no setting 'masc'"),
        ({"settings": {"masc": "no\n" * 9999}}, "no setting 'masc'"),
        ({"settings": {"steps": -1}}, "steps=-1"),
        ({"settings": {"steps": float("inf")}}, "steps=inf"),
        ({"settings": {"size": 10**9}}, "size=1000000000"),
        ({"settings": {"preset": ["fast"]}}, "preset=.'fast'"),
        ({"settings": {"preset": "finest"}}, "preset='finest'"),
        ({"settings": {"device": "/dev/sda"}}, "device='/dev/sda'"),
        ({"settings": {"init": "/etc/passwd"}}, "init='/etc/passwd'"),
        ({"settings": {"mask": "/etc/passwd"}}, "mask='/etc/passwd'"),
        ({"settings": {"mask": packed(b"1234", "O")}}, "dtype 'O'"),
        ({"settings": {"mask": packed(b"1234", "V4")}}, "dtype 'V4'"),
        ({"settings": {"mask": packed(b"1234", 7)}}, "dtype 7"),
        ({"settings": {"mask": packed(b"1234", shape=(-2, -2))}}, "shape .-2, -2"),
        ({"settings": {"mask": packed(b"1234", shape=(2.0, 2))}}, "shape .2.0, 2"),
        ({"settings": {"mask": packed(b"1234", shape=(1, 1, 2, 2))}}, "three dimensions"),
        ({"settings": {"mask": packed(b"12345")}}, "mask is a damaged array"),
        ({"settings": {"mask": packed(b"123")}}, "mask is a damaged array"),
        ({"settings": {"mask": packed(b"1234") | {"base64": "x"}}}, "mask is a damaged array"),
        ({"settings": {"mask": packed(b"1234") | {"base64": None}}}, "mask is a damaged array"),
        ({"settings": {"mask": packed(b"1234") | {"base64": "AAAA"}}}, "mask is a damaged array"),
        ({"settings": {"mask": packed(b"1234", "|i1", (4,))}}, "must be .height, width"),
    ],
)
def test_bad_recipes_are_told_in_one_sentence(content, words):
    with pytest.raises(ValueError, match=words) as caught:
        Recipe.from_dict(content)
    assert str(caught.value).startswith("Cannot use the recipe: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"steps": 0}')
    with pytest.raises(ValueError, match=r"Cannot use the recipe .*a\.json: steps=0"):
        read_recipe(path)


def test_of_a_newer_version_that_is_said():
    with pytest.raises(ValueError, match=rf"version 9\.1 wrote it, this is {__version__}.*'glow'"):
        Recipe.from_dict({"settings": {"glow": 1}, "versions": {"napari-neural-style": "9.1"}})


def test_values_nested_without_end(tmp_path):
    (tmp_path / "a.json").write_text('{"scales": ' + "[" * 700 + "]" * 700 + "}")
    with pytest.raises(ValueError, match=r"a\.json: its values are nested without end"):
        read_recipe(tmp_path / "a.json")


def test_a_recipe_does_not_choose_the_files_that_are_read(tmp_path):
    theirs = data(Settings(weights="/home/you/secret.pth"))
    with pytest.raises(ValueError, match=r"weights file '/home/you/secret\.pth'.*--weights"):
        Recipe.from_dict(theirs)
    assert Recipe.from_dict(theirs, "my.pth").settings.weights == "my.pth"
    named = data(Settings(weights="torchvision"))
    assert Recipe.from_dict(named, "my.pth").settings.weights == "torchvision"
    write_recipe(tmp_path / "a.json", theirs)
    assert read_recipe(tmp_path / "a.json", "original").settings == Settings()


def test_names_are_of_one_line_and_not_long():
    recipe = Recipe.from_dict(
        data(content="a\nb\u202e" + "c" * 500, style=["x"], note=5, axes="../..", versions=[1])
    )
    assert recipe.content.startswith("a b c")
    assert len(recipe.content) == 200
    assert (recipe.styles, recipe.note, recipe.axes, recipe.versions) == ((), "", "", {})


@pytest.mark.parametrize("settings", [PLAIN, GUIDED, *(Settings(name) for name in PRESETS)])
def test_what_is_beyond_the_preset_is_all_that_is_needed(settings):
    beyond = beyond_preset(settings)
    assert Settings(**{"preset": settings.preset, **beyond}) == settings


def test_what_is_beyond_the_preset():
    assert beyond_preset(Settings("gatys")) == {}
    assert beyond_preset(replace(PLAIN, device="cpu")).keys() == {
        *("style_layers", "scales", "seed", "device"),
    }
    assert beyond_preset(Settings(init=LABELS / 2.0)).keys() == {"init"}
    assert beyond_preset(GUIDED).keys() == {"mask", "style_masks", "steps"}
