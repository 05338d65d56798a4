import os

import napari.settings
import pytest
from napari._qt.dialogs.preferences_dialog import PreferencesDialog
from npe2 import PluginManifest
from qtpy.QtWidgets import QLabel

from napari_neural_style.plugin.preferences import remembered
from napari_neural_style.transfer.weight_files import FOLDER_VARIABLE, weights_folder

from .conftest import TIMEOUT

PROPERTIES = (
    PluginManifest.from_distribution("napari-neural-style")
    .contributions.configurations["style_transfer"]
    .properties
)
OTHERS = {
    "preset": "gatys",
    "style_strength": 73,
    "size": 1024,
    "steps": 40,
    "device": "cuda:1",
    "preview_interval": 1.5,
    "memory_limit": 3.5,
    "history_memory": 64,
    "weights_folder": "/somewhere/else",
    "own_preset": "mine",
    "presets": '{"mine": {"preset": "fast"}}',
}
"""A value other than the default for each."""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, "")


@pytest.mark.parametrize("name", OTHERS)
def test_each_is_kept_between_sessions(name):
    assert getattr(remembered(), name) == PROPERTIES[name].default
    setattr(remembered(), name, OTHERS[name])
    napari.settings._clear_plugin_settings_cache()  # as in the next session
    assert getattr(remembered(), name) == OTHERS[name]


def test_all_are_tested():
    assert set(OTHERS) == set(PROPERTIES)


def test_numbers_have_bounds_and_all_have_a_description():
    for name, schema in PROPERTIES.items():
        assert schema.title, name
        assert schema.description.endswith("."), name
        if schema.type in ("integer", "number"):
            assert schema.minimum <= schema.default <= schema.maximum, name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("preset", "nonsense"),
        ("preview_interval", 0.01),
        ("memory_limit", -1.0),
        ("history_memory", 0),
        ("style_strength", 101),
    ],
)
def test_what_is_out_of_bounds_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        setattr(remembered(), name, value)


def test_the_dialog_shows_them_all_and_changes_them(make_napari_viewer, qtbot):
    settings = remembered()
    dialog = PreferencesDialog(make_napari_viewer().window._qt_window)
    qtbot.addWidget(dialog)
    titles = [dialog._list.item(row).text() for row in range(dialog._list.count())]
    page = dialog._stack.widget(titles.index("Neural Style"))
    shown = {label.text() for label in page.findChildren(QLabel)}
    assert {schema.title for schema in PROPERTIES.values()} <= shown
    controls = {
        child._name: child
        for child in page.findChildren(object)
        if getattr(child, "_name", None) in PROPERTIES
    }
    for name, schema in PROPERTIES.items():
        assert controls[name].toolTip() == schema.description
        controls[name].state = OTHERS[name]
        assert getattr(settings, name) == OTHERS[name]
    dialog.reject()
    assert {name: getattr(settings, name) for name in PROPERTIES} == {
        name: schema.default for name, schema in PROPERTIES.items()
    }


def test_weights_live_where_the_settings_say(tmp_path):
    usual = weights_folder()
    settings = remembered()
    assert weights_folder() == usual
    settings.weights_folder = str(tmp_path)
    assert weights_folder() == tmp_path
    os.environ[FOLDER_VARIABLE] = ""
    napari.settings._clear_plugin_settings_cache()
    remembered()  # in the next session
    assert weights_folder() == tmp_path
    remembered().weights_folder = ""
    assert weights_folder() == usual


def test_a_device_that_is_not_there_is_told_of(make_napari_viewer_proxy, qtbot):
    remembered().device = "cuda:77"
    window = make_napari_viewer_proxy().window
    _, widget = window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")
    told = widget._form.status.text
    qtbot.waitUntil(lambda: "There is no device “cuda:77” here" in told(), timeout=TIMEOUT)
    assert widget.device.value == "auto"
