import itertools

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_neural_style.plugin.layers import (
    content_mask,
    displayed_composite,
    displayed_plane,
    stack_planes,
)

from .conftest import picture

PLACE = {"scale": (0.5, 2.0), "rotate": 25, "translate": (3.0, -4.0), "units": ("um", "um")}


def regions(shape=(12, 16), seed=0, dtype=np.uint8):
    labels = np.random.default_rng(seed).integers(0, 4, shape).astype(dtype)
    labels.flat[0] = 1
    return labels


def plane_of(viewer, layer):
    return displayed_plane(layer, viewer.dims)


def drawn(viewer, content, shapes, size=None):
    return content_mask(shapes, plane_of(viewer, content), viewer.dims, size)


def world_of_pixels(layer, shape):
    """World coordinates of the pixel centres of a 2-D layer: (H, W, 2)."""
    pixels = itertools.product(*map(range, shape))
    return np.array([layer.data_to_world(pixel) for pixel in pixels]).reshape(*shape, 2)


# ------------------------------------------------------------------------- labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64, bool])
def test_labels_are_the_regions_of_the_content_below_them(dtype):
    viewer = ViewerModel()
    content = viewer.add_image(picture(), **PLACE)
    labels = regions() > 1 if dtype is bool else regions(dtype=dtype)
    layer = viewer.add_labels(labels, **PLACE)
    mask = content_mask(layer, plane_of(viewer, content), viewer.dims)
    np.testing.assert_array_equal(mask, labels)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_labels_of_a_stack_follow_its_displayed_plane(order):
    viewer = ViewerModel()
    data, labels = picture((5, 6, 7)), regions((5, 6, 7))
    content = viewer.add_image(data, scale=(3, 2, 1), contrast_limits=(0, 100))
    layer = viewer.add_labels(labels, scale=(3, 2, 1))
    viewer.dims.order = order
    viewer.dims.current_step = (1, 2, 3)
    plane = plane_of(viewer, content)

    mask = content_mask(layer, plane, viewer.dims)

    cut = {axis: step for axis, step in enumerate((1, 2, 3)) if axis not in order[-2:]}
    expected = labels[tuple(cut.get(axis, slice(None)) for axis in range(3))]
    expected = expected if order[-2] < order[-1] else expected.T
    np.testing.assert_array_equal(mask, expected)
    assert mask.shape == plane.shape()


def test_flat_labels_lie_on_any_plane_of_a_stack_and_stacked_ones_on_a_flat_image():
    viewer = ViewerModel()
    stack = viewer.add_image(picture((5, 6, 7)), scale=(3, 2, 1))
    flat = viewer.add_labels(regions((6, 7)), scale=(2, 1))
    viewer.dims.set_point(0, 6)
    np.testing.assert_array_equal(
        content_mask(flat, plane_of(viewer, stack), viewer.dims), flat.data
    )
    image = viewer.add_image(picture((6, 7)), scale=(2, 1))
    stacked = viewer.add_labels(regions((5, 6, 7)), scale=(3, 2, 1))
    np.testing.assert_array_equal(
        content_mask(stacked, plane_of(viewer, image), viewer.dims), stacked.data[2]
    )


def test_each_plane_of_a_stack_has_its_own_regions():
    viewer = ViewerModel()
    labels = regions((4, 6, 7))
    stack = viewer.add_image(picture((4, 6, 7)), scale=(0.5, 2, 1))
    layer = viewer.add_labels(labels, scale=(0.5, 2, 1))
    source = stack_planes(stack, viewer.dims)
    for index in range(4):
        mask = content_mask(layer, source.plane((index,)), viewer.dims)
        np.testing.assert_array_equal(mask, labels[index])


def test_units_of_the_labels_may_be_others_that_mean_the_same():
    viewer = ViewerModel()
    content = viewer.add_image(picture(), scale=(0.5, 0.25), units=("um", "um"))
    layer = viewer.add_labels(regions(), scale=(500, 250), units=("nm", "nm"))
    np.testing.assert_array_equal(
        content_mask(layer, plane_of(viewer, content), viewer.dims), layer.data
    )


