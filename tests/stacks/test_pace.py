from types import SimpleNamespace

import pytest

from napari_neural_style.stacks import pace as module
from napari_neural_style.stacks.pace import StackPace


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)
    return clock


def test_nothing_is_known_before_the_first_step(clock):
    pace = StackPace(anew=1, following=3)
    assert pace.seconds_left is None
    pace.start((0,), follows=False)
    clock.now += 1
    assert pace.seconds_left is None


def test_planes_one_after_another(clock):
    pace = StackPace(anew=1, following=3)
    pace.start((0,), follows=False)
    clock.now += 50
    pace.end((0,), painted=True)
    pace.start((1,), follows=True)
    clock.now += 10
    pace.end((1,), painted=True)
    assert pace.seconds_left == pytest.approx(20)
    pace.start((2,), follows=True)
    clock.now += 5
    pace.step((2,), 0.5)
    assert pace.seconds_left == pytest.approx(15)


def test_the_first_plane_tells_before_its_end(clock):
    pace = StackPace(anew=2, following=0)
    pace.start((0,), follows=False)
    clock.now += 30
    pace.step((0,), 0.25)
    assert pace.seconds_left == pytest.approx(210)


def test_planes_that_follow_are_taken_to_be_quicker(clock):
    pace = StackPace(anew=1, following=9)
    pace.start((0,), follows=False)
    clock.now += 100
    pace.end((0,), painted=True)
    assert 0 < pace.seconds_left < 9 * 100


def test_planes_side_by_side(clock):
    pace = StackPace(anew=8, following=0)
    for index in range(4):
        pace.start((index,), follows=False)
    clock.now += 10
    pace.end((0,), painted=True)
    pace.start((4,), follows=False)
    for index in (1, 2, 3):
        pace.step((index,), 1.0)
    # Seven are left, of which three are at their end; four at a time.
    assert pace.seconds_left == pytest.approx((70 - 30) / 4)


def test_a_plane_that_failed_says_nothing_about_the_others(clock):
    pace = StackPace(anew=3, following=0)
    pace.start((0,), follows=False)
    pace.end((0,), painted=False)
    assert pace.seconds_left is None
    pace.start((1,), follows=False)
    clock.now += 10
    pace.end((1,), painted=True)
    assert pace.seconds_left == pytest.approx(10)


def test_at_the_end_nothing_is_left(clock):
    pace = StackPace(anew=1, following=0)
    pace.start((0,), follows=False)
    clock.now += 3
    pace.end((0,), painted=True)
    assert pace.seconds_left == 0
