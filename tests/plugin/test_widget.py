import json
import sys
import threading

import dask.array as da
import numpy as np
import pytest
from napari.utils.progress import progress
from qtpy.QtWidgets import QDockWidget

from napari_neural_style.images import to_rgb
from napari_neural_style.plugin.layers import METADATA_KEY, displayed_plane
from napari_neural_style.settings import PRESETS, strength_to_weight
from napari_neural_style.transfer import devices
from napari_neural_style.transfer.engine import StyleTransfer
from napari_neural_style.transfer.run import Run

from .conftest import ENDLESS, SMALL, TIMEOUT, errors, picture, results

# ------------------------------------------------------------------- the widget


def test_children_have_their_names(open_widget):
    _, widget = open_widget()
    names = [child.name for child in widget]
    assert names == [
        *("content", "style", "preset", "style_strength", "texture", "color"),
        *("size", "steps", "device"),
        *("style_2", "mix"),
        *("mask", "style_mask", "feather"),
        *("content_weight", "tv_weight", "weights"),
        *("output", "whole_stack", "save_to", "scheduler", "checkpoint"),
        *("run", "pause", "stop", "go_on"),
    ]
    assert all(child.tooltip for child in widget)


def test_fits_beside_the_canvas_of_a_small_screen(open_widget):
    _, widget = open_widget()
    assert widget.native.minimumSizeHint().width() <= 350
    widget.native.resize(350, widget.native.sizeHint().height())
    assert widget.run.native.geometry().bottom() < 600


