"""What the controls do while a run goes on, in a real viewer."""

from dataclasses import replace

import numpy as np
import pytest

from napari_neural_style.plugin import status
from napari_neural_style.plugin.fields import EVERYWHERE, NO_STYLE, WHOLE_STYLE
from napari_neural_style.plugin.layers import METADATA_KEY
from napari_neural_style.settings import strength_to_weight

from .conftest import TIMEOUT, errors, picture


@pytest.fixture
def running(open_widget, start):
    """A widget whose run goes on."""
    viewer, widget = open_widget()
    viewer.add_image(picture(40, 32, 3, seed=5), name="another", rgb=True)
    widget.reset_choices()
    widget.style.value = viewer.layers["style"]
    result = start(viewer, widget)
    return viewer, widget, result


@pytest.fixture
def settle(qtbot, finish):
    """Wait until a condition on the engine holds; then stop, and return the recipe."""

    def settle(widget, result, condition):
        transfer = widget._run._worker._transfer
        qtbot.waitUntil(lambda: bool(condition(transfer)), timeout=TIMEOUT)
        step = transfer._step
        qtbot.waitUntil(lambda: transfer._step > step + 2, timeout=TIMEOUT)
        widget.stop.native.click()
        finish(widget)
        assert errors() == []
        assert np.isfinite(result.data).all()
        return result.metadata[METADATA_KEY]

    return settle


@pytest.mark.parametrize(
    ("control", "value", "setting", "expected"),
    [
        ("style_strength", 80, "style_weight", strength_to_weight(80, "fast")),
        ("content_weight", 3.5, "content_weight", 3.5),
        ("tv_weight", 0.25, "tv_weight", 0.25),
        ("color", "luminance", "color", "luminance"),
    ],
)
def test_a_control_takes_effect_at_once(running, settle, control, value, setting, expected):
    _, widget, result = running
    widget[control].value = value
    recipe = settle(widget, result, lambda t: getattr(t.settings, setting) == expected)
    assert recipe["settings"][setting] == expected


def test_texture_tilts_the_weights_of_the_layers(running, settle):
    _, widget, result = running
    widget.texture.value = 100
    weights = widget._form.equalizer.weights
    assert weights["relu5_1"] > 1 > weights["relu1_1"]
    recipe = settle(widget, result, lambda t: t.settings.style_layers == weights)
    assert recipe["settings"]["style_layers"] == weights


def test_a_slider_of_the_equalizer(running, settle):
    _, widget, result = running
    widget._form.equalizer._sliders["relu3_1"].setValue(0)
    recipe = settle(widget, result, lambda t: t.settings.style_layers != running)
    assert recipe["settings"]["style_layers"]["relu3_1"] == 0


def test_another_style(running, settle):
    viewer, widget, result = running
    before = widget._run._worker._transfer._run.inputs.style_digests
    widget.style.value = viewer.layers["another"]
    settle(widget, result, lambda t: t._run.inputs.style_digests != before)


def test_a_second_style_and_its_share(running, settle):
    viewer, widget, result = running
    widget.style_2.value = viewer.layers["another"]
    widget.mix.value = 20
    recipe = settle(widget, result, lambda t: t.settings.style_weights == (0.8, 0.2))
    assert recipe["settings"]["style_weights"] == [0.8, 0.2]
    assert not widget.style_mask.enabled


def test_strokes_drawn_in_the_style_are_followed(running, settle):
    viewer, widget, result = running
    before = widget._run._worker._transfer._run.inputs.style_digests
    layer = viewer.layers["style"]
    layer.data[:16] = (250, 20, 20)
    layer.refresh()
    settle(widget, result, lambda t: t._run.inputs.style_digests != before)


def test_layers_that_only_look_again_change_nothing(running, qtbot):
    viewer, widget, _ = running
    transfer = widget._run._worker._transfer
    run = transfer._run
    viewer.layers["style"].refresh()
    qtbot.wait(600)
    assert transfer._run is run


