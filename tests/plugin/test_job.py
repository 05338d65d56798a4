"""What a run makes of the layers chosen, in a real viewer."""

import numpy as np
import pytest

from napari_neural_style.images import to_uint8
from napari_neural_style.plugin.channels import Channels
from napari_neural_style.plugin.fields import EVERYWHERE
from napari_neural_style.plugin.layers import displayed_plane, is_result

from .conftest import TIMEOUT, picture


@pytest.fixture
def paint(make_napari_viewer_proxy, dock, qtbot):
    """Open the widget over some layers, choose, press Run, and return the result."""

    class Paint:
        def __init__(self):
            self.viewer = make_napari_viewer_proxy()
            self.widget = None

        def open(self, **choices):
            style = self.viewer.add_image(picture(32, 32, 3, seed=1), name="style", rgb=True)
            self.widget = dock(self.viewer, **{"style": style, "size": 40, **choices})
            return self.widget

        def run(self):
            self.widget.run.native.click()
            qtbot.waitUntil(lambda: self.widget.run.enabled, timeout=TIMEOUT)
            (result,) = [layer for layer in self.viewer.layers if is_result(layer)]
            return result

    return Paint()


def test_transparency_is_kept(paint):
    content = picture(32, 40, 4)
    content[..., 3] = np.linspace(0, 255, 40)
    paint.viewer.add_image(content, rgb=True, name="content")
    paint.open()
    result = paint.run()
    assert result.data.shape == (32, 40, 4)
    np.testing.assert_array_equal(result.data[..., 3], content[..., 3])


def test_hidden_colours_outside_of_the_mask_are_what_they_were(paint):
    content = np.random.default_rng(0).integers(0, 256, (32, 40, 4)).astype(np.uint8)
    content[..., :3] = picture(32, 40, 3)
    content[4:28, 12:36, 3] = 0
    content[4:28, 12:36, :3] = (255, 0, 255)
    paint.viewer.add_image(content, rgb=True, name="content")
    labels = np.zeros((32, 40), int)
    labels[:, :20] = 1
    paint.open(mask=paint.viewer.add_labels(labels), feather=0)
    result = paint.run()
    np.testing.assert_array_equal(result.data[labels == 0], content[labels == 0])
    np.testing.assert_array_equal(result.data[..., 3], content[..., 3])
    # Within, what is painted does not know of them.
    assert (result.data[4:28, 12:20, :3] != (255, 0, 255)).any(-1).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", ">f4"])
def test_an_intensity_stays_one(paint, dtype):
    content = picture(32, 40).astype(dtype) * 7
    limits, gamma = (70.0, 1000.0), 0.8
    layer = paint.viewer.add_image(
        content, name="actin", colormap="magenta", contrast_limits=limits, gamma=gamma
    )
    paint.open(output="intensity")
    assert not paint.widget["color"].enabled
    result = paint.run()
    assert result.data.shape == content.shape
    assert result.data.dtype == content.dtype
    assert not result.rgb
    assert (result.colormap, result.gamma) == (layer.colormap, gamma)
    assert tuple(result.contrast_limits) == limits
    assert result.data.min() >= 70
    assert result.data.max() <= 1000
    assert np.ptp(result.data) > 100


def test_an_intensity_outside_of_the_mask_is_what_it_was(paint):
    content = picture(32, 40, dtype=np.uint16) * 7
    paint.viewer.add_image(content, name="actin", contrast_limits=(300, 500))
    labels = np.zeros(content.shape, int)
    labels[:, :20] = 1
    layer = paint.viewer.add_labels(labels)
    paint.open(output="intensity", mask=layer)
    result = paint.run()
    np.testing.assert_array_equal(result.data[:, 20:], content[:, 20:])
    assert (result.data[:, :20] != content[:, :20]).any()