def test_opens_without_layers_and_takes_those_that_come(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    _, widget = viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")
    assert widget.content.value is None
    viewer.add_image(picture(32, 32), name="first")
    viewer.add_points([[1, 1]], name="points")
    viewer.add_image(picture(32, 32), name="second")
    assert (widget.content.value.name, widget.style.value.name) == ("first", "second")
    assert len(widget.content.choices) == 2


def test_run_without_layers_says_what_to_do(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    _, widget = viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")
    widget.run.native.click()
    assert "Open Sample" in widget._form.status.text()
    assert widget.run.enabled


def test_what_was_wanting_is_not_asked_for_any_more(open_widget, finish):
    viewer, widget = open_widget()
    widget.run.native.click()
    finish(widget)
    viewer.layers.clear()
    widget.run.native.click()
    assert "Open Sample" in widget._form.status.text()
    viewer.add_image(picture(32, 32), name="first")
    assert "another for the style" in widget._form.status.text()
    widget.run.native.click()
    assert "choose two different layers" in widget._form.status.text()
    viewer.add_image(picture(32, 32), name="second")
    assert "Press Run" in widget._form.status.text()


def test_a_style_in_colour_is_proposed_until_one_is_chosen(make_napari_viewer_proxy, dock):
    viewer = make_napari_viewer_proxy()
    widget = dock(viewer)
    for name in ("DAPI", "GFP"):
        viewer.add_image(picture(32, 32), name=name)
    assert widget.style.value.name == "GFP"
    painting = viewer.add_image(picture(32, 32, 3), name="painting", rgb=True)
    assert (widget.content.value.name, widget.style.value) == ("DAPI", painting)
    widget.style.value = viewer.layers["GFP"]
    viewer.add_image(picture(32, 32, 3), name="another", rgb=True)
    assert widget.style.value.name == "GFP"


def test_a_sample_is_chosen_when_it_is_opened(open_widget, start):
    viewer, widget = open_widget()
    viewer.open_sample("napari-neural-style", "channels")
    assert (widget.content.value.name, widget.style.value.name) == ("Nuclei", "Night impasto")
    viewer.open_sample("napari-neural-style", "actin")
    actin = widget.content.value
    assert (actin.name, widget.style.value.name) == ("Actin (synthetic, 16-bit)", "Woodcut")
    start(viewer, widget)
    viewer.open_sample("napari-neural-style", "coffee")
    assert (widget.content.value, widget.style.value.name) == (actin, "Woodcut")


def test_choices_follow_their_layers(open_widget):
    viewer, widget = open_widget()
    third = viewer.add_image(picture(32, 32), name="third")
    widget.content.value, widget.style.value = third, viewer.layers["content"]

    third.name = "a new name"
    viewer.layers.move(2, 0)
    viewer.layers["style"].name = "another"

    assert widget.content.value == third
    assert widget.content.current_choice == "a new name"
    assert widget.style.value == viewer.layers["content"]


def test_a_chosen_layer_that_goes_is_replaced_by_another_than_the_content(open_widget):
    viewer, widget = open_widget()
    viewer.add_image(picture(32, 32), name="third")
    viewer.layers.remove("style")
    assert widget.content.value.name == "content"
    assert widget.style.value.name == "third"


def test_settings_are_remembered(open_widget, make_napari_viewer_proxy, preferences):
    _, widget = open_widget()
    wanted = {"preset": "gatys", "style_strength": 70, "size": 96, "steps": 7, "device": "cpu"}
    for name, value in wanted.items():
        widget[name].value = value

    viewer = make_napari_viewer_proxy()
    _, another = viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")

    assert {name: another[name].value for name in wanted} == wanted
    assert "gatys" in (preferences / "napari-neural-style.yaml").read_text()


def test_devices_are_found_behind_the_open_widget(open_widget, qtbot):
    _, widget = open_widget()
    qtbot.waitUntil(lambda: widget.device.current_choice.startswith("CPU, "), timeout=TIMEOUT)
    assert {"auto", "cpu"} <= set(widget.device.choices)
    assert widget.device.value == "cpu"


def test_advice_about_the_device_is_shown(open_widget, monkeypatch, qtbot):
    monkeypatch.setattr(devices, "advice", lambda: "Reinstall torch for CUDA.")
    _, widget = open_widget()
    qtbot.waitUntil(lambda: "Reinstall" in widget._form.status.text(), timeout=TIMEOUT)
    assert "Reinstall torch for CUDA." in widget.device.tooltip


def test_without_torch_it_says_so_and_run_does_too(open_widget, finish, monkeypatch, qtbot):
    monkeypatch.setitem(sys.modules, "napari_neural_style.transfer.engine", None)
    viewer, widget = open_widget()
    qtbot.waitUntil(lambda: "PyTorch could not" in widget._form.status.text(), timeout=TIMEOUT)
    widget.run.native.click()
    finish(widget)
    assert "PyTorch could not be loaded" in widget._form.status.text()
    assert len(viewer.layers) == 2


def test_pictures_follow_the_layers(open_widget):
    viewer, widget = open_widget()

    def shown():
        return widget._form.pictures["content"]._pixmap.toImage()

    before = shown()
    assert before.width() == 40
    viewer.layers["content"].contrast_limits = (0, 50)
    assert shown() != before
    widget.content.value = viewer.layers["style"]
    assert shown().width() == 32
    viewer.layers.clear()
    assert widget._form.pictures["content"]._pixmap.isNull()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_chosen(open_widget, preset):
    _, widget = open_widget()
    widget.preset.value = preset
    widget.size.value = widget.steps.value = 0
    settings = widget._request.settings()
    assert settings.preset == preset
    assert settings.style_weight == PRESETS[preset].settings["style_weight"]
    assert str(np.sum(settings.steps)) in widget.steps.native.text()


def test_theme_changes_with_the_viewer(open_widget):
    viewer, widget = open_widget()
    dark = widget.run.native.styleSheet()
    viewer.theme = "light"
    assert widget.run.native.styleSheet() != dark


# ------------------------------------------------------------------------- runs


def test_the_result_is_a_layer_over_the_content(open_widget, finish):
    geometry = {
        "scale": (0.5, 2.0),
        "translate": (3.0, -1.0),
        "rotate": 20,
        "shear": [0.2],
        "affine": [[1.0, 0.1, 5], [0, 1.5, 2], [0, 0, 1]],
        "units": ("um", "um"),
        "axis_labels": ("row", "column"),
    }
    viewer, widget = open_widget(picture(32, 40, dtype=np.uint16), **geometry)
    widget.size.value = 40
    content = viewer.layers["content"]
    before = content.data.copy()

    widget.style_strength.value = 80
    widget.run.native.click()
    finish(widget)

    assert errors() == []
    result = viewer.layers[-1]
    assert result.name == "content in the style of style"
    assert result.rgb
    assert result.data.dtype == np.uint8
    assert result.data.shape == (32, 40, 3)
    for attribute in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_array_equal(getattr(result, attribute), getattr(content, attribute))
    np.testing.assert_array_equal(result.affine.affine_matrix, content.affine.affine_matrix)
    assert result.units == content.units
    assert result.axis_labels == content.axis_labels
    np.testing.assert_array_equal(content.data, before)

    recipe = json.loads(json.dumps(result.metadata[METADATA_KEY]))
    assert (recipe["content"], recipe["style"]) == ("content", "style")
    assert recipe["settings"]["style_weight"] == strength_to_weight(80, "fast")
    assert recipe["step"] == recipe["total"] == 3
    assert recipe["losses"]["total"] > 0
    assert "Done: 3 steps" in widget._form.status.text()


def test_the_result_is_what_the_engine_paints_of_what_is_seen(open_widget, finish):
    data = picture(32, 40, dtype=float)
    viewer, widget = open_widget(data, contrast_limits=(20, 120))

    widget.run.native.click()
    finish(widget)

    seen = to_rgb(data, contrast_limits=(20, 120))
    transfer = StyleTransfer(
        seen, viewer.layers["style"].data, preset="fast", size=32, steps=3, device="cpu"
    )
    difference = results(viewer)[0].data - transfer.run() * 255
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(
    ("content", "layer"),
    [
        (picture(32, 40) > 90, {}),
        (picture(32, 40, dtype=np.int32) - 100, {"colormap": "magma", "gamma": 0.7}),
        (picture(32, 40, dtype=">f4"), {}),
        (picture(32, 40, 3, dtype=float) / 255, {"rgb": True}),
        ([picture(64, 80), picture(32, 40)], {"multiscale": True}),
    ],
    ids=["bool", "colormap", "big-endian", "float-rgb", "multiscale"],
)
def test_content_of_any_kind(open_widget, finish, content, layer):
    viewer, widget = open_widget(content, **layer)
    widget.run.native.click()
    finish(widget)
    assert errors() == []
    assert results(viewer)[0].data.shape == (26, 32, 3)


def test_previews_cover_the_content_like_the_final_image(open_widget, finish):
    viewer, widget = open_widget(picture(200, 256), scale=(2.0, 2.0))
    extents, shapes = [], []

    def record(layer):
        extents.append(layer.extent.world)
        shapes.append(layer.data.shape)

    def watch(event):
        record(event.value)
        event.value.events.data.connect(lambda e: record(e.source))

    viewer.layers.events.inserted.connect(watch)
    widget.size.value, widget.steps.value = 256, 2
    widget.run.native.click()
    finish(widget)

    assert shapes[0] == (100, 128, 3)
    assert shapes[-1] == (200, 256, 3)
    # An extent runs from the first pixel's centre to the last one's.
    half_pixel = np.array([[-1.0], [1.0]]) * [2.0, 2.0]
    np.testing.assert_allclose(
        extents[0] + half_pixel, viewer.layers["content"].extent.world + half_pixel / 2
    )
    np.testing.assert_allclose(extents[-1], viewer.layers["content"].extent.world)


def test_the_plane_shown_of_a_stack_is_painted(open_widget, finish):
    stack = np.stack([picture(32, 40, seed=seed) for seed in range(4)])
    viewer, widget = open_widget(stack, scale=(5.0, 1.0, 1.0))
    viewer.dims.set_point(0, 10.0)

    widget.run.native.click()
    finish(widget)

    result = results(viewer)[0]
    assert result.data.shape == (1, 26, 32, 3)
    assert result.data_to_world((0, 0, 0))[0] == 10.0
    assert viewer.dims.point[0] == 10.0
    viewer.dims.set_point(0, 5.0)
    viewer.dims.ndisplay = 3


def test_run_again_makes_another_layer(open_widget, finish):
    viewer, widget = open_widget()
    widget.run.native.click()
    finish(widget)
    first = results(viewer)[0]
    data = first.data.copy()

    widget.style_strength.value = 0
    widget.run.native.click()
    finish(widget)

    assert len(results(viewer)) == 2
    assert results(viewer)[1].name != first.name
    np.testing.assert_array_equal(first.data, data)


def test_results_are_not_offered(open_widget, finish):
    viewer, widget = open_widget()
    widget.run.native.click()
    finish(widget)
    assert len(viewer.layers) == 3
    assert len(widget.content.choices) == len(widget.style.choices) == 2


def test_stop_keeps_what_was_painted(open_widget, start, finish):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    widget.stop.native.click()
    finish(widget)

    assert result in viewer.layers
    assert result.metadata[METADATA_KEY]["step"] < ENDLESS
    assert "Stopped" in widget._form.status.text()
    assert not widget.pause.enabled
    assert not widget.stop.enabled


def test_stop_before_anything_was_painted(open_widget, finish):
    there = threading.Event()
    there.set()

    def read(block):
        assert there.wait(TIMEOUT / 1000)
        return block

    viewer, widget = open_widget(da.from_array(picture(32, 40)).map_blocks(read, dtype=np.uint8))
    there.clear()
    widget.run.native.click()
    widget.stop.native.click()
    there.set()
    finish(widget)
    assert len(viewer.layers) == 2
    assert errors() == []


def test_pause_waits_and_resume_goes_on(open_widget, start, qtbot):
    viewer, widget = open_widget()
    result = start(viewer, widget)

    widget.pause.native.click()
    assert widget.pause.text == "Resume"
    qtbot.wait(500)
    data = result.data
    qtbot.wait(700)
    assert result.data is data
    assert "Paused" in widget._form.status.text()

    widget.pause.native.click()
    assert widget.pause.text == "Pause"
    qtbot.waitUntil(lambda: result.data is not data, timeout=TIMEOUT)


def test_stop_while_paused(open_widget, start, finish):
    viewer, widget = open_widget()
    start(viewer, widget)
    widget.pause.native.click()
    widget.stop.native.click()
    finish(widget)
    assert widget.pause.text == "Pause"


def test_controls_that_make_no_sense_are_off(open_widget, start):
    viewer, widget = open_widget()
    assert not widget.pause.enabled
    assert not widget.stop.enabled
    start(viewer, widget)
    assert not widget.run.enabled
    assert widget.pause.enabled
    assert widget.stop.enabled


def test_a_second_run_waits_for_the_first(open_widget, start):
    viewer, widget = open_widget()
    start(viewer, widget)
    run = widget._run
    widget.run.changed.emit(True)
    assert widget._run is run
    assert "stop it" in widget._form.status.text()


def test_two_viewers_paint_side_by_side(open_widget, finish):
    first = open_widget()
    second = open_widget(picture(40, 32, seed=3))
    for _, widget in (first, second):
        widget.run.native.click()
    for viewer, widget in (first, second):
        finish(widget)
        assert len(results(viewer)) == 1
    assert results(first[0])[0].data.shape != results(second[0])[0].data.shape


# --------------------------------------------------------------- activity dock


def activity():
    return [bar for bar in progress._all_instances if bar.desc.startswith("Style transfer")]


def test_the_activity_dock_shows_progress_and_time_left(open_widget, start, finish, qtbot):
    viewer, widget = open_widget()
    start(viewer, widget, steps=400)
    (bar,) = activity()
    told = []
    bar.events.eta.connect(lambda event: told.append(event.value))
    qtbot.waitUntil(lambda: any(text.endswith(" left") for text in told), timeout=TIMEOUT)
    assert bar.total == 400
    assert 0 < bar.n <= 400
    widget.stop.native.click()
    finish(widget)
    assert activity() == []


def test_cancel_in_the_activity_dock_stops_the_run(open_widget, start, finish):
    viewer, widget = open_widget()
    start(viewer, widget)
    dialog = widget.native.window()._activity_dialog
    pbar = dialog.get_pbar_from_prog(activity()[0])
    assert pbar.cancel_button.isVisibleTo(dialog)
    pbar.cancel_button.click()
    finish(widget)
    assert len(results(viewer)) == 1
    assert activity() == []


# ---------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (np.full((32, 32), 7), "“content” is constant"),
        (np.array([[0.0, np.nan], [1, 2]]), "“content” holds NaN"),
        (np.ones((1, 1)), "“content” has 1 x 1 pixels"),
        (picture(8, 9), "8 x 9|9 x 8"),
    ],
)
def test_bad_images_are_refused(open_widget, finish, content, sentence):
    viewer, widget = open_widget(content)
    widget.size.value = 0
    widget.run.native.click()
    finish(widget)
    assert len(viewer.layers) == 2
    (error,) = errors()
    assert error.message in widget._form.status.text()
    with pytest.raises(ValueError, match=sentence):
        raise ValueError(error.message)


