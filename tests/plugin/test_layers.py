import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_neural_style.plugin.layers import (
    METADATA_KEY,
    displayed_plane,
    is_result,
    quoted,
    thumbnail,
)


def picture(shape=(12, 16), dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def shown_by_napari(layer):
    return np.asarray(layer._slice.image.raw)


def edges(layer, axes):
    """World coordinates of the four outer corners of the layer's plane."""
    low, high = np.full(layer.ndim, 0.0), np.full(layer.ndim, 0.0)
    low[axes] = -0.5
    high[axes] = np.array(layer.data.shape[: layer.ndim])[axes] - 0.5
    corners = []
    for row in (low, high):
        for column in (low, high):
            corner = low.copy()
            corner[axes[0]], corner[axes[1]] = row[axes[0]], column[axes[1]]
            corners.append(layer.data_to_world(corner))
    return np.array(corners)


GEOMETRIES = {
    "plain": {},
    "anisotropic": {"scale": (0.5, 3.0), "translate": (-7.0, 11.0)},
    "rotated": {"scale": (2.0, 3.0), "rotate": 30, "translate": (5.0, 0.0)},
    "sheared": {"scale": (2.0, 3.0), "rotate": -20, "shear": [0.4]},
    "affine": {"scale": (0.1, 0.2), "affine": [[1.0, 0.3, 9], [-0.2, 2.0, 3], [0, 0, 1]]},
    "units": {"scale": (0.1, 0.2), "units": ("um", "nm"), "axis_labels": ("row", "column")},
}


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("shape", [(12, 16), (3, 4), (5, 7), (24, 40)])
def test_result_of_any_resolution_covers_the_content_to_its_edges(name, shape):
    viewer = ViewerModel()
    content = viewer.add_image(picture(), **GEOMETRIES[name])
    geometry = displayed_plane(content, viewer.dims).geometry

    data, placement = geometry.place(np.zeros((*shape, 3), np.uint8))
    result = viewer.add_image(data, rgb=True, **placement, **geometry.orientation)

    np.testing.assert_allclose(edges(result, [0, 1]), edges(content, [0, 1]), atol=1e-9)
    assert result.units == content.units
    assert result.axis_labels == content.axis_labels


@pytest.mark.parametrize("name", GEOMETRIES)
def test_result_of_full_resolution_has_the_very_attributes_of_the_content(name):
    viewer = ViewerModel()
    content = viewer.add_image(picture(), **GEOMETRIES[name])
    geometry = displayed_plane(content, viewer.dims).geometry

    _, placement = geometry.place(np.zeros((12, 16, 3), np.uint8))
    result = viewer.add_image(
        np.zeros((12, 16, 3), np.uint8), rgb=True, **placement, **geometry.orientation
    )

    for attribute in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_array_equal(getattr(result, attribute), getattr(content, attribute))
    np.testing.assert_array_equal(result.affine.affine_matrix, content.affine.affine_matrix)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 1, 3), (3, 1, 2, 0), (0, 1, 3, 2)])
def test_result_of_a_stack_lies_in_the_plane_it_was_made_from(order):
    viewer = ViewerModel()
    content = viewer.add_image(
        picture((5, 6, 7, 8)), scale=(4.0, 3.0, 0.5, 0.25), translate=(1.0, 2.0, 3.0, 4.0)
    )
    viewer.dims.order = order
    viewer.dims.current_step = (3, 2, 4, 5)
    point = viewer.dims.point

    plane = displayed_plane(content, viewer.dims)
    height, width = plane.rgb().shape[:2]
    data, placement = plane.geometry.place(np.zeros((2 * height, 3 * width, 3), np.uint8))
    result = viewer.add_image(data, rgb=True, **placement, **plane.geometry.orientation)

    axes = sorted(order[-2:])
    np.testing.assert_allclose(
        edges(result, axes)[:, axes], edges(content, axes)[:, axes], atol=1e-9
    )
    assert viewer.dims.point == point
    for axis in set(range(4)) - set(axes):
        assert result.data.shape[axis] == 1
        world = content.data_to_world((3, 2, 4, 5))[axis]
        assert result.data_to_world((0, 0, 0, 0))[axis] == pytest.approx(world)
    assert not result._slice.empty


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
    computed = []

    def block(block_info=None):
        location = block_info[None]["chunk-location"]
        computed.append(location[0])
        return picture((1, 8, 8), seed=location[0])

    data = da.map_blocks(block, chunks=((1,) * 6, (8,), (8,)), dtype=np.uint8)
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
    np.testing.assert_array_equal(thumbnail(layer, viewer.dims, 30)[..., 0], expected)


@pytest.mark.parametrize("data", [da.zeros((40, 40)), np.zeros((40, 40))], ids=["lazy", "constant"])
def test_where_there_is_no_better_thumbnail_it_is_napari_s_own(data):
    viewer = ViewerModel()
    layer = viewer.add_image(data)
    np.testing.assert_array_equal(
        thumbnail(layer, viewer.dims, 30), np.asarray(layer.thumbnail)[..., :3]
    )


def test_long_names_are_shortened_in_messages():
    viewer = ViewerModel()
    assert quoted(viewer.add_image(picture(), name="short")) == "“short”"
    layer = viewer.add_image(picture(), name="2024-03-12_experiment_07_actin_channel_488nm_raw")
    assert quoted(layer) == "“2024-03-12_exper…hannel_488nm_raw”"


def test_results_are_told_by_their_recipe():
    viewer = ViewerModel()
    assert not is_result(viewer.add_image(picture()))
    assert is_result(viewer.add_image(picture(), metadata={METADATA_KEY: {}}))
