import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_neural_style.transfer.convergence import Convergence

CPU = torch.device("cpu")


def reached(losses, tolerance=0.1, patience=3, convergence=None):
    """Numbers of the evaluations, from 1, after which nothing more is gained."""
    convergence = convergence or Convergence(CPU)
    found, lowest = [], math.inf
    for number, loss in enumerate(losses, start=1):
        lowest = min(lowest, loss)
        if convergence.reached(torch.tensor(lowest), tolerance, patience):
            found.append(number)
    return found


def test_a_loss_that_falls_fast_enough_goes_on():
    assert reached([0.9**n for n in range(100)]) == []
    assert reached([0.96**n for n in range(100)]) == []  # 11.5 % in three


def test_a_loss_that_falls_slowly_has_converged():
    assert reached([0.97**n for n in range(8)]) == [4, 5, 6, 7, 8]  # 8.7 % in three
    assert reached([5.0] * 6) == [4, 5, 6]


def test_it_takes_patience():
    losses = [100, 50, 25, 25, 25, 25, 20, 19.9, 19.8, 19.7]
    assert reached(losses) == [6, 10]
    assert reached(losses, patience=4) == []
    assert reached(losses, patience=1)[0] == 4


def test_an_excursion_costs_no_more_than_patience():
    """The lowest loss counts, so that L-BFGS may swing."""
    assert reached([10, 1e9, 9, 1e20, 7, 1e9, 5]) == []


def test_losses_that_are_no_numbers_are_not_converged():
    assert reached([math.inf] * 10) == []


def test_without_tolerance_nothing_converges():
    assert reached([5.0] * 100, tolerance=0) == []


def test_forgetting_gives_its_time_again():
    convergence = Convergence(CPU)
    assert reached([5.0] * 3, convergence=convergence) == []
    convergence.forget()
    assert reached([7.0] * 5, convergence=convergence) == [4, 5]


def test_a_gpu_is_looked_at_seldom():
    convergence = Convergence(torch.device("cuda"))
    assert reached([5.0] * 65, convergence=convergence) == [20, 40, 60]


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=30), st.integers(0, 30), st.integers(1, 8))
def test_state_resumes(losses, cut, patience):
    whole = Convergence(CPU)
    reached(losses[:cut], patience=patience, convergence=whole)
    resumed = Convergence(CPU)
    resumed.load(whole.state(), torch.zeros(()))
    rest = [reached(losses[cut:], patience=patience, convergence=c) for c in (whole, resumed)]
    assert rest[0] == rest[1]


@pytest.mark.parametrize("patience", [1, 5])
def test_it_remembers_no_more_than_it_needs(patience):
    convergence = Convergence(CPU)
    reached(range(100, 1, -1), patience=patience, convergence=convergence)
    assert len(convergence.state()["lowest"]) == patience + 1
