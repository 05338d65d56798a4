"""Recipes and presets of one's own in the widget, in a real viewer."""

import json

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QApplication, QInputDialog, QMessageBox

from napari_neural_style.images import METADATA_KEY
from napari_neural_style.plugin.preferences import remembered
from napari_neural_style.plugin.result import EXACT_KEY
from napari_neural_style.recipe import read_recipe
from napari_neural_style.settings import PRESETS

from .conftest import errors, picture


@pytest.fixture
def menu(open_widget):
    viewer, widget = open_widget()
    return viewer, widget, widget._menu


def test_settings_are_copied_from_a_result(menu, finish):
    viewer, widget, menu = menu
    wanted = {
        **{"style_strength": 73, "texture": 20, "content_weight": 2.5, "tv_weight": 0.5},
        **{"color": "luminance", "size": 48, "steps": 5},
    }
    for name, value in wanted.items():
        widget[name].value = value
    before = widget._request.settings()
    widget.run.native.click()
    finish(widget)
    widget.preset.value = "gatys"
    for name in ("size", "steps", "style_strength"):
        widget[name].value = 64
    menu.copy_from_result()
    assert {name: widget[name].value for name in wanted} == wanted
    assert widget.preset.value == "fast"
    after = widget._request.settings()
    assert after == before
    assert "Settings of “content in the style of style”" in widget._form.description.text()
    assert viewer.layers[-1].metadata[METADATA_KEY]["settings"]["tv_weight"] == 0.5


@pytest.mark.parametrize(("painted", "chosen"), [("intensity", "rgb"), ("rgb", "intensity")])
def test_the_output_is_that_of_the_result_again(menu, finish, painted, chosen):
    _, widget, menu = menu
    widget.output.value = painted
    widget.run.native.click()
    finish(widget)
    widget.output.value = chosen
    menu.copy_from_result()
    assert widget.output.value == painted


def test_a_recipe_that_does_not_tell_its_output_leaves_it(menu, tmp_path):
    _, widget, menu = menu
    widget.output.value = "intensity"
    menu.save(tmp_path / "mine.json")
    menu.load(tmp_path / "mine.json")
    assert widget.output.value == "intensity"


def test_a_recipe_is_saved_and_loaded(menu, tmp_path):
    _, widget, menu = menu
    widget.style_strength.value = 61
    widget._form.equalizer._sliders["relu2_1"].setValue(90)
    before = widget._request.settings()
    menu.save(tmp_path / "mine")
    assert widget._form.status.text() == "The recipe is in mine.json."
    assert read_recipe(tmp_path / "mine.json").settings == before
    widget.preset.value = "default"
    menu.load(tmp_path / "mine.json")
    assert widget._request.settings() == before
    assert widget.style_strength.value == 61


def test_settings_without_a_control_are_kept(menu, tmp_path):
    _, widget, menu = menu
    settings = {"preset": "fast", "pooling": "avg", "optimizer": "adam", "learning_rate": 0.02}
    (tmp_path / "a.json").write_text(json.dumps(settings))
    menu.load(tmp_path / "a.json")
    now = widget._request.settings()
    assert (now.pooling, now.optimizer, now.learning_rate) == ("avg", "adam", 0.02)


def test_values_beyond_a_control_are_shown_as_near_as_it_can(menu, tmp_path):
    _, widget, menu = menu
    (tmp_path / "a.json").write_text(json.dumps({"size": 60_000, "steps": 10**6}))
    menu.load(tmp_path / "a.json")
    assert (widget.size.value, widget.steps.value) == (60_000, 100_000)


def test_a_bad_recipe_is_a_sentence(menu, tmp_path, qtbot):
    _, widget, menu = menu
    (tmp_path / "a.json").write_text('{"size": -3}')
    widget._status.attempt(lambda: menu.load(tmp_path / "a.json"))
    assert "size=-3" in widget._form.status.text()
    assert len(errors()) == 1


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_a_preset_of_ones_own_is_replaced_only_if_that_is_wanted(menu, monkeypatch, answer):
    _, widget, menu = menu
    asked = []

    def ask(_parent, _title, question):
        asked.append(question)
        return getattr(QMessageBox.StandardButton, answer)

    monkeypatch.setattr(QInputDialog, "getText", lambda *_: (" mine ", True))
    monkeypatch.setattr(QMessageBox, "question", ask)
    menu._ask_for_name()
    assert not asked
    widget.steps.value = 7
    menu._ask_for_name()
    assert asked == ["There is a preset “mine” of your own. Replace it?"]
    kept = widget._settings.own_presets.get("mine").get("steps")
    assert (kept == 7) == (answer == "Yes")


@pytest.mark.parametrize("stored", ["{", '{"mine": 3}'])
def test_damaged_presets_of_ones_own_are_told_of(open_widget, stored):
    remembered().presets = stored
    _, widget = open_widget()
    assert "your own presets" in widget._form.status.text().casefold()
    assert len(errors()) == 1


