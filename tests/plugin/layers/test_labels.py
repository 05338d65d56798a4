"""Labels of whole stacks lie where they are seen."""

import itertools

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_neural_style.plugin.layers import content_mask, stack_mask, stack_planes

from .conftest import picture


def labels_of(shape, seed=0):
    labels = np.random.default_rng(seed).integers(0, 4, shape)
    labels[..., 0, 0] = 1
    return labels


def masks(viewer, layer, content, size=None):
    """The mask of each plane of a whole stack, by its index."""
    source = stack_planes(content, viewer.dims)
    mask = stack_mask(layer, source, source.plane((0,) * len(source.shape)), viewer.dims, size)
    return {index: mask.plane(index) for index in np.ndindex(source.shape)}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_each_plane_has_the_labels_that_the_slider_shows_on_it(order, lazy):
    viewer = ViewerModel()
    data, labels = picture((5, 6, 7)), labels_of((5, 6, 7))
    content = viewer.add_image(data, scale=(3, 2, 1), translate=(1, 0, 0))
    layer = viewer.add_labels(
        da.from_array(labels, chunks=3) if lazy else labels,
        scale=(3, 2, 1),
        translate=(1, 0, 0),
    )
    viewer.dims.order = order
    source = stack_planes(content, viewer.dims)
    for index, mask in masks(viewer, layer, content).items():
        np.testing.assert_array_equal(mask, np.take(labels, index[0], order[0]))
        shown = content_mask(layer, source.plane(index), viewer.dims)
        np.testing.assert_array_equal(mask if order[1] < order[2] else mask.T, shown)


@pytest.mark.parametrize(
    ("place", "planes"),
    [
        ({"translate": (2, 0, 0)}, (None, None, 0, 1, 2)),
        ({"scale": (2, 1, 1)}, (0, 0, 1, 2, 2)),
        ({"scale": (0.5, 1, 1)}, (0, 2, None, None, None)),
        ({"scale": (-1, 1, 1), "translate": (3, 0, 0)}, (None, 2, 1, 0, None)),
        ({"affine": np.diag([1, 1, 1, 1]) + np.eye(4, k=3)}, (None, 0, 1, 2, None)),
        ({"scale": (1000, 1, 1), "units": ("nm", "um", "um")}, (0, 1, 2, None, None)),
    ],
)
def test_labels_elsewhere_along_the_stack_stay_there(place, planes):
    viewer = ViewerModel()
    content = viewer.add_image(picture((5, 6, 7)), units=("um", "um", "um"))
    labels = labels_of((3, 6, 7))
    place = {"units": ("um", "um", "um"), **place}
    for index, mask in masks(viewer, viewer.add_labels(labels, **place), content).items():
        plane = planes[index[0]]
        expected = np.zeros((6, 7)) if plane is None else labels[plane]
        np.testing.assert_array_equal(mask, expected)


def test_labels_of_a_volume_count_at_all_times():
    viewer = ViewerModel()
    content = viewer.add_image(picture((2, 3, 6, 7)))
    labels = labels_of((3, 6, 7))
    for (_, z), mask in masks(viewer, viewer.add_labels(labels), content).items():
        np.testing.assert_array_equal(mask, labels[z])


def test_labels_have_the_resolution_of_the_planes():
    viewer = ViewerModel()
    content = viewer.add_image([picture((4, 8, 8)), picture((2, 4, 4))], multiscale=True)
    full = np.kron(labels_of((2, 4, 4)), np.ones((2, 2, 2), int))
    for layer in (
        viewer.add_labels(full),
        viewer.add_labels([full, full[::2, ::2, ::2]], multiscale=True),
    ):
        source = stack_planes(content, viewer.dims)
        mask = stack_mask(layer, source, source.plane((0,)), viewer.dims, 4)
        assert mask.shape == source.level(4).shape == (2, 4, 4)
        for t in range(2):
            np.testing.assert_array_equal(mask[t, :, :], full[2 * t, ::2, ::2])


def test_labels_that_lie_on_no_plane_are_refused():
    viewer = ViewerModel()
    content = viewer.add_image(picture((3, 6, 7)), name="cells")
    labels = labels_of((3, 6, 7))
    for layer in (
        viewer.add_labels(labels, translate=(9, 0, 0), name="tissue"),
        viewer.add_labels(da.from_array(labels), translate=(9, 0, 0), name="tissue"),
        viewer.add_labels(0 * labels, name="tissue"),
    ):
        with pytest.raises(ValueError, match=r"“tissue.*” marks nothing of the layer “cells”"):
            masks(viewer, layer, content)
    with pytest.raises(ValueError, match="does not lie on the layer “cells”"):
        masks(viewer, viewer.add_labels(labels, translate=(0, 1, 0)), content)


def test_labels_in_units_that_do_not_fit_along_the_stack_are_refused():
    viewer = ViewerModel()
    content = viewer.add_image(picture((3, 6, 7)), units=("s", "um", "um"))
    layer = viewer.add_labels(labels_of((3, 6, 7)), units=("um", "um", "um"), name="tissue")
    with pytest.raises(ValueError, match="“tissue” is measured in micrometer"):
        masks(viewer, layer, content)


def test_labels_are_read_plane_by_plane():
    viewer = ViewerModel()
    content = viewer.add_image(picture((6, 8, 8)))
    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"][0])
        return np.ones((1, 8, 8), int)

    labels = da.map_blocks(block, chunks=((1,) * 6, (8,), (8,)), dtype=int)
    layer = viewer.add_labels(labels, cache=False)
    computed.clear()
    source = stack_planes(content, viewer.dims)
    mask = stack_mask(layer, source, source.plane((0,)), viewer.dims, None)
    assert computed == []
    assert mask[3, :, :].all()
    assert set(computed) == {3}
