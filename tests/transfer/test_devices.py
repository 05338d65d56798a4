import os
import stat

import psutil
import pytest
import torch

from napari_neural_style.transfer import devices
from napari_neural_style.transfer.precision import fastest_on_cpu

CPU = torch.device("cpu")


def test_the_cpu_is_always_there_and_last():
    found = devices.available_devices()
    assert found[-1].name == "cpu"
    assert "core" in found[-1].label
    assert devices.choose_device("cpu") == CPU
    assert str(devices.choose_device("auto")) == found[0].name


@pytest.mark.parametrize("name", ["cuda:99", "cuda:00"])
def test_a_device_that_is_not_there_names_those_that_are(name):
    with pytest.raises(ValueError, match=f"device='{name}' is not there.*offers.*cpu"):
        devices.choose_device(name)


@pytest.fixture
def nvidia_driver(tmp_path, monkeypatch):
    """A machine with NVIDIA's tool on the path."""
    tool = tmp_path / ("nvidia-smi.exe" if os.name == "nt" else "nvidia-smi")
    tool.touch()
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use the card")
@pytest.mark.parametrize(
    ("cuda", "words"), [(None, "built for the CPU only.*pytorch.org"), ("13.0", "update.*driver")]
)
def test_a_card_that_torch_cannot_use_comes_with_advice(nvidia_driver, monkeypatch, cuda, words):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(ValueError, match=words):
        devices.choose_device("cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use the card")
def test_without_a_card_there_is_no_advice(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.advice() is None


@pytest.mark.parametrize("name", devices.PRECISIONS)
def test_a_precision_that_is_named_is_taken(name):
    assert str(devices.choose_precision(name, CPU)) == f"torch.{name}"


def test_apple_gpus_have_no_float64():
    with pytest.raises(ValueError, match=r"precision='float64'.*device='cpu'"):
        devices.choose_precision("float64", torch.device("mps"))


def test_auto_precision_of_the_cpu_is_the_fastest_one():
    assert devices.choose_precision("auto", CPU) == fastest_on_cpu()


def test_free_memory_is_that_of_the_machine():
    assert 0 < devices.free_memory(CPU) <= psutil.virtual_memory().total