def test_content_as_style_is_refused(open_widget):
    viewer, widget = open_widget()
    widget.style.value = widget.content.value
    widget.run.native.click()
    assert "both “content”: choose two different layers" in widget._form.status.text()
    assert len(errors()) == 1
    assert widget.run.enabled
    assert len(viewer.layers) == 2


@pytest.mark.parametrize("amended", [True, False])
def test_a_refusal_goes_with_its_cause(open_widget, qtbot, amended):
    _, widget = open_widget()
    widget["size"].value = 8
    widget["run"].native.click()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    assert "size=8" in widget._form.status.text()
    if amended:
        widget["size"].value = 32
    widget.reset_choices()  # as with any change of the layers
    assert ("size=8" not in widget._form.status.text()) == amended


def test_a_volume_display_is_refused(open_widget):
    viewer, widget = open_widget(picture(32, 40)[None].repeat(3, axis=0))
    viewer.dims.ndisplay = 3
    widget.run.native.click()
    assert "switch the viewer to 2-D" in widget._form.status.text()
    assert widget.run.enabled


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("an internal assertion"), "RuntimeError: an internal assertion"),
        (ValueError("The weights file is none."), "The weights file is none."),
    ],
)
def test_an_error_in_the_middle_is_shown_and_run_works_again(
    open_widget, finish, monkeypatch, error, sentence
):
    viewer, widget = open_widget()
    step = Run.step

    def fail_at_third(run, *args):
        if run.progress.step == 2:
            raise error
        return step(run, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "step", fail_at_third)
        widget.run.native.click()
        finish(widget)

    assert sentence in widget._form.status.text()
    assert len(errors()) == 1
    assert results(viewer)[0].metadata[METADATA_KEY]["step"] == 2
    assert activity() == []

    widget.run.native.click()
    finish(widget)
    assert "Done" in widget._form.status.text()
    assert len(results(viewer)) == 2


