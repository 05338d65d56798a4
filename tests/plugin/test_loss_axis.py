import math

from hypothesis import given
from hypothesis import strategies as st

from napari_neural_style.plugin.loss_axis import loss_ticks, step_ticks
from napari_neural_style.plugin.loss_curves import LEAST_DECADES


@given(last=st.integers(1, 10**6), most=st.integers(1, 20))
def test_round_steps_from_0(last, most):
    ticks = step_ticks(last, most)
    assert ticks[0] == 0
    assert len(ticks) <= most + 1
    assert ticks[-1] <= last
    assert str(ticks.step).rstrip("0") in {"1", "2", "5"}
    assert len(ticks) > min(last, most) / 5


@given(low=st.floats(-12, 12), span=st.floats(LEAST_DECADES, 30), most=st.integers(3, 12))
def test_round_losses_between_two_others(low, span, most):
    ticks = loss_ticks(low, low + span, most)
    assert 2 <= len(ticks) <= most or span > 20
    for exponent, label in ticks.items():
        assert low <= exponent <= low + span
        assert math.isclose(float(label), 10**exponent)
        assert len(label) <= 6


def test_losses_are_written_alike():
    assert list(loss_ticks(-1.1, 1.1, 8).values()) == ["0.1", "0.2", "0.5", "1", "2", "5", "10"]
    assert list(loss_ticks(-1.1, 1.1, 5).values()) == ["0.1", "0.3", "1", "3", "10"]
    assert list(loss_ticks(-5.1, 1.1, 4).values()) == ["1e-4", "1e-2", "1e0"]
