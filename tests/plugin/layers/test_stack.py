import pickle

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_neural_style.plugin.layers import displayed_plane, stack_planes

from .conftest import counted_planes, picture


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (3, 1, 0, 2)])
def test_planes_of_a_stack_are_those_that_the_sliders_show(order):
    viewer = ViewerModel()
    layer = viewer.add_image(
        picture((3, 4, 5, 6)),
        scale=(4, 3, 2, 1),
        axis_labels=("t", "z", "y", "x"),
        colormap="viridis",
        contrast_limits=(0, 99),
    )
    viewer.dims.order = order
    stack = stack_planes(layer, viewer.dims)
    hidden = sorted(order[:2])
    assert stack.axes == tuple("tzyx"[axis] for axis in hidden)
    assert stack.shape == tuple((3, 4, 5, 6)[axis] for axis in hidden)
    for index in np.ndindex(stack.shape):
        step = [0] * 4
        for axis, at in zip(hidden, index, strict=True):
            step[axis] = at
        viewer.dims.current_step = step
        shown, plane = displayed_plane(layer, viewer.dims), stack.plane(index)
        np.testing.assert_array_equal(plane.rgb(), shown.rgb())
        assert plane.geometry.position == shown.geometry.position


def test_a_stack_is_lazy_and_can_be_sent_to_another_process():
    data, computed = counted_planes()
    viewer = ViewerModel()
    layer = viewer.add_image(data, contrast_limits=(0, 100), cache=False)
    computed.clear()

    stack = stack_planes(layer, viewer.dims)
    plane = stack.plane((4,))
    assert computed == []
    np.testing.assert_allclose(plane.rgb()[..., 0], picture((8, 8), seed=4) / 100, atol=1e-6)
    assert set(computed) == {4}

    held = viewer.add_image(picture((60, 16, 16)), contrast_limits=(0, 100))
    stack = pickle.loads(pickle.dumps(stack_planes(held, viewer.dims)))
    assert len(pickle.dumps(stack.plane((7,)))) < held.data.nbytes / 2
    np.testing.assert_allclose(stack.plane((7,)).rgb()[..., 0], held.data[7] / 100, atol=1e-6)


def test_planes_of_a_pyramid_have_the_resolution_asked_for():
    levels = [picture((8, 16, 16)), picture((4, 8, 8))]
    viewer = ViewerModel()
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 100))
    stack = stack_planes(layer, viewer.dims)
    assert stack.shape == (8,)
    rgb = stack.plane((6,)).rgb(8)
    np.testing.assert_allclose(rgb[..., 0], levels[1][3] / 100, atol=1e-6)


def test_a_thick_slice_does_not_reach_into_the_planes_of_a_stack():
    viewer = ViewerModel()
    layer = viewer.add_image(picture((9, 5, 6)), projection_mode="max", contrast_limits=(0, 100))
    viewer.dims.thickness = (5.0, 0.0, 0.0)
    plane = stack_planes(layer, viewer.dims).plane((3,))
    np.testing.assert_allclose(plane.rgb()[..., 0], layer.data[3] / 100, atol=1e-6)


def test_what_is_no_stack_or_not_in_it_is_refused():
    viewer = ViewerModel()
    flat = viewer.add_image(picture(), name="flat")
    with pytest.raises(ValueError, match="“flat” is a single plane: a whole stack needs"):
        stack_planes(flat, viewer.dims)
    layer = viewer.add_image(picture((3, 5, 6)))
    stack = stack_planes(layer, viewer.dims)
    for index in ((3,), (-1,), (0, 0), ()):
        with pytest.raises(IndexError, match=r"no plane .* in a stack of \(3,\)"):
            stack.plane(index)
    viewer.dims.ndisplay = 3
    with pytest.raises(ValueError, match="shown as a volume"):
        stack_planes(layer, viewer.dims)
