import pickle

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_neural_style.plugin.layers import displayed_plane, thumbnail

from .conftest import counted_planes, picture


def shown_by_napari(layer):
    return np.asarray(layer._slice.image.raw)


@settings(max_examples=40)
@given(ndim=st.integers(2, 4), extra=st.integers(0, 2), seed=st.integers(0, 99), rgb=st.booleans())
def test_the_pixels_read_are_those_that_napari_shows(ndim, extra, seed, rgb):
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(4, 7, ndim))
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6,) * (ndim + extra)))
    layer = viewer.add_image(picture(shape + (3,) * rgb, seed=seed), rgb=rgb)
    viewer.dims.order = generator.permutation(viewer.dims.ndim)
    viewer.dims.current_step = generator.integers(0, 4, viewer.dims.ndim)

    pixels = displayed_plane(layer, viewer.dims).rgb()

    shown = shown_by_napari(layer)
    low, high = layer.contrast_limits
    expected = np.clip((shown.astype(float) - low) / (high - low), 0, 1)
    expected = expected if rgb else np.repeat(expected[..., None], 3, axis=2)
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", ">u2", "float16", ">f8"])
def test_contrast_limits_apply_to_any_dtype(dtype):
    data = picture(dtype=dtype)
    viewer = ViewerModel()
    layer = viewer.add_image(data)
    layer.contrast_limits = (0, 0.5) if dtype == "bool" else (20, 60)

    low, high = layer.contrast_limits
    expected = np.clip((data.astype(float) - low) / (high - low), 0, 1)
    rgb = displayed_plane(layer, viewer.dims).rgb()

    np.testing.assert_allclose(rgb, np.repeat(expected[..., None], 3, axis=2), atol=1e-3)


def test_gamma_and_colormap_apply():
    data = np.linspace(0, 1, 600 * 3).reshape(600, 3)
    viewer = ViewerModel()
    layer = viewer.add_image(data, gamma=2.0, colormap="viridis")

    rgb = displayed_plane(layer, viewer.dims).rgb()

    expected = layer.colormap.map((data**2).ravel())[:, :3].reshape(600, 3, 3)
    # The canvas looks colours up in a table of 1024.
    np.testing.assert_allclose(rgb, expected, atol=2e-3)


def test_transparency_is_seen_over_black():
    data = np.zeros((4, 4, 4))
    data[..., :3] = 0.8
    data[:2, :, 3] = 0.5
    viewer = ViewerModel()
    layer = viewer.add_image(data, rgb=True, contrast_limits=(0, 1))

    rgb = displayed_plane(layer, viewer.dims).rgb()

    np.testing.assert_allclose(rgb[:2], 0.4, atol=1e-6)
    np.testing.assert_allclose(rgb[2:], 0.0)


@pytest.mark.parametrize("mode", ["none", "mean", "max", "min", "sum"])
@pytest.mark.parametrize("thickness", [0.0, 4.0, 5.0, 7.3])
def test_a_thick_slice_is_projected_as_napari_does(mode, thickness):
    viewer = ViewerModel()
    layer = viewer.add_image(picture((9, 5, 6), float), scale=(2.0, 1.0, 1.0), projection_mode=mode)
    viewer.dims.set_point(0, 9.0)
    viewer.dims.thickness = (thickness, 0.0, 0.0)
    layer.contrast_limits = (0.0, 600.0)

    rgb = displayed_plane(layer, viewer.dims).rgb()

    np.testing.assert_allclose(rgb[..., 0] * 600, shown_by_napari(layer), atol=1e-3)


def test_units_of_the_viewer_need_not_be_those_of_the_layer():
    stack = np.arange(10)[:, None, None] + picture((10, 4, 5)).astype(float)
    viewer = ViewerModel()
    viewer.add_image(stack, scale=(500, 100, 100), units=("nm",) * 3)
    layer = viewer.add_image(stack, scale=(0.5, 0.1, 0.1), units=("um",) * 3)
    viewer.dims.set_point(0, 2000)

    geometry = displayed_plane(layer, viewer.dims).geometry

    assert geometry.position == (4, 0, 0)


def test_only_the_plane_shown_is_computed():
    data, computed = counted_planes()
    viewer = ViewerModel()
    layer = viewer.add_image(data, contrast_limits=(0, 100), cache=False)
    viewer.dims.set_point(0, 4)
    computed.clear()

    plane = displayed_plane(layer, viewer.dims)
    assert computed == []
    rgb = plane.rgb()

    assert set(computed) == {4}
    np.testing.assert_allclose(rgb[..., 0], picture((8, 8), seed=4) / 100, atol=1e-6)