def test_deleting_the_result_ends_the_run(open_widget, start, finish):
    viewer, widget = open_widget()
    viewer.layers.remove(start(viewer, widget))
    finish(widget)
    assert len(viewer.layers) == 2
    assert "was deleted" in widget._form.status.text()
    assert errors() == []


@pytest.mark.parametrize("name", ["content", "style"])
def test_the_run_outlives_content_and_style(open_widget, start, finish, name):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    viewer.layers.remove(name)
    assert widget.running
    widget.stop.native.click()
    finish(widget)
    assert result in viewer.layers
    assert errors() == []


def test_renaming_while_it_runs_changes_nothing(open_widget, start, finish):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    viewer.layers["content"].name = "renamed"
    result.name = "mine"
    widget.stop.native.click()
    finish(widget)
    assert result.name == "mine"
    assert result.metadata[METADATA_KEY]["content"] == "content"


def test_closing_the_dock_ends_the_run(open_widget, start):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    worker = widget._run._worker
    dock = widget.native.parent()
    assert isinstance(dock, QDockWidget)
    dock.title.close_button.click()
    assert not widget.running
    assert worker.wait(60)
    assert activity() == []
    assert result in viewer.layers
    assert METADATA_KEY in result.metadata


def test_the_dock_can_be_opened_again(open_widget, start, finish):
    viewer, widget = open_widget()
    start(viewer, widget)
    widget.native.parent().title.close_button.click()
    _, another = viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")
    assert another is not widget
    another.steps.value = SMALL["steps"]
    another.run.native.click()
    finish(another)
    assert "Done" in another._form.status.text()
    assert len(results(viewer)) == 2


