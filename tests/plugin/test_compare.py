import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_neural_style.images import METADATA_KEY
from napari_neural_style.plugin.compare import KEY, CompareButton, peek_below


def add(viewer, name, **metadata):
    return viewer.add_image(np.zeros((4, 4, 3), np.uint8), name=name, metadata=metadata)


@pytest.fixture
def viewer():
    """A content, the style above it at the same place, and on top the result."""
    viewer = ViewerModel()
    for name in ("content", "style"):
        add(viewer, name)
    add(viewer, "result", **{METADATA_KEY: {}})
    return viewer


@pytest.fixture
def button(viewer, qtbot):
    button = CompareButton(viewer.layers)
    qtbot.addWidget(button)
    button.compare(viewer.layers["result"], (viewer.layers["content"],))
    return button


def press(qtbot, button):
    qtbot.mousePress(button, Qt.MouseButton.LeftButton)


def release(qtbot, button):
    qtbot.mouseRelease(button, Qt.MouseButton.LeftButton)


def seen(viewer):
    return [layer.name for layer in viewer.layers if layer.visible]


def test_the_style_between_does_not_hide_the_content(viewer, button, qtbot):
    press(qtbot, button)
    assert seen(viewer) == ["content"]
    release(qtbot, button)
    assert seen(viewer) == ["content", "style", "result"]


def test_what_was_hidden_is_hidden_again(viewer, button, qtbot):
    viewer.layers["content"].visible = viewer.layers["style"].visible = False
    press(qtbot, button)
    assert seen(viewer) == ["content"]
    release(qtbot, button)
    assert seen(viewer) == ["result"]


def test_other_results_go_and_drawings_stay(viewer, button, qtbot):
    add(viewer, "kept", **{METADATA_KEY: {}})
    viewer.add_shapes(name="drawing")
    press(qtbot, button)
    assert seen(viewer) == ["content", "drawing"]
    release(qtbot, button)
    assert seen(viewer) == ["content", "style", "result", "kept", "drawing"]


def test_channels_that_lie_apart_are_all_seen(viewer, button, qtbot):
    channel = add(viewer, "channel")
    viewer.layers.move(viewer.layers.index(channel), 2)  # above the style
    button.compare(viewer.layers["result"], (viewer.layers["content"], channel))
    press(qtbot, button)
    assert seen(viewer) == ["content", "channel"]


@pytest.mark.parametrize("gone", ["content", "style", "result"])
def test_a_layer_deleted_meanwhile_leaves_the_others_as_they_were(viewer, button, qtbot, gone):
    press(qtbot, button)
    viewer.layers.remove(gone)
    release(qtbot, button)
    assert seen(viewer) == [name for name in ("content", "style", "result") if name != gone]


def test_once_the_content_is_deleted_there_is_nothing_to_compare_with(viewer, button, qtbot):
    content = viewer.layers["content"]
    viewer.layers.remove(content)
    press(qtbot, button)
    assert seen(viewer) == ["style", "result"]
    release(qtbot, button)
    button.compare(viewer.layers["result"], (content,))
    assert not button.isEnabled()


def test_without_a_result_everything_is_seen_again_and_the_button_disabled(viewer, button, qtbot):
    press(qtbot, button)
    viewer.layers.remove("result")
    button.compare(None, ())
    assert not button.isEnabled()
    assert seen(viewer) == ["content", "style"]


def test_the_key_does_the_same_while_it_is_held_over_the_canvas(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    add(viewer, "content")
    result = add(viewer, "result", **{METADATA_KEY: {}})
    result.bind_key(KEY, peek_below(viewer.layers, (viewer.layers["content"],)))
    viewer.layers.selection.active = result
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyPress(canvas, Qt.Key.Key_B)
    assert seen(viewer) == ["content"]
    qtbot.keyRelease(canvas, Qt.Key.Key_B)
    assert seen(viewer) == ["content", "result"]
    qtbot.keyClick(canvas, Qt.Key.Key_V)  # napari's own keys are as ever
    assert seen(viewer) == ["content"]
