import pickle

import dask.array as da
import numpy as np
import pytest

from napari_neural_style.images.blending import BlendedStack, Channel, Picture, blend
from napari_neural_style.images.rendering import ColorTable, Rendering

RED = ColorTable(np.linspace([0, 0, 0, 1], [1, 0, 0, 1], 1024, dtype=np.float32), True, None, None)


def channels(*shapes):
    """Channels of whole numbers up to 99, the first one red."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 100, shape).astype(np.uint16) for shape in shapes]
    tables = (RED, *[None] * len(shapes))
    return [
        Channel(array, Rendering("channel", (0, 99), table=table), opacity=0.5)
        for array, table in zip(arrays, tables, strict=False)
    ]


def test_a_stack_is_blended_where_it_is_read():
    first, second, flat = parts = channels((3, 4, 6, 8), (3, 4, 6, 8), (6, 8))
    stack = BlendedStack(parts)
    assert stack.shape == (3, 4, 6, 8, 3)
    red = first.data[2, 1] / 99 / 2
    gray = np.minimum(second.data[2, 1] / 99 / 2 + flat.data / 99 / 2, 1)
    expected = np.stack([np.minimum(red + gray, 1), gray, gray], -1)
    np.testing.assert_allclose(stack[2, 1], expected, atol=2 / 255)
    whole = np.asarray(stack)
    for key in ((2, 1), (..., 0), (-1, slice(1, 3), 2), (slice(None), 0, ..., slice(1))):
        np.testing.assert_array_equal(stack[key], whole[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack))[1], whole[1])


def test_only_the_plane_asked_for_is_read():
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"][0])
        return np.full((1, 4, 5), 3.0)

    lazy = da.map_blocks(block, chunks=((1,) * 6, (4,), (5,)), dtype=float)
    stack = BlendedStack([Channel(lazy, Rendering("lazy", (0, 6)))])
    read.clear()
    np.testing.assert_allclose(stack[4], 0.5, atol=0.6 / 255)
    assert read == [4]


class Files:
    """Planes that are read by their number."""

    shape, dtype = (6, 4, 5), np.dtype(float)

    def __getitem__(self, index):
        assert index[1:] == (slice(None), slice(None))
        return np.full((4, 5), float(range(6)[index[0]]))


def test_planes_that_are_read_by_their_number():
    stack = BlendedStack([Channel(Files(), Rendering("files", (0, 10)))] * 2)
    for number in (3, -3):
        np.testing.assert_allclose(stack[number], 0.6, atol=1 / 255)


def test_the_canvas_has_the_eight_bits_of_a_frame_buffer():
    """An opacity of 0.3 are 77 steps, 0.7 are 178; 77 of 100 steps and 178 of 50 are 30 and 35."""
    below, above = (np.full((2, 2, 3), steps / 255, np.float32) for steps in (100, 50))
    pictures = [Picture(below, 0.3, "translucent"), Picture(above, 0.7, "additive")]
    np.testing.assert_allclose(blend(pictures) * 255, 30 + 35, rtol=1e-6)
    pictures[1] = Picture(above, 0.7, "translucent")
    np.testing.assert_allclose(blend(pictures) * 255, 35 + 9, rtol=1e-6)  # 77 of 30


def test_channels_in_colour_lie_over_others():
    rgba = np.zeros((2, 4, 5, 4), np.uint8)
    rgba[..., 1], rgba[:, :2, :, 3] = 255, 255
    (below,) = channels((2, 4, 5))
    above = Channel(rgba, Rendering("above", (0, 255)), "translucent", in_color=True)
    stack = BlendedStack([below, above])
    np.testing.assert_array_equal(stack[1, :2], np.broadcast_to([0, 1, 0], (2, 5, 3)))
    np.testing.assert_array_equal(stack[1, 2:], BlendedStack([below])[1, 2:])


def test_channels_of_other_shapes_and_unknown_blendings_are_refused():
    with pytest.raises(ValueError, match=r"the shape \(2, 6, 8\) and another channel \(3, 6, 8\)"):
        BlendedStack(channels((3, 6, 8), (2, 6, 8)))
    with pytest.raises(ValueError, match="The blending exclusive is unknown"):
        blend([Picture(np.zeros((2, 2, 3)), 1, way) for way in ("opaque", "exclusive")])
