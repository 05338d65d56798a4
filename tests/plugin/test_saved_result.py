import json

import numpy as np
import pytest
import tifffile

from napari_neural_style.cli import main
from napari_neural_style.images import METADATA_KEY, read_image, write_image
from napari_neural_style.plugin.layers import displayed_plane, is_result
from napari_neural_style.plugin.result import EXACT_KEY, ResultLayer
from napari_neural_style.plugin.saved_result import open_result
from napari_neural_style.recipe import read_recipe
from napari_neural_style.settings import Settings

from .conftest import errors, picture, results

RECIPE = {
    "settings": Settings(preset="fast", size=20, mask=np.eye(16, 20, dtype=np.float32)).to_dict(),
    "content": "cells",
    "style": "painting",
    "step": 3,
}
PLACE = {"scale": (0.5, 2.0), "translate": (3.0, -1.0), "rotate": 20, "units": ("um", "um")}


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


def paint(viewer, plane, channels=3):
    """Make a layer as a run leaves it, of half the content's resolution."""
    height, width = (side // 2 for side in plane.geometry.shape)
    exact = np.random.default_rng(1).random((height, width, 3), np.float32)
    data = np.full((height, width, channels), 100, np.uint8)
    data[..., :3] = np.rint(255 * exact)
    geometry = plane.geometry
    result = ResultLayer(viewer, geometry.place, geometry.orientation, "painted", {"rgb": True})
    result.show(data, RECIPE, exact)
    return result.layer


def assert_alike(opened, layer):
    for name in ("scale", "translate", "rotate", "shear", "units", "axis_labels"):
        np.testing.assert_array_equal(getattr(opened, name), getattr(layer, name))
    np.testing.assert_array_equal(opened.affine.affine_matrix, layer.affine.affine_matrix)
    np.testing.assert_array_equal(opened.data, layer.data)
    assert opened.data.dtype == layer.data.dtype
    assert opened.rgb == layer.rgb
    assert opened.interpolation2d == layer.interpolation2d == "linear"
    assert opened.keymap.keys() == layer.keymap.keys()


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(("extension", "error"), [("16bit", 1 / 65535), ("float", 0)])
def test_what_a_writer_saved_is_as_it_was(viewer, tmp_path, extension, error, channels):
    plane = displayed_plane(viewer.add_image(picture(32, 40), **PLACE), viewer.dims)
    layer = paint(viewer, plane, channels)
    (path,) = layer.save(str(tmp_path / f"a.{extension}.tif"))
    opened = open_result(path, viewer, plane)
    assert opened == viewer.layers[-1]  # a proxy in tests
    assert opened.name == "a"
    assert_alike(opened, layer)
    assert is_result(opened)
    assert opened.metadata[METADATA_KEY] == json.loads(json.dumps(RECIPE))
    exact = opened.metadata[EXACT_KEY]
    np.testing.assert_allclose(exact, layer.metadata[EXACT_KEY], rtol=0, atol=error)
    # Saved again, nothing is lost.
    (again,) = opened.save(str(tmp_path / f"b.{extension}.tif"))
    np.testing.assert_array_equal(read_image(again), read_image(path))


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)])
def test_a_plane_of_a_stack_lies_where_it_lay(viewer, tmp_path, order):
    stack = np.random.default_rng(0).integers(0, 255, (6, 32, 40), np.uint8)
    content = viewer.add_image(stack, scale=(3, 2, 1), translate=(5, 6, 7))
    viewer.dims.order = order
    plane = displayed_plane(content, viewer.dims)
    layer = paint(viewer, plane)
    (path,) = layer.save(str(tmp_path / "a.float.tif"))
    assert_alike(open_result(path, viewer, plane), layer)


@pytest.fixture
def stylize(tmp_path):
    """Paint a file with the command line."""

    def stylize(name, content, *options):
        write_image(tmp_path / "cells.tif", content)
        write_image(tmp_path / "style.png", picture(32, 32, 3, seed=1) / 255)
        files = [str(tmp_path / file) for file in ("cells.tif", "style.png", name)]
        settings = ["--preset", "fast", "--steps", "2", "--device", "cpu", "--quiet"]
        assert main(["stylize", *files[:2], "-o", files[2], *settings, *options]) == 0
        return tmp_path / name

    return stylize


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_what_the_command_line_painted_is_opened(viewer, stylize, name):
    # The shorter side, 25.6, is rounded.
    path = stylize(name, picture(64, 80), "--size", "32")
    plane = displayed_plane(viewer.add_image(picture(64, 80)), viewer.dims)
    layer = open_result(path, viewer, plane)
    assert layer.rgb
    assert layer.data.dtype == np.uint8
    assert layer.data.shape == (26, 32, 3)
    np.testing.assert_allclose(layer.scale, (64 / 26, 80 / 32))
    assert (EXACT_KEY in layer.metadata) == (name == "a.tif")
    assert layer.metadata[METADATA_KEY]["settings"] == read_recipe(path).settings.to_dict()