def test_what_went_wrong_stands_until_it_was_read_and_something_else_is_done(menu, tmp_path):
    _, widget, menu = menu
    (tmp_path / "a.json").write_text('{"a": 1}')
    widget._status.attempt(lambda: menu.load(tmp_path / "a.json"))
    widget.steps.value = 9
    assert widget._status.warns
    widget._status._read_until = 0  # as some seconds later
    widget.steps.value = 8
    assert "Press Run" in widget._form.status.text()


def test_presets_of_ones_own(menu, open_widget, make_napari_viewer_proxy):
    def open_session():
        viewer = make_napari_viewer_proxy()
        return viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")

    _, widget, menu = menu
    widget.style_strength.value = 12
    widget.tv_weight.value = 1.5
    before = widget._request.settings()
    menu.keep("my cells")
    assert widget.preset.value == "my cells"
    assert list(widget.preset.choices) == [*PRESETS, "my cells"]

    _, another = open_widget()
    another.preset.value = "my cells"
    assert another.style_strength.value == 12
    assert another._request.settings() == before
    # The next session begins as this one ended.
    another.tv_weight.value = 0
    another.style_strength.value = 30
    _, third = open_session()
    assert (third.preset.value, third.style_strength.value, third.tv_weight.value) == (
        *("my cells", 30),
        1.5,
    )

    another._menu.remove("my cells")
    assert list(another.preset.choices) == list(PRESETS)
    assert another.preset.value == "fast"


def test_regions_are_asked_for(menu, tmp_path, monkeypatch, finish):
    viewer, widget, menu = menu
    image, regions = picture(32, 40, 3), np.tri(32, 40, dtype=np.uint8)
    colored = viewer.add_image(image, name="colored", rgb=True)
    mask = viewer.add_labels(regions, name="regions")
    widget.content.value, widget.mask.value, widget.feather.value = colored, mask, 2
    menu.save(tmp_path / "mine")
    assert "not the regions" in widget._form.status.text()
    assert widget._form.status.text().endswith("those with --mask.")
    assert read_recipe(tmp_path / "mine.json").settings.feather == 2
    menu.copy_as_python()
    widget.run.native.click()
    finish(widget)
    # Followed to the letter.
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("mask.tif", regions)
    imageio.imwrite("content.png", image)
    imageio.imwrite("style.png", viewer.layers["style"].data)
    names = {}
    exec(QApplication.clipboard().text(), names)
    exact = viewer.layers[-1].metadata[EXACT_KEY]
    np.testing.assert_array_equal(names["painted"], exact)
    widget.style_mask.value = mask
    menu.save(tmp_path / "mine")
    assert widget._form.status.text().endswith("those with --mask and --style-mask.")


def test_the_script_is_on_the_clipboard(menu):
    _, widget, menu = menu
    widget.size.value = 77
    menu.copy_as_python()
    script = QApplication.clipboard().text()
    compile(script, "script", "exec")
    assert "size=77" in script


def test_the_menu_offers_what_can_be_done(menu, finish):
    _, widget, menu = menu
    menu.aboutToShow.emit()
    assert not menu._copy.isEnabled()
    assert all(action.toolTip() for action in menu.actions() if not action.isSeparator())
    widget.steps.value = 2
    widget.run.native.click()
    finish(widget)
    menu.aboutToShow.emit()
    assert menu._copy.isEnabled()


def test_a_preset_of_ones_own_brings_all_its_settings(menu, tmp_path):
    _, widget, menu = menu
    own = {"preset": "fast", "pooling": "avg", "seed": 7, "init": "noise"}
    (tmp_path / "a.json").write_text(json.dumps(own))
    menu.load(tmp_path / "a.json")
    menu.keep("mine")
    widget.preset.value = "gatys"
    widget.preset.value = "mine"
    now = widget._request.settings()
    assert (now.preset, now.pooling, now.seed, now.init) == ("fast", "avg", 7, "noise")
    assert widget.preset.value == "mine"
    assert widget._form.description.text() == "A preset of your own."


def test_no_other_settings_are_taken_while_a_run_goes_on(menu, start):
    viewer, widget, menu = menu
    start(viewer, widget)
    before = widget._request.settings()
    widget._status.attempt(menu.copy_from_result)
    assert "stop it before" in widget._form.status.text()
    assert widget._request.settings() == before


def test_a_saved_result_is_opened_and_gone_on_with(menu, finish, tmp_path):
    viewer, widget, menu = menu
    widget.run.native.click()
    finish(widget)
    result = viewer.layers[-1]
    result.save(str(tmp_path / "painted.16bit.tif"))
    viewer.layers.remove(result)
    widget._status.attempt(lambda: widget._open_result(str(tmp_path / "painted.16bit.tif")))
    assert errors() == []
    assert "Continue" in widget._form.status.text()
    assert widget.go_on.enabled
    widget.go_on.native.click()
    finish(widget)
    assert errors() == []
    assert len(viewer.layers) == 3