@pytest.mark.parametrize("lazy", [False, True])
def test_labels_have_the_resolution_that_is_read_of_the_content(lazy):
    viewer = ViewerModel()
    levels = [picture((32, 48)), picture((16, 24)), picture((8, 12))]
    content = viewer.add_image(levels, multiscale=True)
    full = np.kron(regions((8, 12)), np.ones((4, 4), int))
    pyramid = [full, full[::2, ::2], full[::4, ::4]]
    pyramid = [da.from_array(level, chunks=8) for level in pyramid] if lazy else pyramid
    plane = plane_of(viewer, content)
    for layer in (viewer.add_labels(full), viewer.add_labels(pyramid, multiscale=True)):
        for size, step in ((None, 1), (24, 2), (10, 4)):
            mask = content_mask(layer, plane, viewer.dims, size)
            assert mask.shape == plane.rgb(size).shape[:2]
            np.testing.assert_array_equal(mask, full[::step, ::step])


def test_labels_may_guide_a_composite():
    viewer = ViewerModel()
    channels = [viewer.add_image(picture(seed=seed)) for seed in (0, 1)]
    layer = viewer.add_labels(regions())
    composite = displayed_composite(channels, viewer.dims)
    np.testing.assert_array_equal(content_mask(layer, composite, viewer.dims), layer.data)


@pytest.mark.parametrize(
    ("shape", "place"),
    [((12, 15), {}), ((12, 16), {"scale": (1, 2)}), ((12, 16), {"translate": (0, 0.1)})],
)
def test_labels_that_lie_elsewhere_are_refused_with_both_places(shape, place):
    viewer = ViewerModel()
    content = viewer.add_image(picture(), name="cells")
    layer = viewer.add_labels(regions(shape), name="tissue", **place)
    with pytest.raises(ValueError, match="“tissue” does not lie on the layer “cells”") as raised:
        content_mask(layer, plane_of(viewer, content), viewer.dims)
    assert f"{shape[0]} x {shape[1]} pixels from" in str(raised.value)
    assert "12 x 16 pixels from (0, 0) to (11, 15)" in str(raised.value)


def test_labels_without_any_label_on_the_plane_are_refused():
    viewer = ViewerModel()
    content = viewer.add_image(picture((3, 12, 16)), name="cells")
    labels = np.zeros((3, 12, 16), int)
    labels[2] = 1
    layer = viewer.add_labels(labels, name="tissue")
    viewer.dims.set_point(0, 1)
    with pytest.raises(ValueError, match="“tissue” marks nothing of the layer “cells”"):
        content_mask(layer, plane_of(viewer, content), viewer.dims)


# ------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("content_place", [{}, PLACE], ids=["plain", "placed"])
@pytest.mark.parametrize("shapes_place", [{}, {"scale": (2.0, 0.5), "rotate": -40, "shear": [0.3]}])
def test_shapes_cover_the_pixels_whose_centres_lie_in_them(content_place, shapes_place):
    viewer = ViewerModel()
    shape = (40, 30)
    content = viewer.add_image(picture(shape), **content_place)
    units = content.units
    layer = viewer.add_shapes(ndim=2, units=units, **shapes_place)
    world = world_of_pixels(content, shape)
    middle, spread = world.mean(axis=(0, 1)), world.std(axis=(0, 1))
    box = middle + spread * np.array([[-1.03, -1.51], [-1.03, 0.22], [0.41, 0.22], [0.41, -1.51]])
    triangle = middle + spread * np.array([[-0.3, -0.7], [1.3, 0.1], [0.2, 1.45]])
    layer.add_rectangles([layer.world_to_data(corner) for corner in box])
    layer.add_polygons([layer.world_to_data(corner) for corner in triangle])
    layer.add_ellipses([layer.world_to_data(corner) for corner in box + 0.7 * spread])

    mask = drawn(viewer, content, layer)

    low, high = box[0], box[2]
    expected = np.where(((world > low) & (world < high)).all(axis=-1), 1, 0)
    edges = np.roll(triangle, -1, axis=0) - triangle
    offsets = world[..., None, :] - triangle
    sides = edges[:, 0] * offsets[..., 1] - edges[:, 1] * offsets[..., 0]
    expected[(sides > 0).all(axis=-1) | (sides < 0).all(axis=-1)] = 2
    unit = (world - (low + high) / 2 - 0.7 * spread) / ((high - low) / 2)
    expected[(unit**2).sum(axis=-1) < 1] = 3
    assert set(np.unique(expected)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(mask, expected)


def test_shapes_in_other_units_lie_where_they_are_seen():
    viewer = ViewerModel()
    content = viewer.add_image(picture((20, 20)), scale=(0.5, 0.5), units=("um", "um"))
    layer = viewer.add_shapes(ndim=2, units=("nm", "nm"))
    layer.add_rectangles([[900, 1900], [900, 4900], [2900, 4900], [2900, 1900]])
    expected = np.zeros((20, 20), int)
    expected[2:6, 4:10] = 1
    np.testing.assert_array_equal(drawn(viewer, content, layer), expected)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)])
