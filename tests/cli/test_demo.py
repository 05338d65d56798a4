import sys

import pytest

from napari_neural_style.cli import BAD_INPUT, main


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_demo_without_a_display_is_refused_in_one_line(monkeypatch, capfd):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(variable, raising=False)
    assert main(["demo"]) == BAD_INPUT
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "display" in error


def test_demo_on_a_platform_without_opengl_is_refused_in_one_line(monkeypatch, capfd):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert main(["demo"]) == BAD_INPUT
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "QT_QPA_PLATFORM=offscreen" in error