def test_only_what_is_marked_is_painted(paint):
    content = picture(32, 40, 3)
    paint.viewer.add_image(content, rgb=True, name="content", scale=(2, 2), translate=(5, 7))
    # Pixels lie on their coordinates: from 4.5 to 19.5 are those from 5 on, to 19.
    corners = np.array([[4.5, 9.5], [4.5, 19.5], [24.5, 19.5], [24.5, 9.5]]) * 2 + (5, 7)
    paint.viewer.add_shapes([corners], name="region")
    paint.open(mask=paint.viewer.layers["region"], feather=0)
    result = paint.run()
    changed = (result.data != content).any(axis=-1)
    inside = np.zeros((32, 40), bool)
    inside[5:25, 10:20] = True
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.8


def test_regions_of_the_style_paint_those_of_the_content(paint):
    paint.viewer.add_image(picture(32, 40), name="content")
    halves = np.ones((32, 40), int)
    halves[:, 20:] = 2
    regions = paint.viewer.add_labels(halves, name="regions")
    paint.open(mask=regions, steps=30)
    red_and_blue = paint.viewer.layers["style"]
    red_and_blue.data = picture(32, 32, 3)
    red_and_blue.data[:, :16, 1:] //= 8
    red_and_blue.data[:, 16:, :2] //= 8
    style_regions = paint.viewer.add_labels(np.repeat([[1] * 16 + [2] * 16], 32, 0), name="halves")
    paint.widget["style_mask"].value = style_regions
    result = paint.run().data.astype(float)
    left, right = (result[:, half].mean((0, 1)) for half in (slice(2, 18), slice(22, 38)))
    assert left[0] > left[2] + 20
    assert right[2] > right[0] + 20


def test_channels_are_painted_as_they_look_together(paint):
    viewer = paint.viewer
    for name, seed in (("red", 2), ("green", 3)):
        viewer.add_image(picture(32, 40, seed=seed), name=name, colormap=name, blending="additive")
    widget = paint.open()
    viewer.layers.selection = {viewer.layers["green"], viewer.layers["red"]}
    chosen = frozenset({viewer.layers["red"], viewer.layers["green"]})
    together = Channels(chosen, viewer.layers)
    assert together in widget["content"].choices
    widget["content"].value = together
    viewer.layers.selection.active = viewer.layers["style"]
    assert widget["content"].value == together
    assert not widget["output"].enabled
    result = paint.run()
    assert result.name == "red + green in the style of style"
    assert result.data.shape == (32, 40, 3)


def test_channels_are_blended_in_the_order_that_they_have_now(paint, qtbot):
    viewer = paint.viewer
    below = viewer.add_image(picture(32, 40, seed=2), name="A", colormap="red", blending="opaque")
    above = viewer.add_image(picture(32, 40, seed=3), name="B", colormap="green", opacity=0.7)
    labels = viewer.add_labels(np.pad([[1]], ((0, 31), (0, 39))), name="corner")
    widget = paint.open(mask=labels, size=40, feather=0)
    content, shown = widget["content"], widget._form.pictures["content"]
    viewer.layers.selection = {below, above}
    content.value = Channels(frozenset({below, above}), viewer.layers)
    before = shown._pixmap.toImage()

    viewer.layers.move(0, 2)  # A is the upper one now, and covers B
    viewer.layers.selection = {below, above}

    offered = [choice.name for choice in content.choices if isinstance(choice, Channels)]
    assert offered == [content.value.name] == [content.native.currentText()] == ["B + A"]
    assert shown.toolTip() == "B + A"
    assert shown._pixmap.toImage() != before
    result = paint.run()
    expected = displayed_plane(below, viewer.dims).rgb()
    np.testing.assert_array_equal(result.data[1:], to_uint8(expected)[1:])
    assert result.name == "B + A in the style of style"


def test_a_mask_of_another_shape_is_refused(paint):
    paint.viewer.add_image(picture(32, 40), name="content")
    labels = paint.viewer.add_labels(np.ones((16, 16), int), name="small")
    widget = paint.open(mask=labels)
    widget.run.native.click()
    assert "“small” does not lie on" in widget._form.status.text()


