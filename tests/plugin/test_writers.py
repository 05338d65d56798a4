import json

import numpy as np
import pytest
import tifffile
from npe2 import PluginManager

from napari_neural_style.images import METADATA_KEY, read_image
from napari_neural_style.images.metadata import read_metadata
from napari_neural_style.plugin.layers import displayed_plane
from napari_neural_style.plugin.result import EXACT_KEY, ResultLayer

RECIPE = {"seed": 7}


@pytest.fixture
def result(make_napari_viewer_proxy):
    """Paint a layer over a content of some shape: its data, rounded, and all its digits."""

    def result(shape=(12, 16), channels=3):
        viewer = make_napari_viewer_proxy()
        content = viewer.add_image(np.random.default_rng(0).random(shape), name="cells")
        geometry = displayed_plane(content, viewer.dims).geometry
        exact = np.random.default_rng(1).random((*shape[-2:], 3), np.float32)
        data = np.full((*shape[-2:], channels), 100, np.uint8)
        data[..., :3] = np.rint(255 * exact)
        layer = ResultLayer(viewer, geometry.place, geometry.orientation, "a", {"rgb": True})
        layer.show(data, RECIPE, exact)
        return viewer.layers[-1], exact

    return result


@pytest.mark.parametrize("shape", [(12, 16), (3, 12, 16)])
def test_16_bits_are_all_written(result, tmp_path, shape):
    layer, exact = result(shape)
    (path,) = layer.save(str(tmp_path / "a.16bit.tif"))
    image = read_image(path)
    np.testing.assert_array_equal(image, np.rint(65535 * exact).astype(np.uint16))
    with tifffile.TiffFile(path) as file:
        description = json.loads(file.pages[0].description)
    assert description[METADATA_KEY]["seed"] == 7


def test_floats_are_written_as_they_are(result, tmp_path):
    layer, exact = result()
    (path,) = layer.save(str(tmp_path / "a.float.tif"))
    np.testing.assert_array_equal(read_image(path), exact)


def test_transparency_is_written(result, tmp_path):
    layer, exact = result(channels=4)
    (path,) = layer.save(str(tmp_path / "a.16bit.tif"))
    image = read_image(path)
    np.testing.assert_array_equal(image[..., :3], np.rint(65535 * exact))
    assert (image[..., 3] == 100 * 257).all()


def test_a_transposed_view_is_written_as_the_layer_is(make_napari_viewer_proxy, tmp_path):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.random.default_rng(0).random((12, 16, 4)), rgb=True)
    viewer.dims.order = (1, 0)
    geometry = displayed_plane(viewer.layers[0], viewer.dims).geometry
    exact = np.random.default_rng(1).random((16, 12, 3), np.float32)
    shown = np.random.default_rng(2).integers(0, 256, (16, 12, 4)).astype(np.uint8)
    result = ResultLayer(viewer, geometry.place, geometry.orientation, "a", {"rgb": True})
    result.show(shown, RECIPE, exact)
    layer = viewer.layers[-1]
    image = read_image(layer.save(str(tmp_path / "a.float.tif"))[0])
    np.testing.assert_array_equal(image[..., :3], exact.swapaxes(0, 1))
    np.testing.assert_allclose(image[..., 3] * 255, layer.data[..., 3], atol=1e-4)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_other_names_are_left_to_napari(result, tmp_path, name):
    layer, _ = result()
    writer, _ = PluginManager.instance().get_writer(str(tmp_path / name), ["image"])
    assert writer.command.startswith("napari.")
    (path,) = layer.save(str(tmp_path / name))
    if name != "a.jpg":
        np.testing.assert_array_equal(read_image(path), layer.data)


@pytest.mark.parametrize("shape", [(12, 16), (3, 12, 16)])
def test_what_has_no_more_digits_is_written_with_its_recipe(result, tmp_path, shape):
    layer, _ = result(shape)
    del layer.metadata[EXACT_KEY]
    (path,) = layer.save(str(tmp_path / "a.16bit.tif"))
    np.testing.assert_array_equal(read_image(path), layer.data.squeeze().astype(np.uint16) * 257)
    assert read_metadata(path) == RECIPE


@pytest.mark.parametrize("name", ["a.16bit.tif", "a.float.tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_one_channel_is_written_as_it_is(make_napari_viewer_proxy, tmp_path, name, dtype):
    values = np.random.default_rng(0).integers(0, 200, (1, 12, 16)).astype(dtype)
    layer = make_napari_viewer_proxy().add_image(values, metadata={METADATA_KEY: RECIPE})
    (path,) = layer.save(str(tmp_path / name))
    image = read_image(path)
    assert image.dtype == dtype
    np.testing.assert_array_equal(image, values[0])
    assert read_metadata(path) == RECIPE


def test_what_was_not_painted_is_refused(make_napari_viewer_proxy, tmp_path):
    layer = make_napari_viewer_proxy().add_image(np.zeros((4, 4, 3), np.uint8), name="photo")
    with pytest.raises(TypeError, match="“photo” was not painted by Style Transfer"):
        layer.save(str(tmp_path / "a.16bit.tif"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 3)])
def test_a_whole_stack_is_refused(make_napari_viewer_proxy, tmp_path, shape):
    layer = make_napari_viewer_proxy().add_image(
        np.zeros(shape, np.uint8), rgb=len(shape) == 4, name="all", metadata={METADATA_KEY: RECIPE}
    )
    with pytest.raises(TypeError, match="“all” is a whole stack"):
        layer.save(str(tmp_path / "a.16bit.tif"))
    assert not list(tmp_path.iterdir())
