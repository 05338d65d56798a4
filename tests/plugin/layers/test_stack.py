import pickle

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_neural_style.plugin.layers import (
    displayed_composite,
    displayed_plane,
    stack_composite,
    stack_planes,
)

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


@pytest.fixture
def channels():
    """A viewer with two channels of (t, z, y, x), and a picture in colour over all planes."""
    viewer = ViewerModel()
    names, scale = ["actin", "nuclei"], (5, 3, 2, 1)
    data = picture((3, 2, 4, 6, 7))  # t, channels, z, y, x
    viewer.add_image(data, channel_axis=1, name=names, scale=scale, gamma=0.7)
    viewer.add_image(picture((6, 7, 3)), rgb=True, scale=scale[2:], opacity=0.4, name="grid")
    return viewer


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2)])
def test_planes_of_several_channels_are_what_the_sliders_show(channels, order):
    channels.dims.order = order
    stack = stack_composite(channels.layers, channels.dims, (0.2, 0.3, 0.4))
    assert stack.shape == (3, 4)
    for index in np.ndindex(stack.shape):
        channels.dims.current_step = (*index, 0, 0)
        shown = displayed_composite(channels.layers, channels.dims, (0.2, 0.3, 0.4))
        np.testing.assert_array_equal(stack.plane(index).rgb(), shown.rgb())
        assert stack.plane(index).geometry.position == shown.geometry.position


def test_several_channels_are_told_from_others_by_all_of_their_pixels(channels):
    def evidence():
        stack = stack_composite(channels.layers, channels.dims)
        return b"".join(pixels.tobytes() for pixels in stack.evidence(None))

    before = evidence()
    channels.layers["nuclei"].data[1, 2, 3, 3] += 1
    changed = evidence()
    channels.layers["actin"].opacity = 0.9
    assert len({before, changed, evidence()}) == 3


def test_of_pyramids_the_resolutions_that_all_channels_have_are_taken():
    viewer = ViewerModel()
    for seed, sides in enumerate([(32, 16, 8), (32, 8)]):
        levels = [picture((3, side, side), seed=seed) for side in sides]
        viewer.add_image(levels, multiscale=True, blending="additive")
    stack = stack_composite(viewer.layers, viewer.dims)
    assert [level.shape for level in stack.levels] == [(3, 32, 32, 3), (3, 8, 8, 3)]


@pytest.mark.parametrize(
    ("shape", "place", "words"),
    [
        ((3, 6, 7), {"translate": (0, 1, 0)}, "pixel on pixel"),
        ((3, 6, 7), {"translate": (1, 0, 0)}, "plane on plane"),
        ((3, 6, 7), {"scale": (2, 1, 1)}, "plane on plane"),
        ((4, 6, 7), {}, "plane on plane"),
        ((3, 6, 7), {"units": ("s", "um", "um")}, "give both layers units"),
    ],
)
def test_channels_with_planes_elsewhere_are_refused(shape, place, words):
    viewer = ViewerModel()
    viewer.add_image(picture((3, 6, 7)), units=("um",) * 3, name="actin")
    viewer.add_image(picture(shape), **{"units": ("um",) * 3, **place}, name="nuclei")
    with pytest.raises(ValueError, match=words):
        stack_composite(viewer.layers, viewer.dims)
