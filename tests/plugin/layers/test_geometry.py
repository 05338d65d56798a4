import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import Dims, ViewerModel
from napari.layers import Image
from scipy.stats import special_ortho_group

from napari_neural_style.plugin.layers import displayed_plane, stack_planes

from .conftest import picture


def edges(layer, axes, position=None):
    """World coordinates of the four outer corners of a plane of the layer."""
    corners = []
    for ends in itertools.product((0, 1), repeat=2):
        corner = np.zeros(layer.ndim) if position is None else np.array(position, float)
        for axis, end in zip(axes, ends, strict=True):
            corner[axis] = end * layer.data.shape[axis] - 0.5
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


@st.composite
def places(draw):
    """The number of axes, and how they lie in the world."""
    ndim = draw(st.integers(2, 4))
    seed = draw(st.integers(0, 2**16))
    generator = np.random.default_rng(seed)
    rotation = special_ortho_group.rvs(ndim, random_state=seed)
    affine = np.eye(ndim + 1)
    affine[:ndim, :ndim] += generator.uniform(-0.2, 0.2, (ndim, ndim))
    affine[:ndim, ndim] = generator.uniform(-9, 9, ndim)
    place = {
        "scale": generator.uniform(0.01, 10, ndim),
        "translate": generator.uniform(-100, 100, ndim),
        "rotate": rotation,
        "shear": generator.uniform(-0.5, 0.5, ndim * (ndim - 1) // 2),
        "affine": affine,
        "units": draw(st.lists(st.sampled_from(["um", "nm", "mm"]), min_size=ndim, max_size=ndim)),
    }
    taken = draw(st.sets(st.sampled_from(list(place))))
    return ndim, {name: place[name] for name in sorted(taken)}


SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


# napari warns of a plane that is tilted out of the canvas, which it draws untilted.
@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@settings(max_examples=50)
@given(places(), st.data(), SIDES)
def test_results_of_any_content_have_its_outer_edges(place, data, sides):
    ndim, place = place
    content = Image(picture((3, 5, 12, 16)[4 - ndim :]), **place)
    dims = Dims(ndim=ndim, order=data.draw(st.permutations(range(ndim))))
    shown = dims.order[-2:]
    if ndim == 2:
        geometry = displayed_plane(content, dims).geometry
    else:
        stack = stack_planes(content, dims)
        index = tuple(data.draw(st.integers(0, length - 1)) for length in stack.shape)
        geometry = stack.plane(index).geometry
        shape = np.array(content.data.shape)
        shape[list(shown)] = sides
        placement = stack.geometry.place_stack([*shape, 3], content.data.shape)
        result = np.zeros((*shape, 3), np.uint8)
        result = Image(result, rgb=True, **placement, **geometry.orientation)
        np.testing.assert_allclose(
            edges(result, shown, geometry.position),
            edges(content, shown, geometry.position),
            atol=1e-8,
        )

    for image in (np.zeros((*sides, 4), np.uint8), np.zeros(sides, np.uint16)):
        result, placement = geometry.place(image)
        result = Image(result, rgb=image.ndim == 3, **placement, **geometry.orientation)
        np.testing.assert_allclose(
            edges(result, shown), edges(content, shown, geometry.position), atol=1e-8
        )


def test_a_result_of_a_coarser_pyramid_has_the_outer_edges_of_the_stack():
    data, viewer = picture((9, 8, 16)), ViewerModel()
    content = viewer.add_image(data, scale=(4, 3, 2), translate=(1, 2, 3), rotate=20)
    geometry = stack_planes(content, viewer.dims).geometry
    placement = geometry.place_stack((3, 4, 4), data.shape)
    result = viewer.add_image(np.zeros((3, 4, 4)), **placement, **geometry.orientation)
    for end in itertools.product((0, 1), repeat=3):
        corners = [
            layer.data_to_world(np.array(end) * layer.data.shape - 0.5)
            for layer in (content, result)
        ]
        np.testing.assert_allclose(*corners)
