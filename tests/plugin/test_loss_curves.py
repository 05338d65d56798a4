import numpy as np
import pytest

from napari_neural_style.plugin.loss_curves import FAINT_DECADES, LEAST_DECADES, LossCurves
from napari_neural_style.plugin.loss_point import LossPoint


def point(step, total=1.0, style=0.9, content=0.1, scale=64):
    losses = {"total": total, "style": style, "content": content, "tv": 0.0}
    return LossPoint(step, scale, losses)


def curves(*points):
    made = LossCurves()
    made.add(points)
    return made


def test_losses_are_on_a_logarithmic_scale():
    made = curves(point(1, 100, 10, 1), point(3, 1, 0.1, 0.01))
    np.testing.assert_array_equal(made.steps, [1, 3])
    np.testing.assert_allclose(made.exponents, [[2, 1, 0], [0, -1, -2]])


@pytest.mark.parametrize("loss", [0.0, -1.0, float("nan"), float("inf")])
def test_what_has_no_logarithm_is_left_out(loss):
    made = curves(point(1, content=loss), point(2, loss, loss, loss))
    assert np.isnan(made.exponents).tolist() == [[False, False, True], [True] * 3]
    assert np.isfinite(made.range).all()


def test_a_loss_that_is_not_told_is_left_out():
    made = curves(LossPoint(1, 64, {"total": 1.0}))
    assert np.isnan(made.exponents).tolist() == [[False, True, True]]


def test_scales_and_where_they_begin():
    made = curves(*(point(step, scale=64 if step < 4 else 128) for step in range(1, 7)))
    assert made.scales == [(1, 64), (4, 128)]
    assert LossCurves().scales == []


def test_going_back_forgets_what_came_later():
    made = curves(*map(point, range(1, 9)))
    made.add([point(5, total=2.0)])
    np.testing.assert_array_equal(made.steps, [1, 2, 3, 4, 5])
    assert made.points[-1].losses["total"] == 2.0


def test_many_points_are_thinned_and_the_newest_is_there():
    made = LossCurves()
    for step in range(1, 20_001, 10):
        made.add(map(point, range(step, step + 10)))
        assert made.steps[-1] == step + 9
        assert len(made.steps) <= 1024
    assert made.steps[0] == 1
    assert len(made.steps) > 500
    assert set(np.diff(made.steps[1:-1])) == {32}


def test_the_range_holds_what_counts():
    low, high = curves(point(1, 1000, 999, 1e-9), point(2, 1.0, 0.5, 0.5)).range
    assert -FAINT_DECADES - 0.3 < low < -FAINT_DECADES
    assert 3 < high < 3.3


def test_the_range_of_losses_that_do_not_change_is_wide_enough_for_numbers():
    low, high = curves(point(1, 1.0, 1.0, 1.0)).range
    assert high - low == pytest.approx(LEAST_DECADES)
    assert low < 0 < high


def test_cleared_and_used_again():
    made = curves(*map(point, range(1, 5000)))
    made.clear()
    assert (len(made.steps), made.points) == (0, [])
    made.add(map(point, range(1, 100)))
    assert len(made.steps) == 99