def test_a_label_that_the_style_lacks_is_named(paint, qtbot):
    paint.viewer.add_image(picture(32, 40), name="content")
    labels = paint.viewer.add_labels(np.full((32, 40), 5), name="cells")
    widget = paint.open(mask=labels)
    widget["style_mask"].value = paint.viewer.add_labels(np.full((32, 32), 3), name="areas")
    widget.run.native.click()
    qtbot.waitUntil(lambda: widget.run.enabled, timeout=TIMEOUT)
    assert "5" in widget._form.status.text()
    assert "3" in widget._form.status.text()


def test_a_run_follows_colours_and_regions(paint, qtbot):
    gray = picture(32, 40)
    paint.viewer.add_image(gray, name="content")
    labels = np.zeros(gray.shape, int)
    labels[:16] = 1
    mask = paint.viewer.add_labels(labels, name="upper half")
    widget = paint.open(steps=100_000, mask=EVERYWHERE)
    widget.run.native.click()
    qtbot.waitUntil(lambda: is_result(paint.viewer.layers[-1]), timeout=TIMEOUT)
    result = paint.viewer.layers[-1]

    def colourful(rows):
        return np.ptp(result.data[rows].astype(int), axis=-1).max() > 10

    qtbot.waitUntil(lambda: colourful(slice(16, 32)), timeout=TIMEOUT)
    widget["color"].value = "luminance"
    qtbot.waitUntil(lambda: not colourful(slice(None)), timeout=TIMEOUT)
    widget["color"].value = "style"
    qtbot.waitUntil(lambda: colourful(slice(16, 32)), timeout=TIMEOUT)
    widget["mask"].value = mask
    qtbot.waitUntil(lambda: not colourful(slice(16, 32)), timeout=TIMEOUT)
    assert colourful(slice(0, 16))
    widget.stop.native.click()
    qtbot.waitUntil(lambda: widget.run.enabled, timeout=TIMEOUT)


def test_hidden_channels_are_left_out(paint):
    viewer = paint.viewer
    for name, seed in (("red", 2), ("green", 3), ("blue", 4)):
        viewer.add_image(picture(32, 40, seed=seed), name=name, colormap=name, blending="additive")
    labels = viewer.add_labels(np.pad([[1]], ((0, 31), (0, 39))), name="corner")
    widget = paint.open(mask=labels)
    names = ("red", "green", "blue")
    viewer.layers.selection = {viewer.layers[name] for name in names}
    chosen = frozenset(viewer.layers[name] for name in names)
    widget["content"].value = Channels(chosen, viewer.layers)
    viewer.layers["green"].visible = False
    result = paint.run()
    assert result.name == "red + blue in the style of style"
    assert result.data[1:, :, 1].max() == 0
    assert result.data[1:, :, 0].max() > 0


def test_units_that_do_not_fit_are_refused(paint):
    paint.viewer.add_image(picture(32, 40), name="content", units=("um", "um"))
    seconds = paint.viewer.add_labels(np.ones((32, 40), int), name="spikes", units=("s", "s"))
    widget = paint.open(mask=seconds)
    widget.run.native.click()
    assert "“spikes” is measured in second" in widget._form.status.text()


def test_a_run_keeps_its_region_when_the_layer_goes(paint, qtbot):
    content = picture(32, 40, 3)
    paint.viewer.add_image(content, rgb=True, name="content")
    labels = np.zeros((32, 40), int)
    labels[:16] = 1
    mask = paint.viewer.add_labels(labels, name="upper half")
    widget = paint.open(steps=100_000, mask=mask)
    widget.run.native.click()
    qtbot.waitUntil(lambda: is_result(paint.viewer.layers[-1]), timeout=TIMEOUT)
    result, history = paint.viewer.layers[-1], widget._run.history
    paint.viewer.layers.remove(mask)
    step = history.steps[-1]
    qtbot.waitUntil(lambda: history.steps[-1] > step + 10, timeout=TIMEOUT)
    widget.stop.native.click()
    qtbot.waitUntil(lambda: widget.run.enabled, timeout=TIMEOUT)
    np.testing.assert_array_equal(result.data[16:], content[16:])
    assert (result.data[:16] != content[:16]).any()
