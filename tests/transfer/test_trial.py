import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_neural_style.transfer import trial

SHAPES = [(128, 128), (256, 256), (512, 512)]
FIXED, PER_PIXEL = 0.004, 8e-7


class Machine:
    """A clock, and steps that take their time on it and are held up by other programs."""

    def __init__(self, fixed, per_pixel, held_up):
        self.now = 0.0
        self.fixed, self.per_pixel, self.held_up = fixed, per_pixel, iter(held_up)

    def perf_counter(self):
        return self.now

    def prepare(self, side):
        def step():
            self.now += self.fixed + self.per_pixel * side**2 + next(self.held_up, 0.0)

        return side**2, step


def step_seconds(monkeypatch, held_up=(), fixed=FIXED, per_pixel=PER_PIXEL, budget=None):
    machine = Machine(fixed, per_pixel, held_up)
    with monkeypatch.context() as patch:
        patch.setattr(trial, "time", machine)
        return trial.step_seconds(machine.prepare, SHAPES, budget)


def truth(fixed=FIXED, per_pixel=PER_PIXEL):
    return [fixed + per_pixel * height * width for height, width in SHAPES]


def test_steps_are_foretold_from_two_sizes(monkeypatch):
    assert step_seconds(monkeypatch) == pytest.approx(truth())


@pytest.mark.parametrize("held_up", [[0.1] * 3, [0.0] * 3 + [0.1] * 3, [0.1] * 9])
def test_a_trial_that_was_held_up_is_repeated(monkeypatch, held_up):
    """The small image's, the large one's, or both."""
    assert step_seconds(monkeypatch, held_up) == pytest.approx(truth())


def test_a_graphics_card_that_waits_for_its_work_is_no_doubt(monkeypatch):
    told = step_seconds(monkeypatch, fixed=0.01, per_pixel=1e-8)
    assert told == pytest.approx(truth(0.01, 1e-8), rel=0.6)


@given(held_up=st.lists(st.floats(0, 3), max_size=40), budget=st.none() | st.floats(0.1, 100))
def test_nothing_is_foretold_that_cannot_be(held_up, budget):
    with pytest.MonkeyPatch.context() as patch:
        told = step_seconds(patch, held_up, budget=budget)
    assert 0 < told[0] <= told[1] <= told[2]
    assert told[2] >= 0.3 * truth()[2]
