import pickle

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_neural_style.plugin.layers import displayed_composite, displayed_plane

from .conftest import close, picture


def test_one_layer_alone_is_what_its_plane_is_in_eight_bits():
    viewer = ViewerModel()
    layer = viewer.add_image(picture(), colormap="viridis", gamma=0.7)
    composite = displayed_composite([layer], viewer.dims)
    rgb = composite.rgb()
    close(rgb, displayed_plane(layer, viewer.dims).rgb(), 1 / 255)
    np.testing.assert_allclose(rgb * 255, np.rint(rgb * 255), atol=1e-4)


def test_channels_of_a_pyramid_are_read_at_the_resolution_they_all_have():
    viewer = ViewerModel()
    sides = (64, 32, 16)
    first = viewer.add_image([picture((side, side)) for side in sides], multiscale=True)
    second = viewer.add_image(
        [picture((side, side), seed=1) for side in (64, 16)], multiscale=True, blending="additive"
    )
    composite = displayed_composite([first, second], viewer.dims)
    for size, side in ((None, 64), (20, 64), (16, 16), (100, 64)):
        assert composite.shape(size) == (side, side)
        assert composite.rgb(size).shape == (side, side, 3)


def test_of_a_flat_layer_and_a_stack_the_composite_lies_in_the_stack():
    viewer = ViewerModel()
    flat = viewer.add_image(picture((6, 7)), scale=(2, 1))
    stack = viewer.add_image(picture((5, 6, 7)), scale=(3, 2, 1), blending="additive")
    viewer.dims.set_point(0, 6)
    composite = displayed_composite([flat, stack], viewer.dims)
    assert composite.geometry.position == (2, 0, 0)
    expected = displayed_plane(flat, viewer.dims).rgb() + displayed_plane(stack, viewer.dims).rgb()
    np.testing.assert_allclose(composite.rgb(), np.minimum(expected, 1), atol=1e-6)


def test_a_blank_channel_is_no_obstacle_but_a_blank_composite_is():
    viewer = ViewerModel()
    blank = viewer.add_image(np.zeros((12, 16)), contrast_limits=(0, 1), name="blank")
    cells = viewer.add_image(picture(), blending="additive")
    alone = displayed_plane(cells, viewer.dims).rgb()
    np.testing.assert_array_equal(displayed_composite([blank, cells], viewer.dims).rgb(), alone)
    with pytest.raises(ValueError, match="composite of “blank” is constant"):
        displayed_composite([blank], viewer.dims).rgb()


def test_a_composite_can_be_sent_to_another_process():
    viewer = ViewerModel()
    layers = [viewer.add_image(picture(seed=seed), blending="additive") for seed in (0, 1)]
    composite = displayed_composite(layers, viewer.dims)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(composite)).rgb(), composite.rgb())


def test_layers_of_other_pixels_are_sampled_in_the_smallest():
    viewer = ViewerModel()
    binned = viewer.add_image(picture((6, 8)), scale=(2, 2), translate=(0.5, 0.5))
    fine = viewer.add_image(picture((12, 16)), blending="additive", opacity=0.5)
    inset = viewer.add_image(picture((4, 5, 3)), rgb=True, translate=(7.2, 12.9))
    composite = displayed_composite([binned, fine, inset], viewer.dims)
    assert composite.geometry.shape == composite.shape() == (12, 16)
    expected = np.kron(displayed_plane(binned, viewer.dims).rgb(), np.ones((2, 2, 1)))
    expected = np.minimum(expected + displayed_plane(fine, viewer.dims).rgb() / 2, 1)
    expected[7:11, 13:] = inset.data[:, :3] / 255
    close(composite.rgb(), expected, 1 / 255)


def test_a_layer_that_lies_elsewhere_is_not_seen():
    viewer = ViewerModel()
    layer = viewer.add_image(picture())
    beside = viewer.add_image(picture(), scale=(2, 2), translate=(0, 18), blending="opaque")
    alone = displayed_plane(layer, viewer.dims).rgb()
    for order in ([layer, beside], [beside, layer]):
        np.testing.assert_array_equal(displayed_composite(order, viewer.dims).rgb(), alone)


def test_of_a_large_layer_only_what_lies_on_the_smallest_pixels_is_read():
    read = []

    def block(block_info=None):
        read.append(tuple(block_info[None]["chunk-location"]))
        return np.full((8, 8), 50 + sum(read[-1]), np.uint8)

    viewer = ViewerModel()
    slide = da.map_blocks(block, chunks=((8,) * 5, (8,) * 5), dtype=np.uint8)
    layers = [
        viewer.add_image([slide, slide[::2, ::2]], multiscale=True, contrast_limits=(0, 100)),
        viewer.add_image(picture(), scale=(0.5, 0.5), translate=(17, 25), blending="additive"),
    ]
    composite = displayed_composite(layers, viewer.dims)
    read.clear()
    composite.rgb()
    assert set(read) == {(2, 3), (2, 4)}


def test_layers_in_units_that_do_not_fit_are_refused():
    viewer = ViewerModel()
    first = viewer.add_image(picture(), name="actin", units=("um", "um"))
    second = viewer.add_image(picture(), name="nuclei", units=("s", "s"))
    with pytest.raises(ValueError, match="“nuclei” is measured in second and the layer “actin”"):
        displayed_composite([first, second], viewer.dims)


def test_there_is_nothing_to_see_without_a_layer():
    with pytest.raises(ValueError, match="no layer to blend"):
        displayed_composite([], ViewerModel().dims)
