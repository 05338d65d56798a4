import math
from types import SimpleNamespace

import pytest

from napari_neural_style import pace as module
from napari_neural_style.pace import Pace, duration, rough_duration


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)
    return clock


def test_steps_of_one_scale(clock):
    pace, steps = Pace([100]), [10]
    for _ in range(5):
        pace.step(0)
        clock.now += 2
    assert pace.seconds_per_step == 2
    assert pace.seconds_left(steps) == 10


def test_nothing_is_known_after_the_first_step(clock):
    pace, steps = Pace([100, 400]), [10, 5]
    pace.step(0)
    assert pace.seconds_per_step is None
    assert pace.seconds_left(steps) is None


def test_coming_scales_cost_as_their_pixels(clock):
    pace, steps = Pace([100, 400, 1600]), [10, 5, 1]
    for _ in range(10):
        pace.step(0)
        clock.now += 1
    assert pace.seconds_left(steps) == 5 * 4 + 1 * 16
    pace.step(1)
    assert pace.seconds_per_step == 4
    assert pace.seconds_left(steps) == 4 * 4 + 16


def test_the_plan_may_change(clock):
    pace = Pace([100, 100])
    for _ in range(3):
        pace.step(0)
        clock.now += 1
    pace.step(0)
    assert pace.seconds_left([10, 5]) == 11
    assert pace.seconds_left([4, 2]) == 2


def test_a_pause_and_the_first_step_of_a_scale_do_not_count(clock):
    pace = Pace([100])
    for step in range(10):
        clock.now += {0: 50, 5: 1000}.get(step, 1)
        pace.step(0)
    assert pace.seconds_per_step == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (4200, "1 h 10 min")],
)
def test_durations_are_said_as_people_do(seconds, text):
    assert duration(seconds) == text


def test_a_run_of_any_length_has_an_end(clock):
    pace, steps = Pace([1]), [3]
    for _ in range(3):
        clock.now += math.pi
        pace.step(0)
    assert pace.seconds_left(steps) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *(
            (0.2, "1 s"),
            (8.4, "8 s"),
            (19.6, "20 s"),
            (47, "45 s"),
            (59, "1 min"),
            (89, "1 min 30 s"),
        ),
        *((187, "3 min"), (280, "4 min 30 s"), (299, "5 min"), (754, "13 min")),
        *((3590, "1 h"), (4300, "1 h 10 min"), (7150, "2 h")),
    ],
)
def test_estimates_are_no_more_exact_than_they_are_known(seconds, text):
    assert rough_duration(seconds) == text
