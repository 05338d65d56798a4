"""Runs in the widget that are saved while they go on."""

import numpy as np
import pytest

from napari_neural_style import StyleTransfer
from napari_neural_style.images import to_uint8

from .conftest import TIMEOUT, errors, results, shorten


def test_a_run_is_saved_to_its_end(open_widget, start, finish, tmp_path, qtbot):
    viewer, widget = open_widget()
    file = tmp_path / "run.safetensors"
    widget["checkpoint"].value = file
    start(viewer, widget)
    qtbot.waitUntil(file.is_file, timeout=TIMEOUT)  # from the first step on
    widget.stop.native.click()
    finish(widget)
    saved = StyleTransfer.load(file)
    assert (
        saved.provenance()["step"]
        == widget._run.result.layer.metadata["napari_neural_style"]["step"]
    )
    assert [path.name for path in tmp_path.glob("run*")] == ["run.safetensors"]


def test_a_checkpoint_that_cannot_be_written_is_told_of_before_the_run(
    open_widget, finish, tmp_path
):
    _, widget = open_widget()
    widget["checkpoint"].value = tmp_path / "nowhere" / "run.safetensors"
    widget.run.native.click()
    finish(widget)
    assert "nowhere" in widget._form.status.text()
    assert widget._run.result.layer is None


@pytest.fixture
def saved(open_widget, start, finish, tmp_path):
    """A run that was stopped, with its checkpoint."""
    viewer, widget = open_widget()
    file = tmp_path / "run.safetensors"
    widget["checkpoint"].value = file
    widget["style_strength"].value = 70
    start(viewer, widget)
    widget.stop.native.click()
    finish(widget)
    shorten(file)
    return viewer, widget, file


def test_a_run_is_resumed_as_if_it_had_never_ended(saved, finish, qtbot):
    viewer, widget, file = saved
    whole = StyleTransfer.load(file)
    *_, last = whole
    widget["style_strength"].value, widget["checkpoint"].value = 20, None
    widget._menu._resume(file)
    qtbot.waitUntil(lambda: widget["style_strength"].value == 70, timeout=TIMEOUT)
    assert widget._run.job.settings.style_weight == whole.settings.style_weight
    finish(widget)
    assert not errors()
    np.testing.assert_array_equal(results(viewer)[-1].data, to_uint8(whole.result))
    assert StyleTransfer.load(file).provenance()["step"] == last.step


def test_a_checkpoint_of_other_images_is_refused(saved, finish):
    viewer, widget, file = saved
    viewer.layers["content"].contrast_limits = (0, 90)
    widget._menu._resume(file)
    finish(widget)
    assert "content of run.safetensors" in widget._form.status.text()
    assert widget["style_strength"].value == 70
