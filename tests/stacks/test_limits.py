import numpy as np
import pytest

from napari_neural_style.stacks.axes import Axes
from napari_neural_style.stacks.limits import find_limits


def limits(stack, letters="TYX"):
    return find_limits(stack, Axes.of(letters, stack))


def ramp(dtype, low, high, planes=3):
    return np.linspace(low, high, planes * 20).reshape(planes, 4, 5).astype(dtype)


@pytest.mark.parametrize(
    ("stack", "letters", "expected"),
    [
        (ramp(np.uint16, 100, 4000), "TYX", (100, 4000)),
        (ramp(np.int32, -50, 70), "ZYX", (-50, 70)),
        (ramp(np.float32, -2, 3.5), "TYX", (-2, 3.5)),
        (ramp(np.float64, 0.25, 0.75), "TYX", (0, 1)),
        (ramp(np.uint8, 20, 90), "TYX", (0, 255)),
        (ramp(bool, 0, 1), "TYX", (0, 1)),
        (np.stack([ramp(np.uint16, 9, 900)] * 3, -1), "TYXS", (0, 65535)),
    ],
)
def test_limits_are_common_to_all_planes(stack, letters, expected):
    assert limits(stack, letters) == {(): expected}


def test_each_channel_has_its_own():
    stack = np.stack([ramp(np.uint16, 0, 50), ramp(np.uint16, 1000, 60000)], axis=1)
    assert limits(stack, "TCYX") == {(0,): (0, 50), (1,): (1000, 60000)}


def test_planes_that_cannot_be_used_do_not_count():
    class Damaged:
        shape, dtype = (3, 4, 5), np.dtype(np.float32)

        def __getitem__(self, index):
            if index[0] == 1:
                raise OSError("damaged chunk")
            return stack[index]

    stack = ramp(np.float32, 0, 30)
    stack[2, 0, 0] = np.nan
    assert limits(Damaged()) == {(): (0, pytest.approx(float(stack[0].max())))}


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_where_there_is_nothing_to_see(value):
    with pytest.raises(ValueError, match="nothing to paint in the stack"):
        limits(np.full((3, 4, 5), value))


def test_of_a_long_stack_some_planes_are_read():
    class Counted:
        shape, dtype = (1000, 4, 5), np.dtype(np.uint16)
        read = 0

        def __getitem__(self, index):
            Counted.read += 1
            return np.full((4, 5), index[0], np.uint16)

    assert limits(Counted())[()][1] > 900
    assert Counted.read <= 32
