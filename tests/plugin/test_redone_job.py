"""Results that are painted again in the widget."""

import numpy as np
import pytest

from napari_neural_style.plugin.origins import remember_origin

from .conftest import errors, picture, results


def redo(widget, finish):
    widget._menu.redo()
    finish(widget)
    return widget._form.status.text()


@pytest.fixture
def painted(open_widget, start, finish):
    """Open a widget and paint something."""

    def painted(content=None, layer=None, **values):
        viewer, widget = open_widget(content, **(layer or {}))
        for name, value in values.items():
            widget[name].value = value
        result = start(viewer, widget, steps=4)
        finish(widget)
        viewer.layers.selection.active = result
        return viewer, widget, result

    return painted


def test_a_result_comes_out_the_same_whatever_is_chosen_now(painted, finish):
    viewer, widget, result = painted(style_strength=70)
    widget["style_strength"].value, widget["preset"].value = 20, "default"
    viewer.layers["content"].name = "renamed"
    viewer.layers["renamed"].contrast_limits = (0, 90)
    viewer.layers["renamed"].colormap = "viridis"
    assert "Bit-identical." in redo(widget, finish)
    assert not errors()
    again = results(viewer)[-1]
    assert again is not result
    assert again.name == f"{result.name}, redone"
    np.testing.assert_array_equal(again.data, result.data)
    viewer.layers.selection.active = again  # it has a recipe of its own
    assert "Bit-identical." in redo(widget, finish)


def test_a_transposed_plane_of_a_stack_as_an_intensity(painted, finish):
    stack = np.stack([picture(32, 40, dtype=np.uint16, seed=seed) * 9 for seed in range(4)])
    viewer, widget, result = painted(
        stack, {"contrast_limits": (50, 1500), "scale": (3, 1, 2)}, output="intensity"
    )
    assert "Bit-identical." in redo(widget, finish)
    again = results(viewer)[-1]
    np.testing.assert_array_equal(again.data, result.data)
    np.testing.assert_array_equal(again.scale, result.scale)
    np.testing.assert_array_equal(again.translate, result.translate)
    assert again.data.dtype == np.uint16


def test_changes_are_made_again(open_widget, start, finish, qtbot):
    viewer, widget = open_widget()
    result = start(viewer, widget, steps=400)
    widget["style_strength"].value = 90
    widget["color"].value = "luminance"
    weight = widget._request.style_weight
    qtbot.waitUntil(lambda: widget._run._worker._transfer.settings.style_weight == weight)
    qtbot.waitUntil(lambda: widget._run._worker._transfer.settings.color == "luminance")
    widget.stop.native.click()
    finish(widget)
    viewer.layers.selection.active = result
    assert "Bit-identical." in redo(widget, finish)


def test_an_image_that_is_gone_is_named(painted, finish):
    viewer, widget, _ = painted()
    viewer.layers["style"].data = viewer.layers["style"].data[::-1].copy()
    assert "style “style” is not among the layers" in redo(widget, finish)
    assert len(results(viewer)) == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_a_whole_stack_comes_out_the_same(open_widget, finish, tmp_path, order):
    stack = np.stack([np.roll(picture(32, 40), 2 * t, axis=1) for t in range(3)])
    look = {"colormap": "magma", "gamma": 0.7, "contrast_limits": (20, 240), "scale": (5, 2, 2)}
    viewer, widget = open_widget(stack.transpose(order), rgb=False, **look)
    viewer.dims.order = order
    widget["whole_stack"].value, widget["save_to"].value = True, tmp_path / "painted.zarr"
    widget["steps"].value = 4
    widget.run.native.click()
    finish(widget)
    (result,) = results(viewer)
    content = viewer.layers["content"]
    content.colormap, content.contrast_limits = "gray", (0, 90)
    viewer.layers.selection.active = result
    assert "Bit-identical, all of 3 planes." in redo(widget, finish)
    again = results(viewer)[-1]
    assert again is not result
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(result.data))
    np.testing.assert_array_equal(again.scale, result.scale)
    np.testing.assert_array_equal(again.translate, result.translate)
    content.data = 255 - content.data
    remember_origin(again, None)  # as of a program that was ended
    viewer.layers.selection.active = again
    assert "is not among the layers" in redo(widget, finish)