@pytest.mark.parametrize(("size", "side"), [(None, 64), (8, 16), (16, 16), (17, 32), (99, 64)])
def test_of_a_multiscale_layer_the_level_that_suffices_is_read(size, side):
    levels = [picture((side, side // 2)) for side in (64, 32, 16)]
    viewer = ViewerModel()
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 100))

    plane = displayed_plane(layer, viewer.dims)

    assert plane.rgb(size).shape == (side, side // 2, 3)
    assert plane.geometry.shape == (64, 32)


def test_levels_may_shrink_along_the_hidden_axes_too():
    levels = [picture((8, 16, 16)), picture((4, 8, 8))]
    viewer = ViewerModel()
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 100))
    viewer.dims.set_point(0, 6)

    rgb = displayed_plane(layer, viewer.dims).rgb(8)

    np.testing.assert_allclose(rgb[..., 0], levels[1][3] / 100, atol=1e-6)


def test_later_changes_of_the_layer_do_not_reach_the_plane():
    viewer = ViewerModel()
    layer = viewer.add_image(picture((3, 6, 7)), contrast_limits=(0, 100))
    plane = displayed_plane(layer, viewer.dims)
    before = plane.rgb()

    layer.contrast_limits = (0, 10)
    layer.gamma = 0.5
    viewer.dims.set_point(0, 2)
    viewer.layers.clear()

    np.testing.assert_array_equal(plane.rgb(), before)


def test_a_volume_display_is_refused():
    viewer = ViewerModel()
    layer = viewer.add_image(picture((3, 6, 7)))
    viewer.dims.ndisplay = 3
    with pytest.raises(ValueError, match="shown as a volume: switch the viewer to 2-D"):
        displayed_plane(layer, viewer.dims)


def test_a_plane_outside_the_layer_is_refused():
    viewer = ViewerModel()
    viewer.add_image(picture((9, 6, 7)))
    layer = viewer.add_image(picture((3, 6, 7)), name="short", axis_labels=("z", "y", "x"))
    viewer.dims.set_point(0, 7)
    with pytest.raises(ValueError, match=r"“short” has nothing .* along axis z"):
        displayed_plane(layer, viewer.dims)


@pytest.mark.parametrize(
    ("data", "kwargs", "message"),
    [
        (np.full((4, 4), 7), {}, "layer “bad” is constant"),
        (np.array([[0.0, np.nan], [1, 2]]), {}, "layer “bad” holds NaN"),
        (np.array([[0.0, np.inf], [1, 2]]), {"contrast_limits": (0, 1)}, "NaN or infinite"),
        (np.ones((1, 1)), {}, "layer “bad” has 1 x 1 pixels"),
    ],
)
def test_what_cannot_be_stylized_is_named(data, kwargs, message):
    viewer = ViewerModel()
    layer = viewer.add_image(data, name="bad", **kwargs)
    with pytest.raises(ValueError, match=message):
        displayed_plane(layer, viewer.dims).rgb()


def test_thumbnails_are_thinned_planes():
    data = picture((4, 60, 90))
    viewer = ViewerModel()
    layer = viewer.add_image(data, contrast_limits=(0, 100))
    viewer.dims.set_point(0, 2)
    expected = np.rint(np.clip(data[2, ::3, ::3] / 100, 0, 1) * 255)
    np.testing.assert_array_equal(thumbnail([layer], viewer.dims, 30)[..., 0], expected)


@pytest.mark.parametrize("data", [da.zeros((40, 40)), np.zeros((40, 40))], ids=["lazy", "constant"])
def test_where_there_is_no_better_thumbnail_it_is_napari_s_own(data):
    viewer = ViewerModel()
    layer = viewer.add_image(data)
    np.testing.assert_array_equal(
        thumbnail([layer], viewer.dims, 30), np.asarray(layer.thumbnail)[..., :3]
    )


def test_a_transparent_image_is_parted_into_colours_and_alpha():
    data = np.zeros((8, 8, 4))
    data[..., :3] = picture((8, 8, 3)) / 100
    data[..., 3] = 0.5
    data[2:5, 3:6] = 0
    viewer = ViewerModel()
    layer = viewer.add_image(data, rgb=True, contrast_limits=(0, 1), gamma=0.5)

    plane = displayed_plane(layer, viewer.dims)
    rgb, alpha = plane.rendering.straight(plane.values())

    seen = data[..., 3] > 0
    np.testing.assert_allclose(rgb[seen], np.sqrt(data[seen, :3]), atol=1e-6)
    assert rgb[~seen].min() > 0.1
    np.testing.assert_array_equal(alpha, data[..., 3])
    np.testing.assert_allclose(plane.rgb(), rgb * alpha[..., None], atol=1e-6)


