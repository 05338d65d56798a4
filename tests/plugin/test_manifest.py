import subprocess
import sys
from pathlib import Path

import pytest
from napari._app_model.constants import MenuId
from npe2 import PluginManager, PluginManifest
from npe2.manifest.contributions import MenuCommand

import napari_neural_style
from napari_neural_style.settings import PRESETS

FILE = Path(napari_neural_style.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(FILE)


def test_is_valid_with_all_that_it_names_importable():
    run = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "--imports", str(FILE)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_is_what_napari_finds(manifest):
    manager = PluginManager()
    manager.discover()
    assert manager.get_manifest("napari-neural-style") == manifest


def test_menus_exist_in_napari_or_here(manifest):
    # A plugin's item in any other menu is dropped without a word.
    menus = {menu.value for menu in MenuId.contributables()}
    own = {submenu.id for submenu in manifest.contributions.submenus}
    (item,) = manifest.contributions.menus["napari/layers/filter"]
    assert {item.submenu} == own
    assert set(manifest.contributions.menus) <= menus | own


def test_commands_have_the_names_of_the_distribution(manifest):
    commands = {command.id for command in manifest.contributions.commands}
    assert all(command.startswith("napari-neural-style.") for command in commands)
    used = {widget.command for widget in manifest.contributions.widgets}
    used |= {sample.command for sample in manifest.contributions.sample_data}
    used |= {writer.command for writer in manifest.contributions.writers}
    menus = manifest.contributions.menus.values()
    used |= {item.command for menu in menus for item in menu if isinstance(item, MenuCommand)}
    assert used == commands


def test_preferences_offer_the_presets_there_are(manifest):
    properties = manifest.contributions.configurations["style_transfer"].properties
    assert properties["preset"].enum == list(PRESETS)


def test_the_widget_needs_no_torch_to_open():
    code = (
        "import sys; from napari_neural_style.plugin import commands, demo, download, widget;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