def test_of_shapes_in_a_stack_those_of_the_plane_count(order):
    viewer = ViewerModel()
    content = viewer.add_image(picture((12, 12, 12)), scale=(2, 1, 1))
    layer = viewer.add_shapes(ndim=3, scale=(2, 1, 1))
    hidden, row, column = order
    for place in (3, 5):
        box = np.zeros((4, 3))
        box[:, hidden] = place
        box[:, row] = [1.6, 1.6, place + 0.4, place + 0.4]
        box[:, column] = [2.6, 8.4, 8.4, 2.6]
        layer.add_rectangles(box)
    viewer.dims.order = order
    step = [0, 0, 0]
    step[hidden] = 5
    viewer.dims.current_step = step

    expected = np.zeros((12, 12), int)
    expected[2:6, 3:9] = 2
    np.testing.assert_array_equal(drawn(viewer, content, layer), expected)
    step[hidden] = 4
    viewer.dims.current_step = step
    with pytest.raises(ValueError, match="marks nothing"):
        drawn(viewer, content, layer)


def test_flat_shapes_lie_on_any_plane():
    viewer = ViewerModel()
    content = viewer.add_image(picture((4, 12, 12)))
    layer = viewer.add_shapes([[2.6, 2.6], [2.6, 6.4], [5.4, 6.4], [5.4, 2.6]])
    viewer.dims.set_point(0, 3)
    mask = drawn(viewer, content, layer)
    assert mask.sum() == mask[3:6, 3:7].sum() == 12


def test_shapes_have_the_resolution_that_is_read_of_the_content():
    viewer = ViewerModel()
    content = viewer.add_image([picture((32, 48)), picture((16, 24))], multiscale=True)
    layer = viewer.add_shapes([[7.5, 11.5], [7.5, 31.5], [19.5, 31.5], [19.5, 11.5]])
    for size, step in ((None, 1), (20, 2)):
        expected = np.zeros((32 // step, 48 // step), int)
        expected[8 // step : 20 // step, 12 // step : 32 // step] = 1
        np.testing.assert_array_equal(drawn(viewer, content, layer, size), expected)


def test_shapes_may_reach_over_the_edge():
    viewer = ViewerModel()
    content = viewer.add_image(picture())
    box = np.array([[-50, -50], [-50, 7.5], [5.5, 7.5], [5.5, -50]])
    layer = viewer.add_shapes([box, box + 1000], shape_type=["rectangle", "ellipse"])
    expected = np.zeros((12, 16), int)
    expected[:6, :8] = 1
    np.testing.assert_array_equal(drawn(viewer, content, layer), expected)


@settings(max_examples=30)
@given(st.integers(0, 999))
def test_an_ellipse_is_an_ellipse_however_it_is_turned(seed):
    generator = np.random.default_rng(seed)
    angle = generator.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    radii, centre = generator.uniform(2, 12, 2), generator.uniform(8, 16, 2)
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * radii @ turn.T + centre
    viewer = ViewerModel()
    content = viewer.add_image(picture((24, 24)))
    layer = viewer.add_shapes([corners], shape_type="ellipse")
    offsets = (np.moveaxis(np.mgrid[:24, :24], 0, -1) - centre) @ turn
    np.testing.assert_array_equal(
        drawn(viewer, content, layer), ((offsets / radii) ** 2).sum(axis=-1) <= 1
    )


@pytest.mark.parametrize("kind", ["line", "path"])
def test_shapes_without_area_are_refused(kind):
    viewer = ViewerModel()
    content = viewer.add_image(picture())
    layer = viewer.add_shapes(
        [np.array([[1, 1], [1, 9], [9, 9]]), np.array([[1, 1], [5, 9]])],
        shape_type=["polygon", kind],
        name="sketch",
    )
    with pytest.raises(ValueError, match=f"Shape 2 of “sketch” is a {kind}, which has no area"):
        drawn(viewer, content, layer)


def test_no_shape_at_all_is_refused():
    viewer = ViewerModel()
    content = viewer.add_image(picture(), name="cells")
    layer = viewer.add_shapes(ndim=2, name="sketch")
    with pytest.raises(ValueError, match="“sketch” marks nothing of the layer “cells”"):
        drawn(viewer, content, layer)
