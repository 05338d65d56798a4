import numpy as np
import pytest

from napari_neural_style.plugin.stack_view import PaintedStack, as_layer_data

KEYS = [np.s_[1], np.s_[:, 1], np.s_[..., 0], np.s_[1:3, 0, ::2], np.s_[-1, 1, 2], np.s_[:]]
COLORS = np.arange(2 * 3 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 3, 4, 5, 3)
ALL = set(np.ndindex(2, 3))


@pytest.mark.parametrize("array", [COLORS, COLORS[..., 0]], ids=["rgb", "intensity"])
def test_a_whole_stack_in_order_is_the_array_itself(array):
    assert as_layer_data(PaintedStack(array, ALL), (0, 1, 2, 3)) is array


@pytest.mark.parametrize("array", [COLORS, COLORS[..., 0]], ids=["rgb", "intensity"])
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_axes_are_those_of_the_layer(array, key):
    # Shown were the layer's axes 2 and 0; the stack runs along 1 and 3.
    data = as_layer_data(PaintedStack(array, ALL), (1, 3, 2, 0))
    wanted = np.moveaxis(array, [0, 1, 2, 3], [1, 3, 2, 0])
    assert (data.shape, data.ndim, data.dtype) == (wanted.shape, wanted.ndim, wanted.dtype)
    np.testing.assert_array_equal(data[key], wanted[key])
    np.testing.assert_array_equal(np.asarray(data), wanted)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_the_content_is_seen_where_nothing_is_painted(key):
    finished = {(0, 1), (1, 2)}
    data = as_layer_data(PaintedStack(COLORS, finished), (0, 1, 2, 3))
    alpha = np.zeros((2, 3, 4, 5, 1), np.uint8)
    for index in finished:
        alpha[index] = 255
    np.testing.assert_array_equal(data[key], np.concatenate([COLORS, alpha], -1)[key])
    finished.add((0, 0))
    assert np.asarray(data)[0, 0, ..., 3].all()