def test_hiding_the_dock_does_not(open_widget, start, qtbot):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    widget.native.parent().title.hide_button.click()
    data = result.data
    qtbot.waitUntil(lambda: result.data is not data, timeout=TIMEOUT)


def test_floating_the_dock_does_not(open_widget, start, qtbot):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    widget.native.parent().setFloating(True)
    data = result.data
    qtbot.waitUntil(lambda: result.data is not data, timeout=TIMEOUT)


@pytest.mark.parametrize("painted", [True, False])
def test_closing_the_viewer_ends_the_run(make_napari_viewer, dock, start, qtbot, painted):
    viewer = make_napari_viewer()
    for seed, name in enumerate(("content", "style")):
        viewer.add_image(picture(32, 40, seed=seed), name=name)
    widget = dock(viewer)
    if painted:
        start(viewer, widget)
    else:
        widget.run.native.click()
    worker = widget._run._worker

    viewer.close()

    assert worker.wait(60)
    qtbot.wait(50)
    assert activity() == []
    widget.reset_choices()


# ------------------------------------------------------------- what you see


@pytest.mark.parametrize(
    ("data", "layer"),
    [
        (picture(48, 64, dtype=np.uint16) * 9, {"contrast_limits": (200, 1500)}),
        (picture(48, 64, dtype=float), {"colormap": "viridis", "gamma": 0.6}),
        (picture(48, 64), {"colormap": "HiLo", "contrast_limits": (30, 150)}),
        (picture(48, 64, 3, dtype=float) / 300, {"rgb": True}),
        (picture(48, 64, 3), {"rgb": True, "contrast_limits": (0, 120), "gamma": 1.7}),
        (picture(48, 64, 4), {"rgb": True}),
    ],
    ids=["uint16", "viridis", "HiLo", "float-rgb", "rgb-limits", "rgba"],
)
def test_what_is_seen_is_what_is_stylized(make_napari_viewer, data, layer):
    viewer = make_napari_viewer(show=True)
    viewer.theme = "dark"  # transparency is seen over its black canvas
    image = viewer.add_image(data, interpolation2d="nearest", **layer)

    figure = viewer.export_figure(flash=False)

    read = displayed_plane(image, viewer.dims).rgb() * 255
    # The middles of the blobs, 8 pixels wide each.
    steps = [
        np.arange(4, side, 8) * shown / side
        for side, shown in zip((48, 64), figure.shape[:2], strict=True)
    ]
    seen = figure[np.ix_(*(step.astype(int) for step in steps))][..., :3]
    np.testing.assert_allclose(seen, read[4::8, 4::8], atol=3)
