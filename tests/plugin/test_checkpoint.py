"""Runs in the widget that are saved while they go on."""

from napari_neural_style import StyleTransfer

from .conftest import TIMEOUT


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
