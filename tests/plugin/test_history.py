import threading
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_neural_style.plugin.history import History

from .conftest import picture


def noise(step):
    """A picture that tells its step and cannot be compressed."""
    return np.random.default_rng(step).integers(0, 256, (8, 8, 3), np.uint8)


SIZE = 200
"""Bytes of such a picture, compressed: at least these."""


def gaps(history):
    """Between the snapshots, but for that before the newest."""
    return [after - before for before, after in pairwise(history.steps[:-1])]


dtypes = st.one_of(
    npst.boolean_dtypes(), npst.integer_dtypes(), npst.unsigned_integer_dtypes(),
    npst.floating_dtypes(sizes=(16, 32, 64)),
)  # fmt: skip
shapes = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.sampled_from([size, (*size, 3), (*size, 4)])
)


@given(st.data())
def test_what_comes_out_equals_what_went_in_to_the_bit(data):
    dtype = data.draw(dtypes)
    image = data.draw(npst.arrays(dtype, shapes))
    history = History(10**6)
    history.add(1, image)
    again = history.nearest(1)
    assert (again.shape, again.dtype) == (image.shape, image.dtype)
    assert again.tobytes() == image.tobytes()


def test_strides_do_not_matter():
    image = picture(32, 40, 3)
    history = History(10**6)
    history.add(1, image[::2, ::-3])
    np.testing.assert_array_equal(history.nearest(1), image[::2, ::-3])


def test_what_comes_out_may_be_painted_over():
    history = History(10**6)
    history.add(1, picture(8, 8))
    history.nearest(1)[:] = 0
    np.testing.assert_array_equal(history.nearest(1), picture(8, 8))


def test_pictures_take_less_than_their_pixels():
    image = picture(96, 96, 3)
    history = History(10**6)
    history.add(1, image)
    assert 0 < history.nbytes < image.nbytes / 2


def test_everything_is_kept_within_the_limit():
    history = History(10**6)
    for step in (1, 2, 5, 6, 30):
        history.add(step, noise(step))
    assert history.steps == (1, 2, 5, 6, 30)
    assert len(history) == 5


@given(
    every=st.integers(1, 5),
    jitter=st.lists(st.integers(0, 4), min_size=2, max_size=120),
    limit=st.integers(0, 40 * SIZE),
)
def test_thinned_evenly_within_the_limit(every, jitter, limit):
    history = History(limit)
    steps = [0, *accumulate(every + more for more in jitter)]
    for count, step in enumerate(steps, start=1):
        history.add(step, noise(step))
        assert history.steps[0] == steps[0]
        assert history.steps[-1] == step
        assert history.nbytes <= limit or len(history) == min(count, 2)
        if (between := gaps(history)) and len(history) < count:
            # Nothing can be closer than the pictures came.
            assert max(between) <= 2 * max(min(between), every + 4)
    for step in history.steps:
        np.testing.assert_array_equal(history.nearest(step), noise(step))


def test_of_pictures_of_each_step_those_kept_are_equally_far_apart():
    history = History(20 * SIZE)
    for step in range(1, 1001):
        history.add(step, noise(step))
        assert len(set(gaps(history))) <= 1
    assert 8 <= len(history) <= 20


def test_larger_pictures_leave_room_for_fewer():
    history = History(46_000)
    for step in range(20):
        history.add(step, noise(step))
    assert len(history) == 20
    larger = np.random.default_rng(0).integers(0, 256, (240, 120, 3), np.uint8)
    history.add(20, larger[:120])
    assert 2 < len(history) < 20
    assert history.nbytes <= 46_000
    history.add(21, larger)
    assert history.steps == (0, 21)


def test_a_run_that_goes_back_forgets_what_came_later():
    history = History(10**6)
    for step in (1, 5, 9, 13):
        history.add(step, noise(step))
    history.add(9, noise(99))
    assert history.steps == (1, 5, 9)
    np.testing.assert_array_equal(history.nearest(9), noise(99))


def test_the_picture_nearest_to_a_step():
    history = History(10**6)
    for step in (1, 5, 9):
        history.add(step, noise(step))
    for asked, found in ((0, 1), (4, 5), (5, 5), (100, 9)):
        np.testing.assert_array_equal(history.nearest(asked), noise(found))


def test_without_a_picture_there_is_none_near():
    with pytest.raises(ValueError, match="no picture of step 7: nothing was painted yet"):
        History(10).nearest(7)


def test_read_while_a_run_adds():
    history = History(12 * SIZE)
    history.add(0, noise(0))
    adding = threading.Thread(target=lambda: [history.add(n, noise(n)) for n in range(1, 2000)])
    adding.start()
    while adding.is_alive():
        step = history.steps[len(history.steps) // 2]
        image = history.nearest(step)
        assert image.tobytes() in {
            noise(n).tobytes() for n in range(step - 256, step + 257) if n >= 0
        }
        assert history.nbytes <= 12 * SIZE
    adding.join()
    assert history.steps[-1] == 1999
