import pickle

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_neural_style.plugin.layers import displayed_composite, displayed_plane

from .conftest import picture


def test_one_layer_alone_is_what_its_plane_is():
    viewer = ViewerModel()
    layer = viewer.add_image(picture(), colormap="viridis", gamma=0.7)
    composite = displayed_composite([layer], viewer.dims)
    rgb = composite.rgb()
    np.testing.assert_array_equal(rgb, displayed_plane(layer, viewer.dims).rgb())


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


@pytest.mark.parametrize(
    ("shape", "place"),
    [((12, 15), {}), ((12, 16), {"scale": (1, 2)}), ((12, 16), {"rotate": 10})],
)
def test_layers_that_do_not_lie_on_each_other_are_refused(shape, place):
    viewer = ViewerModel()
    first = viewer.add_image(picture(), name="actin")
    second = viewer.add_image(picture(shape), name="nuclei", **place)
    with pytest.raises(ValueError, match="layer “nuclei” does not lie on the layer “actin”"):
        displayed_composite([first, second], viewer.dims)


def test_there_is_nothing_to_see_without_a_layer():
    with pytest.raises(ValueError, match="no layer to blend"):
        displayed_composite([], ViewerModel().dims)