def test_labels_painted_while_it_runs_are_followed(open_widget, start, settle):
    viewer, widget = open_widget()
    labels = viewer.add_labels(np.zeros((32, 40), int), name="regions")
    labels.data[:8] = 1
    widget.mask.value = labels
    result = start(viewer, widget)
    assert widget._run._worker._transfer.settings.mask.sum() > 0
    labels.paint((20, 20), 1)
    recipe = settle(widget, result, lambda t: t.settings.mask[-10:].any())
    assert recipe["settings"]["mask"] is not None
    # Outside, it is the content.
    content = viewer.layers["content"]
    low, high = content.contrast_limits
    assert result.data.shape[:2] == (26, 32)
    assert low < high


def test_another_size_goes_on_from_the_picture(running, settle, qtbot):
    _, widget, result = running
    widget.size.value = 64
    qtbot.waitUntil(lambda: result.data.shape[1] == 64, timeout=TIMEOUT)
    recipe = settle(widget, result, lambda t: t.settings.size == 64)
    assert recipe["scales"][-1] == [51, 64]


def test_fewer_steps_end_the_run(running, finish):
    _, widget, _ = running
    widget.steps.value = 3
    finish(widget)
    assert "Done" in widget._form.status.text()
    assert errors() == []


def test_what_cannot_change_is_off_while_it_runs(running):
    _, widget, _ = running
    for name in ("content", "preset", "device", "weights"):
        assert not widget[name].enabled
    for name in ("style", "style_strength", "size", "steps", "mask"):
        assert widget[name].enabled


def test_a_change_that_is_refused_leaves_the_run_as_it_was(running, qtbot, finish):
    _, widget, result = running
    widget.size.value = 2
    qtbot.waitUntil(lambda: bool(errors()), timeout=TIMEOUT)
    assert "size=2" in widget._form.status.text()
    assert widget.running
    data = result.data
    qtbot.waitUntil(lambda: result.data is not data, timeout=TIMEOUT)
    widget.style_strength.value = 70
    transfer = widget._run._worker._transfer
    expected = strength_to_weight(70, "fast")
    qtbot.waitUntil(lambda: transfer.settings.style_weight == expected, timeout=TIMEOUT)


def test_a_storm_of_changes(running, settle, qtbot):
    _, widget, result = running
    for value in range(0, 100, 2):
        widget.style_strength.value = value
        widget.texture.value = 100 - value
        qtbot.wait(1)
    settle(widget, result, lambda t: t.settings.style_weight == strength_to_weight(98, "fast"))


def test_without_a_run_the_controls_only_say_what_would_be(open_widget, qtbot):
    _, widget = open_widget()
    qtbot.waitUntil(lambda: "About" in widget._form.forecast.text(), timeout=TIMEOUT)
    before = widget._form.forecast.text()
    widget.size.value = 512
    assert widget._form.forecast.text() == "Time and memory: …"  # not what is no longer so
    qtbot.waitUntil(lambda: "GB" in widget._form.forecast.text(), timeout=TIMEOUT)
    assert widget._form.forecast.text() != before


@pytest.mark.parametrize("name", ["style", "regions"])
def test_a_layer_that_goes_is_told_and_the_run_keeps_it(open_widget, start, qtbot, name):
    viewer, widget = open_widget()
    labels = viewer.add_labels(np.tri(32, 40, dtype=int), name="regions")
    viewer.add_image(picture(40, 32, 3, seed=5), name="another", rgb=True)
    widget.mask.value = labels
    start(viewer, widget)
    transfer = widget._run._worker._transfer
    before = transfer._run.inputs
    viewer.layers.remove(name)
    assert "is gone" in widget._form.status.text()
    widget._edits.edited.emit("style")
    widget.feather.value = 7
    widget.tv_weight.value = 0.5
    qtbot.waitUntil(lambda: transfer.settings.tv_weight == 0.5, timeout=TIMEOUT)
    assert transfer._run.inputs.style_digests == before.style_digests
    np.testing.assert_array_equal(transfer.settings.mask, before.settings.mask)
    assert errors() == []


