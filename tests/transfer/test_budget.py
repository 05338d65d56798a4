import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_neural_style.transfer.budget import Budget, Stopwatch

BEFORE = 1.5
EXPECTED = (0.03, 0.1, 0.4)
SHARES = (2.56, 1.6, 1.0)


def budget(seconds, expected=EXPECTED, shares=SHARES, after=0.0):
    return Budget(seconds, expected, shares, BEFORE, after)


def simulate(planner, cost, start=0.0, look=lambda step: True):
    """Run to the end on a machine whose steps cost so much; steps made, and when it ended."""
    elapsed = start
    steps = list(planner.plan(0, 0, elapsed))
    for scale in range(len(steps)):
        done = 0
        while done < steps[scale]:
            elapsed += cost(scale, elapsed) * (1 if done else 1 + BEFORE)
            done += 1
            if look(done) or done == steps[scale]:
                steps[scale:] = planner.plan(scale, done, elapsed)
    return steps, elapsed


def test_a_run_as_expected_takes_its_time():
    steps, elapsed = simulate(budget(20), lambda scale, _: EXPECTED[scale])
    assert elapsed == pytest.approx(20, abs=0.2)  # half a step
    assert steps[0] / steps[2] == pytest.approx(2.56, rel=0.05)
    assert steps[1] / steps[2] == pytest.approx(1.6, rel=0.05)


def test_time_that_has_gone_counts():
    *_, elapsed = simulate(budget(20), lambda scale, _: EXPECTED[scale], start=5)
    assert elapsed == pytest.approx(20, abs=0.2)


@pytest.mark.parametrize("factor", [0.1, 0.3, 0.6, 1.6, 3, 5])
def test_a_machine_unlike_the_estimate(factor):
    steps, elapsed = simulate(budget(30), lambda scale, _: factor * EXPECTED[scale])
    assert elapsed == pytest.approx(30, abs=0.5 * factor * EXPECTED[2] + 0.01)
    assert steps == sorted(steps, reverse=True)


@given(st.integers(0, 10**6), st.floats(8, 100))
def test_a_noisy_machine_ends_on_time(seed, seconds):
    noise = random.Random(seed)
    *_, elapsed = simulate(
        budget(seconds),
        lambda scale, _: EXPECTED[scale] * noise.choice((0.7, 0.9, 1.0, 1.0, 1.2, 2.5)),
    )
    assert elapsed == pytest.approx(seconds, rel=0.15)


def test_a_machine_that_becomes_slower_ends_on_time():
    for when in (2, 10, 18):
        *_, elapsed = simulate(
            budget(20), lambda scale, now, w=when: EXPECTED[scale] * (3 if now > w else 1)
        )
        assert elapsed == pytest.approx(20, rel=0.05)


def test_seldom_looks_are_enough():
    """As on a GPU."""
    _, elapsed = simulate(
        budget(2, (0.01, 0.01, 0.015)),
        lambda scale, _: (0.004, 0.005, 0.02)[scale],
        look=lambda step: step in (1, 2, 4, 8) or step % 20 == 0,
    )
    assert elapsed == pytest.approx(2, rel=0.15)


def test_a_large_scale_that_there_is_no_time_for_is_left_out():
    steps, elapsed = simulate(budget(2), lambda scale, _: EXPECTED[scale])
    assert steps[2] == 0
    assert steps[1] >= 5
    assert elapsed == pytest.approx(2, rel=0.1)
    steps, elapsed = simulate(budget(0.5), lambda scale, _: EXPECTED[scale])
    assert steps[1:] == [0, 0]
    assert elapsed == pytest.approx(0.5, rel=0.1)


def test_a_scale_that_turns_out_cheap_is_taken_up_again():
    planner = budget(10, expected=(0.3, 1, 4))
    assert planner.plan(0, 0, 0.0)[2] == 0
    steps, elapsed = simulate(planner, lambda scale, _: EXPECTED[scale])
    assert steps[2] >= 5
    assert elapsed == pytest.approx(10, rel=0.05)


@given(st.floats(1e-3, 1e5), st.lists(st.floats(1e-4, 10), min_size=1, max_size=6), st.booleans())
def test_every_plan_can_be_run(seconds, expected, evenly):
    shares = [1.0 if evenly else 1.6**-n for n in range(len(expected))]
    steps = Budget(seconds, expected, shares, BEFORE, 0).plan(0, 0, 0.0)
    used = [count for count in steps if count]
    assert used
    assert steps == (*used, *[0] * (len(steps) - len(used)))
    assert all(count >= 5 for count in used[-1:] if len(used) > 1)


def test_no_time_left_means_one_step():
    assert budget(1).plan(0, 0, 5.0) == (1, 0, 0)
    assert budget(1).plan(1, 7, 5.0) == (7, 0)


def test_however_little_time_there_is_there_is_a_step():
    for shares in ((0, 1, 2), (0, 0, 1), (1, 0, 0)):
        assert sum(budget(0.001, shares=shares).plan(0, 0, 0.0)) >= 1


def test_scales_of_no_share_get_no_steps():
    assert budget(10, shares=(3, 0, 1)).plan(0, 0, 0)[1] == 0
    assert budget(10, shares=(0, 1, 0)).plan(0, 0, 0)[::2] == (0, 0)


def test_time_that_a_converged_scale_has_left_goes_to_the_others():
    planner = budget(20)
    before = planner.plan(0, 0, 0.0)
    after = planner.plan(0, 2, 0.1, converged=True)
    assert after[0] == 2
    assert after[2] > before[2]
    assert planner.plan(2, 9, 15, converged=True) == (9,)


def test_a_new_pace_is_measured_anew():
    planner = budget(100)
    planner.plan(0, 1, 1.0)
    slow = planner.plan(0, 11, 31.0)  # three seconds a step
    planner.forget()
    planner.plan(0, 12, 31.0)
    fast = planner.plan(0, 112, 32.0)
    assert slow[0] < 20 < fast[0]


def test_a_stopwatch_does_not_measure_pauses():
    now = 100.0
    watch = Stopwatch(lambda: now)
    now += 5
    assert watch.elapsed == 0
    watch.start()
    now += 1
    watch.start()
    assert watch.elapsed == 1
    with watch.held():
        now += 50
        assert watch.elapsed == 1
    now += 1
    assert watch.elapsed == 2
    watch.stop()
    now += 9
    with watch.held():
        now += 1
    now += 1
    assert watch.elapsed == 2
    watch.elapsed = 30
    watch.start()
    now += 1
    assert watch.elapsed == 31
    watch.elapsed = 7
    now += 1
    assert watch.elapsed == 8
