import builtins
import sys

import pytest

from napari_neural_style.plugin.machine import Machine, load_engine
from napari_neural_style.transfer import devices
from napari_neural_style.transfer.engine import StyleTransfer

from .conftest import TIMEOUT

ENGINE = "napari_neural_style.transfer.engine"


@pytest.fixture
def broken_torch(monkeypatch):
    """Let the import of the engine fail as Windows does when Qt's libraries came first."""
    original = builtins.__import__

    def fail(name, *args, **kwargs):
        if name == "transfer.engine":
            raise OSError("[WinError 1114] A dynamic link library initialization routine failed")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)


def test_the_engine_is_loaded():
    assert load_engine() is StyleTransfer


def test_a_missing_torch_is_told_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, ENGINE, None)
    with pytest.raises(OSError, match=r"PyTorch could not be loaded: .*pytorch\.org"):
        load_engine()


@pytest.mark.usefixtures("broken_torch")
def test_on_windows_torch_must_come_before_qt():
    with pytest.raises(OSError, match=r"1114.*Start napari so that torch is loaded first"):
        load_engine()


def test_devices_and_advice_are_found(qtbot, monkeypatch):
    monkeypatch.setattr(devices, "advice", lambda: "Buy a graphics card.")
    machine = Machine()
    with qtbot.waitSignal(machine.found, timeout=TIMEOUT) as signal:
        machine.look()
    found, advice = signal.args
    assert [device.name for device in found] == [d.name for d in devices.available_devices()]
    assert advice == "Buy a graphics card."


def test_without_torch_it_fails_with_a_sentence(qtbot, monkeypatch):
    monkeypatch.setitem(sys.modules, ENGINE, None)
    machine = Machine()
    with qtbot.waitSignal(machine.failed, timeout=TIMEOUT) as signal:
        machine.look()
    assert "PyTorch could not be loaded" in signal.args[0]
