"""The choice of weights in the widget; a local server stands for torchvision's."""

import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_neural_style.plugin.fields import WEIGHTS_FILE
from napari_neural_style.transfer.weight_files import is_installed, original_file

from .conftest import TIMEOUT, errors

Yes, No = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No


@pytest.fixture
def answer(monkeypatch):
    """Answer the question whether to download."""
    asked = []

    def answer(button):
        monkeypatch.setattr(
            QMessageBox, "question", lambda *args: (asked.append(args[-1]), button)[1]
        )
        return asked

    return answer


@pytest.mark.usefixtures("folder")
def test_no_download_without_a_yes(open_widget, answer):
    asked = answer(No)
    _, widget = open_widget()
    widget.weights.value = "torchvision"
    assert "548 MB" in asked[0]
    assert widget.weights.value == "original"


@pytest.mark.usefixtures("server")
def test_weights_are_downloaded_and_used(open_widget, answer, finish, qtbot):
    answer(Yes)
    _, widget = open_widget()
    widget.weights.value = "torchvision"
    widget.run.native.click()  # too early
    assert not widget.running
    qtbot.waitUntil(lambda: is_installed("torchvision"), timeout=TIMEOUT)
    qtbot.waitUntil(lambda: "are there" in widget._form.status.text(), timeout=TIMEOUT)
    assert widget.weights.value == "torchvision"
    widget.run.native.click()
    finish(widget)
    assert errors() == []
    assert "Done" in widget._form.status.text()


@pytest.mark.usefixtures("server")
def test_an_estimate_does_not_download_on_its_own(open_widget, answer, qtbot):
    _, widget = open_widget()
    answer(Yes)
    widget.weights.value = "torchvision"
    assert widget._settings.encoder.waiting
    widget.size.value = 48
    assert widget._forecast._asked is None
    qtbot.waitUntil(lambda: not widget._settings.encoder.waiting, timeout=TIMEOUT)
    assert widget._forecast._asked is not None


def test_a_download_that_fails_says_why_and_leaves_the_weights(open_widget, answer, server, qtbot):
    answer(Yes)
    server("missing")
    _, widget = open_widget()
    widget.weights.value = "torchvision"
    qtbot.waitUntil(lambda: bool(errors()), timeout=TIMEOUT)
    assert widget.weights.value == "original"
    assert "404" in widget._form.status.text()


def test_a_file_can_be_chosen(open_widget, monkeypatch, finish):
    path = str(original_file())
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (path, ""))
    _, widget = open_widget()
    widget.weights.value = WEIGHTS_FILE
    assert widget.weights.value == path
    assert widget._request.settings().weights == path
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: ("", ""))
    widget.weights.value = WEIGHTS_FILE
    assert widget.weights.value == path