def test_other_images_have_no_alpha():
    viewer = ViewerModel()
    for layer in (viewer.add_image(picture()), viewer.add_image(picture((8, 9, 3)), rgb=True)):
        plane = displayed_plane(layer, viewer.dims)
        rgb, alpha = plane.rendering.straight(plane.values())
        assert alpha is None
        np.testing.assert_array_equal(rgb, plane.rgb())


def test_intensity_has_contrast_limits_and_gamma_but_no_colormap():
    viewer = ViewerModel()
    data = picture(dtype=np.uint16)
    layer = viewer.add_image(data, contrast_limits=(20, 60), gamma=2, colormap="viridis")

    plane = displayed_plane(layer, viewer.dims)
    gray = plane.rendering.gray(plane.values())

    expected = np.clip((data.astype(float) - 20) / 40, 0, 1) ** 2
    np.testing.assert_allclose(gray, expected, atol=1e-6)
    np.testing.assert_array_equal(plane.values(), data)
    colour = viewer.add_image(picture((8, 9, 3)), rgb=True, name="photo")
    plane = displayed_plane(colour, viewer.dims)
    with pytest.raises(ValueError, match="layer “photo” is an RGB image"):
        plane.rendering.gray(plane.values())


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_a_plane_can_be_sent_to_another_process(kind, tmp_path):
    data = picture((50, 32, 32))
    source = {
        "numpy": data,
        "dask": da.from_zarr(zarr.array(data, store=str(tmp_path / "a"), chunks=(1, 32, 32))),
        "zarr": zarr.array(data, store=str(tmp_path / "b"), chunks=(1, 32, 32)),
    }[kind]
    viewer = ViewerModel()
    units = ("um",) * 3
    layer = viewer.add_image(source, colormap="viridis", contrast_limits=(0, 99), units=units)
    viewer.dims.set_point(0, 7)
    plane = displayed_plane(layer, viewer.dims)

    sent = pickle.dumps(plane)

    assert len(sent) < data.nbytes
    there = pickle.loads(sent)
    np.testing.assert_array_equal(there.rgb(), plane.rgb())
    assert there.geometry.units == layer.units


def test_of_zarr_only_the_chunks_of_the_plane_are_read(tmp_path):
    data = picture((6, 16, 16))
    viewer = ViewerModel()
    stored = zarr.array(data, store=str(tmp_path), chunks=(1, 16, 16))
    layer = viewer.add_image(stored, contrast_limits=(0, 100))
    viewer.dims.set_point(0, 4)
    for chunk in tmp_path.glob("c/*/0/0"):
        if chunk.parts[-3] != "4":
            chunk.write_bytes(b"damaged")

    rgb = displayed_plane(layer, viewer.dims).rgb()

    np.testing.assert_allclose(rgb[..., 0], data[4] / 100, atol=1e-6)


def test_arrays_with_named_axes_are_read_as_any_other():
    xarray = pytest.importorskip("xarray")
    data = picture((4, 12, 16))
    viewer = ViewerModel()
    layer = viewer.add_image(
        xarray.DataArray(da.from_array(data, chunks=4), dims=("z", "y", "x")),
        contrast_limits=(0, 100),
    )
    viewer.dims.set_point(0, 3)
    rgb = displayed_plane(layer, viewer.dims).rgb()
    np.testing.assert_allclose(rgb[..., 0], data[3] / 100, atol=1e-6)


def test_several_layers_have_a_thumbnail_together():
    viewer = ViewerModel()
    red, blue = np.zeros((90, 60), np.uint8), np.zeros((90, 60), np.uint8)
    red[:45], blue[45:] = 255, 255
    layers = [
        viewer.add_image(data, colormap=name, blending="additive", contrast_limits=(0, 255))
        for data, name in ((red, "red"), (blue, "blue"))
    ]
    small = thumbnail(layers, viewer.dims, 30)
    assert small.shape == (30, 20, 3)
    assert small[0, 0].tolist() == [255, 0, 0]
    assert small[-1, 0].tolist() == [0, 0, 255]