def test_one_channel_is_shown_as_its_content(viewer, stylize):
    values = picture(32, 40, dtype=np.uint16) * 20
    path = stylize("a.tif", values, "--output", "intensity")
    content = viewer.add_image(values, contrast_limits=(100, 3000), gamma=0.5)
    layer = open_result(path, viewer, displayed_plane(content, viewer.dims))
    assert not layer.rgb
    assert layer.data.dtype == np.uint16
    np.testing.assert_array_equal(layer.data, read_image(path))
    assert layer.contrast_limits == content.contrast_limits
    assert layer.gamma == content.gamma
    assert EXACT_KEY not in layer.metadata


def test_continue_and_copy_settings_work_on_it(open_widget, finish, start, tmp_path):
    viewer, widget = open_widget()
    layer = start(viewer, widget, steps=3)
    finish(widget)
    steps = layer.metadata[METADATA_KEY]["settings"]["steps"]
    (path,) = layer.save(str(tmp_path / "a.16bit.tif"))
    viewer.layers.remove(layer)
    opened = open_result(path, viewer, displayed_plane(viewer.layers["content"], viewer.dims))
    viewer.layers.selection.active = opened
    widget.steps.value = 5
    widget._menu.copy_from_result()
    assert widget.steps.value == steps
    before = opened.data.copy()
    widget["go_on"].native.click()
    finish(widget)
    assert not errors()
    assert results(viewer) == [opened]
    assert not np.array_equal(opened.data, before)


def test_a_file_without_a_recipe_is_refused(viewer, tmp_path):
    content = viewer.add_image(picture(32, 40))
    plane = displayed_plane(content, viewer.dims)
    (path,) = paint(viewer, plane).save(str(tmp_path / "a.png"))  # by napari
    with pytest.raises(ValueError, match=r"a\.png holds no recipe .* name\.16bit\.tif or name\.fl"):
        open_result(path, viewer, plane)
    assert len(viewer.layers) == 2


@pytest.mark.parametrize("shape", [(40, 32), (16, 22), (32, 32), (64, 75)])
def test_other_proportions_are_refused(viewer, tmp_path, shape):
    plane = displayed_plane(viewer.add_image(picture(32, 40), name="cells"), viewer.dims)
    write_image(tmp_path / "a.png", picture(*shape, 3) / 255, metadata=RECIPE)
    words = f"a.png has {shape[0]} x {shape[1]} pixels, .* the layer “cells” with 32 x 40"
    with pytest.raises(ValueError, match=words):
        open_result(tmp_path / "a.png", viewer, plane)
    assert len(viewer.layers) == 1


def test_one_channel_does_not_go_with_colours(viewer, tmp_path):
    plane = displayed_plane(viewer.add_image(picture(32, 40, 3), rgb=True), viewer.dims)
    write_image(tmp_path / "a.png", picture(32, 40), metadata=RECIPE)
    with pytest.raises(ValueError, match=r"has one channel and the layer .* has colours"):
        open_result(tmp_path / "a.png", viewer, plane)


def test_weights_are_not_chosen_by_a_file(viewer, tmp_path):
    plane = displayed_plane(viewer.add_image(picture(32, 40)), viewer.dims)
    recipe = {"settings": Settings().to_dict() | {"weights": "theirs.pth"}}
    write_image(tmp_path / "a.png", picture(32, 40, 3) / 255, metadata=recipe)
    with pytest.raises(ValueError, match=r"Cannot use the recipe .*: it names the weights file"):
        open_result(tmp_path / "a.png", viewer, plane)
    assert is_result(open_result(tmp_path / "a.png", viewer, plane, "original"))


@pytest.mark.parametrize("recipe", [[1], {"settings": 1}, {"settings": {"steps": -1}}])
def test_a_wrong_recipe_is_refused(viewer, tmp_path, recipe):
    plane = displayed_plane(viewer.add_image(picture(32, 40)), viewer.dims)
    write_image(tmp_path / "a.tif", picture(32, 40, 3) / 255, metadata=recipe)
    with pytest.raises(ValueError, match=r"Cannot use the recipe .*a\.tif"):
        open_result(tmp_path / "a.tif", viewer, plane)


def test_what_is_no_picture_is_refused(viewer, tmp_path):
    plane = displayed_plane(viewer.add_image(picture(32, 40)), viewer.dims)
    (tmp_path / "a.json").write_text(json.dumps(RECIPE))
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 32, 40), np.uint8))
    for name, words in {"a.json": "not an image", "stack.tif": "it is a stack"}.items():
        with pytest.raises(ValueError, match=words):
            open_result(tmp_path / name, viewer, plane)
    for name, words in {"none.tif": "there is no such file", ".": "it is a folder"}.items():
        with pytest.raises(OSError, match=words):
            open_result(tmp_path / name, viewer, plane)
