"""The history of a run, going on from it, and comparing, in a real viewer."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_neural_style.plugin.layers import METADATA_KEY
from napari_neural_style.plugin.result import EXACT_KEY

from .conftest import TIMEOUT, errors, picture, results


@pytest.fixture
def ended(open_widget, start, finish, qtbot):
    """A run that has ended, with some history."""
    viewer, widget = open_widget()
    result = start(viewer, widget)
    qtbot.waitUntil(lambda: len(widget._run.history) > 4, timeout=TIMEOUT)
    widget.stop.native.click()
    finish(widget)
    return viewer, widget, result


def test_scrubbing_shows_what_was_painted(ended):
    _, widget, result = ended
    newest, slider = result.data, widget._history._slider
    assert EXACT_KEY in result.metadata
    slider.setValue(0)
    step = widget._history.step
    np.testing.assert_array_equal(result.data, widget._run.history.nearest(step))
    assert (result.data != newest).any()
    # The recipe tells what is shown.
    assert result.metadata[METADATA_KEY]["step"] == step
    assert EXACT_KEY not in result.metadata
    slider.setValue(slider.maximum())
    np.testing.assert_array_equal(result.data, newest)
    assert EXACT_KEY in result.metadata


def test_while_looking_back_the_run_goes_on_unseen(open_widget, start, qtbot):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    qtbot.waitUntil(lambda: len(widget._run.history) > 3, timeout=TIMEOUT)
    widget._history._slider.setValue(0)
    data, step = result.data, widget._run._worker._transfer._step
    qtbot.waitUntil(lambda: widget._run._worker._transfer._step > step + 20, timeout=TIMEOUT)
    qtbot.wait(600)
    assert result.data is data
    widget._history._slider.setValue(widget._history._slider.maximum())
    qtbot.waitUntil(lambda: result.data is not data, timeout=TIMEOUT)


def test_a_step_is_kept_as_a_layer(ended):
    viewer, widget, result = ended
    widget._history._slider.setValue(0)
    step = widget._history.step
    shown = result.data
    result.name = "mine"
    widget._history._keep.click()
    kept = viewer.layers[-2]  # the result, which may go on, stays in sight
    assert kept.name == f"mine, step {step}"
    np.testing.assert_array_equal(kept.data, shown)
    assert kept.metadata[METADATA_KEY]["step"] == step
    assert viewer.layers.selection.active == result


def test_a_paused_run_comes_back_from_its_past(open_widget, start, qtbot):
    viewer, widget = open_widget()
    result, run = start(viewer, widget), widget._run
    qtbot.waitUntil(lambda: len(run.history) > 3, timeout=TIMEOUT)
    widget.pause.native.click()
    qtbot.wait(500)
    slider, newest = widget._history._slider, run.history.steps[-1]
    slider.setValue(0)
    assert result.metadata[METADATA_KEY]["step"] < newest
    slider.setValue(slider.maximum())
    np.testing.assert_array_equal(result.data, run.history.nearest(newest))
    assert result.metadata[METADATA_KEY]["step"] == newest


def test_a_picture_of_a_result_that_is_gone_goes_on_in_its_own_content_only(ended, finish):
    viewer, widget, result = ended
    other = viewer.add_image(picture(32, 40, 3, seed=9), name="other")
    viewer.layers.remove(result)
    widget["content"].value = other
    widget._history._slider.setValue(0)
    widget._history._resume.click()
    assert not widget.running
    (refusal,) = errors()
    assert refusal.message == "That was painted from “content”: choose that content."
    widget["content"].value = viewer.layers["content"]
    widget.steps.value = 3
    widget._history._resume.click()
    finish(widget)
    assert errors() == [refusal]
    assert len(results(viewer)) == 1


def test_the_focus_does_not_leave_the_buttons_of_the_run(ended, start, finish):
    viewer, widget, _ = ended
    widget.native.window().activateWindow()
    widget.run.native.setFocus()
    start(viewer, widget)
    assert widget.native.window().focusWidget() in (widget.pause.native, widget.stop.native)


def test_go_on_from_a_step_while_it_runs(open_widget, start, qtbot):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    qtbot.waitUntil(lambda: len(widget._run.history) > 3, timeout=TIMEOUT)
    widget._history._slider.setValue(0)
    data, run = result.data, widget._run
    widget._history._resume.click()
    assert widget._run is run
    qtbot.waitUntil(lambda: result.data is not data, timeout=TIMEOUT)
    assert errors() == []


def test_go_on_from_a_step_of_a_run_that_has_ended(ended, finish, qtbot):
    viewer, widget, result = ended
    steps = widget._run.history.steps
    widget._history._slider.setValue(1)
    widget.steps.value = 6
    widget._history._resume.click()
    finish(widget)
    assert errors() == []
    assert results(viewer) == [result]
    # Nothing of the past is lost.
    assert widget._run.history.steps[: len(steps)] == steps
    assert widget._run.history.steps[-1] == steps[-1] + 6


def test_continue_goes_on_in_the_selected_result(ended, finish):
    viewer, widget, result = ended
    assert widget.go_on.enabled
    widget.steps.value = 20
    before = result.data
    widget.go_on.native.click()
    finish(widget)
    assert errors() == []
    assert results(viewer) == [result]
    assert (result.data != before).any()
    # It is still that picture, painted further.
    assert np.abs(result.data.astype(float) - before).mean() < 40


def test_continue_is_for_results(ended):
    viewer, widget, _ = ended
    viewer.layers.selection.active = viewer.layers["content"]
    assert not widget.go_on.enabled


def test_continue_with_another_content_says_what_to_do(ended):
    viewer, widget, result = ended
    viewer.layers["content"].translate = (100, 100)
    viewer.layers.selection.active = result
    widget.go_on.native.click()
    assert "does not lie on the" in widget._form.status.text()
    assert not widget.running


def test_compare_shows_the_content_while_held(ended, qtbot):
    viewer, widget, result = ended
    content, style = viewer.layers["content"], viewer.layers["style"]
    content.visible = False
    button = widget._compare
    qtbot.mousePress(button, Qt.MouseButton.LeftButton)
    # The style lies between the two.
    assert (result.visible, style.visible, content.visible) == (False, False, True)
    qtbot.mouseRelease(button, Qt.MouseButton.LeftButton)
    assert (result.visible, style.visible, content.visible) == (True, True, False)
    viewer.layers.remove(result)
    assert not button.isEnabled()


def test_a_new_run_has_a_new_history(ended, start, qtbot):
    viewer, widget, _ = ended
    start(viewer, widget)
    assert widget._run.history.steps[0] < 100
    qtbot.waitUntil(lambda: len(widget._run.history) > 1, timeout=TIMEOUT)


def test_the_plot_shows_every_step(open_widget, finish):
    _, widget = open_widget()
    widget.steps.value = 12
    widget.run.native.click()
    finish(widget)
    steps = [point.step for point in widget._plot._curves.points]
    assert steps == sorted(set(steps))
    assert steps


def test_every_picture_has_the_recipe_that_it_was_painted_with(open_widget, start, qtbot, finish):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    other = viewer.add_image(picture(32, 32, 3, seed=7), name="other", rgb=True)
    qtbot.waitUntil(lambda: len(widget._run.history) > 2, timeout=TIMEOUT)
    widget.tv_weight.value = 1.25
    widget.style.value = other
    transfer = widget._run._worker._transfer
    qtbot.waitUntil(lambda: transfer.settings.tv_weight == 1.25, timeout=TIMEOUT)
    step = transfer._step

    def told():
        return result.metadata[METADATA_KEY]

    # While it runs …
    qtbot.waitUntil(lambda: told()["step"] > step, timeout=TIMEOUT)
    assert told()["settings"]["tv_weight"] == 1.25
    qtbot.waitUntil(lambda: told()["style"] == "other", timeout=TIMEOUT)  # its targets take time
    # … of what lies before the change …
    widget._history._slider.setValue(0)
    assert told()["settings"]["tv_weight"] == 5.0
    assert (told()["style"], told()["step"]) == ("style", widget._history.step)
    widget._history._keep.click()
    kept = viewer.layers[-2].metadata[METADATA_KEY]
    assert (kept["settings"]["tv_weight"], kept["style"]) == (5.0, "style")
    # … and at the end, where what is looked at stays.
    widget.stop.native.click()
    finish(widget)
    assert told()["settings"]["tv_weight"] == 5.0
    slider = widget._history._slider
    slider.setValue(slider.maximum())
    assert told()["settings"]["tv_weight"] == 1.25


def test_continue_counts_on_and_keeps_the_history(ended, finish):
    viewer, widget, result = ended
    steps = widget._run.history.steps
    widget.steps.value = 5
    told = []
    widget._status.accompany = told.append
    widget.go_on.native.click()
    finish(widget)
    total = steps[-1] + 5
    assert widget._run.history.steps[: len(steps)] == steps
    points = [point.step for point in widget._plot._curves.points]
    assert points[-1] == total
    assert result.metadata[METADATA_KEY]["step"] == 5
    assert told[0].startswith(f"Step {steps[-1] + 1} of {total} · ")
    assert widget._history._label.text() == f"{total}/{total}"
    assert "Done: 5 more steps" in widget._form.status.text()
    slider = widget._history._slider
    slider.setValue(slider.maximum() - 1)
    widget._history._keep.click()
    assert viewer.layers[-2].name.endswith(f", step {widget._history.step}")


def test_continue_from_an_earlier_picture_follows_what_comes(ended, finish):
    viewer, widget, result = ended
    widget._history._slider.setValue(0)
    widget.steps.value = 5
    widget.go_on.native.click()
    finish(widget)
    assert widget._history.following
    widget._history._keep.click()
    np.testing.assert_array_equal(viewer.layers[-1].data, result.data)


def test_a_result_of_another_content_is_refused(ended):
    viewer, widget, result = ended
    viewer.add_image(picture(32, 40, seed=9), name="GFP")
    widget.content.value = viewer.layers["GFP"]
    viewer.layers.selection.active = result
    before = result.data
    widget.go_on.native.click()
    assert "was painted from “content”" in widget._form.status.text()
    widget._history._slider.setValue(0)
    widget._history._resume.click()
    assert not widget.running
    # What was chosen in the history is still there.
    assert widget._history.step == widget._run.history.steps[0]
    assert result.data is not before


def test_a_result_whose_content_is_gone_says_what_is_missing(ended):
    viewer, widget, result = ended
    viewer.layers.remove("content")
    viewer.add_image(picture(24, 24, seed=9), name="GFP")
    widget.content.value, widget.style.value = viewer.layers["GFP"], viewer.layers["style"]
    viewer.layers.selection.active = result
    widget.go_on.native.click()
    assert not widget.running
    assert "“content”, and no layer is called so: open" in widget._form.status.text()


def test_continue_with_a_whole_stack_is_refused(ended):
    viewer, widget, result = ended
    stack = np.stack([result.data] * 3)
    layer = viewer.add_image(stack, rgb=True, metadata=dict(result.metadata), name="painted stack")
    viewer.layers.selection.active = layer
    widget.go_on.native.click()
    assert "is a whole stack" in widget._form.status.text()
    np.testing.assert_array_equal(layer.data, stack)