def test_without_the_regions_of_the_style_all_else_can_be_steered(open_widget, start, qtbot):
    viewer, widget = open_widget()
    labels = viewer.add_labels(np.tri(32, 40, dtype=int), name="regions")
    viewer.add_labels(np.tri(32, 32, dtype=int), name="of the style")
    shapes = viewer.add_shapes([[[2, 2], [2, 30], [20, 30], [20, 2]]], name="shapes")
    widget.mask.value = labels
    widget.style_mask.value = viewer.layers["of the style"]
    start(viewer, widget)
    transfer = widget._run._worker._transfer

    def comes(condition):
        qtbot.waitUntil(lambda: bool(condition(transfer.settings)), timeout=TIMEOUT)

    viewer.layers.remove("of the style")
    assert widget.style_mask.current_choice == "(gone) of the style"
    before = transfer.settings.mask.sum()
    labels.paint((3, 36), 1)
    comes(lambda settings: settings.mask.sum() > before)
    assert len(transfer.settings.style_masks) == 1
    widget.size.value = 40
    comes(lambda settings: settings.size == 40)
    viewer.layers.remove(labels)
    widget.mask.value = shapes
    widget.style_mask.value = WHOLE_STYLE
    comes(lambda settings: settings.style_masks == () and settings.mask.sum() == 19 * 29)
    widget.mask.value = EVERYWHERE
    comes(lambda settings: settings.mask is None)
    assert errors() == []


def test_a_deleted_style_is_shown_as_long_as_it_is_painted(running, finish, qtbot, monkeypatch):
    monkeypatch.setattr(status, "_READING_SECONDS", 1e9)
    viewer, widget, result = running
    widget.style_2.value = viewer.layers["another"]
    third = viewer.add_image(picture(40, 32, 3, seed=6), name="third", rgb=True)
    transfer = widget._run._worker._transfer
    qtbot.waitUntil(lambda: len(transfer.settings.style_weights) == 2, timeout=TIMEOUT)
    data = result.data
    viewer.layers.remove("another")
    viewer.layers.remove("style")
    assert widget.style.current_choice == "(gone) style"
    assert widget.style_2.current_choice == "(gone) another"
    qtbot.waitUntil(lambda: result.data is not data, timeout=TIMEOUT)
    assert "“style” is gone" in widget._form.status.text()  # it can be read
    before = transfer._run.inputs.style_digests
    widget.style.value = third
    qtbot.waitUntil(lambda: transfer._run.inputs.style_digests[0] != before[0], timeout=TIMEOUT)
    assert transfer._run.inputs.style_digests[1] == before[1]
    assert widget._run.job.names["style"] == "third and another"
    widget.stop.native.click()
    finish(widget)
    assert errors() == []
    # What comes next is painted with what there is.
    assert (widget.style.current_choice, widget.style_2.value) == ("third", NO_STYLE)


def test_the_content_as_its_own_style_is_refused(running):
    viewer, widget, _ = running
    widget.style.value = viewer.layers["content"]
    assert "choose two different layers" in widget._form.status.text()
    assert widget.running


def test_a_refusal_is_not_said_to_wait(running):
    viewer, widget, _ = running
    widget.pause.native.click()
    widget.style.value = viewer.layers["content"]
    assert "choose two different layers" in widget._form.status.text()


def test_changes_of_a_paused_run_are_said_to_wait(running):
    _, widget, _ = running
    widget.pause.native.click()
    widget.pause.native.click()
    widget.pause.native.click()
    assert widget._form.status.text().startswith("Paused. Step ")
    widget.style_strength.value = 90
    assert "when you resume" in widget._form.status.text()


def test_the_step_that_was_being_made_at_a_pause_is_told(running, qtbot):
    _, widget, _ = running
    with qtbot.waitSignal(widget._run._worker.framed, timeout=TIMEOUT) as framed:
        pass
    widget.pause.native.click()
    last = replace(framed.args[0], text="Step 9 of 9")
    widget._run.advanced.emit(last)
    assert widget._form.status.text() == "Paused. Step 9 of 9"
    widget.style_strength.value = 90
    widget._run.advanced.emit(last)
    assert "when you resume" in widget._form.status.text()
