import math

import pytest
import torch

from napari_neural_style.transfer.guard import Guard

NAN, INF = math.nan, math.inf


def image(value):
    return torch.full((1, 3, 2, 2), float(value))


def watch(losses, guard=None):
    """Show the losses of images 0, 1, 2, … to a guard; which of them alarmed it."""
    guard = guard or Guard(image(-1))
    alarms = []
    for number, loss in enumerate(losses):
        losses = torch.tensor([0, 0, 0, float(loss)])
        guard.keep(image(number), losses)
        if guard.alarmed(losses[-1]):
            alarms.append(number)
            guard.calm()
    return alarms, guard


@pytest.mark.parametrize(
    ("losses", "best"),
    [([3, 1, 2], 1), ([3, NAN, 2, INF], 2), ([NAN], -1), ([1, 1, 1], 0), ([INF, 5], 1)],
)
def test_keeps_the_image_of_the_lowest_loss(losses, best):
    _, guard = watch(losses)
    assert torch.equal(guard.best, image(best))


def test_knows_the_losses_of_the_best_image():
    guard = Guard(image(0))
    assert guard.lowest.tolist() == [INF] * 4
    for losses in ([3.0, 2, 1, 6], [1.0, 2, 0, 3], [NAN] * 4, [2.0, 2, 0, 4]):
        guard.keep(image(0), torch.tensor(losses))
    assert guard.lowest.tolist() == [1, 2, 0, 3]


def test_keeps_images_that_change_in_place():
    variable = image(1)
    guard = Guard(variable)
    variable.fill_(2)
    assert torch.equal(guard.best, image(1))
    guard.keep(variable, torch.tensor([0, 0, 0, 1.0]))
    variable.fill_(3)
    assert torch.equal(guard.best, image(2))


@pytest.mark.parametrize("wrong", [NAN, INF, -INF])
def test_a_loss_that_is_no_number_alarms_at_once(wrong):
    assert watch([3, 2, wrong, 1])[0] == [2]


def test_a_run_that_comes_down_or_swings_is_let_alone():
    assert watch([100 / (1 + n) for n in range(200)])[0] == []
    assert watch([2 + math.sin(n) for n in range(200)])[0] == []


def test_an_excursion_that_comes_back_is_let_alone():
    """As L-BFGS without a line search makes them, over many decades."""
    assert watch([100, 99, 1e25, 99, *[1e9] * 10, 50, *[1e4] * 20, 20])[0] == []


def test_a_loss_that_stays_high_alarms():
    alarms, guard = watch([100, 10, *[300] * 60])
    assert alarms
    assert 2 + 20 <= alarms[0] <= 2 + 30
    assert torch.equal(guard.best, image(1))


def test_after_going_back_the_run_has_its_time_again():
    _, guard = watch([100, 10, *[300] * 20])
    guard.calm()
    assert watch([300] * 10, guard)[0] == []


def test_a_run_that_goes_off_again_and_again_is_trusted_less_each_time():
    alarms, _ = watch([100, *[3000] * 60])
    waits = [alarm - before for before, alarm in zip([0, *alarms], alarms, strict=False)]
    assert waits == sorted(waits, reverse=True)
    assert waits[3] < waits[0] / 3


def test_losses_of_another_objective_do_not_compare():
    _, guard = watch([100, 10])
    guard.forget()
    alarms, guard = watch([5000] * 100, guard)
    assert alarms == []
    assert torch.equal(guard.best, image(0))


@pytest.mark.parametrize(
    ("last", "high"), [(10, False), (20, False), (30, True), (NAN, True), (INF, True)]
)
def test_an_end_high_above_the_lowest_is_no_end(last, high):
    _, guard = watch([100, 10])
    assert guard.ends_high(last) == high


def test_state_resumes():
    losses = [100, 10, *[300] * 15]
    rest = [300] * 30
    _, guard = watch(losses)
    other = Guard(image(-5))
    other.load(guard.state())
    assert torch.equal(other.best, guard.best)
    assert torch.equal(other.lowest, guard.lowest)
    assert watch(rest, other)[0] == watch(rest, guard)[0] != []


@pytest.mark.parametrize("exact", [True, False])
def test_state_resumes_though_the_best_image_is_now_kept_otherwise(exact):
    guard = Guard(image(0.1), exact)
    other = Guard(image(-5), not exact)
    other.load(guard.state())
    assert other.best.dtype == guard.best.dtype
    assert torch.equal(other.best, guard.best)
