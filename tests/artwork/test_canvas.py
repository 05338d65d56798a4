import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_neural_style.artwork import canvas


@given(
    size=st.integers(16, 128),
    cells=st.integers(1, 40),
    octaves=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_noise_has_zero_mean_and_unit_deviation(size, cells, octaves, seed):
    field = canvas.noise(np.random.default_rng(seed), size, cells, octaves)
    assert field.shape == (size, size)
    assert field.dtype == np.float32
    assert abs(field.mean()) < 1e-3
    assert field.std() == pytest.approx(1, abs=1e-2)


def test_noise_draws_as_many_numbers_at_every_size():
    small, large = np.random.default_rng(1), np.random.default_rng(1)
    canvas.noise(small, 16, 12, octaves=5)
    canvas.noise(large, 400, 12, octaves=5)
    assert small.random() == large.random()


def test_noise_is_the_same_field_at_every_size():
    coarse = canvas.noise(np.random.default_rng(2), 64, 5)
    fine = canvas.noise(np.random.default_rng(2), 128, 5)
    np.testing.assert_allclose(canvas.halve(fine), coarse, atol=0.02)


def test_noise_cells_may_differ_along_the_sides():
    field = canvas.noise(np.random.default_rng(3), 64, (20, 2))
    down, right = np.gradient(field)
    assert np.abs(down).mean() > 3 * np.abs(right).mean()


def test_ramp_meets_its_stops_and_clips_beyond_them():
    palette = canvas.colours("000000", "ff0000", "ffffff")
    looked_up = canvas.ramp([-5, 0, 0.25, 1, 9], palette, (0, 0.25, 1))
    expected = [[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]]
    np.testing.assert_allclose(looked_up, expected, atol=4e-3)


def test_mix_goes_from_the_first_to_the_second():
    first, second = canvas.colours("ff0000", "0000ff")
    mixed = canvas.mix(first, second, [0, 0.25, 1])
    np.testing.assert_allclose(mixed, [[1, 0, 0], [0.75, 0, 0.25], [0, 0, 1]])


def test_smoothstep_rises_or_falls():
    np.testing.assert_allclose(canvas.smoothstep(1, 3, [0, 1, 2, 3, 4]), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(canvas.smoothstep(3, 1, [0, 1, 2, 3, 4]), [1, 1, 0.5, 0, 0])


def test_sample_takes_the_nearest_pixel_and_the_border_beyond():
    field = np.arange(4).reshape(2, 2)
    x, y = np.array([0.2, 0.9, 7.0]), np.array([0.2, 0.2, -3.0])
    np.testing.assert_array_equal(canvas.sample(field, x, y), [0, 1, 1])


def test_voronoi_finds_the_nearest_place_and_the_way_to_its_border():
    places = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    x, y = np.array([0.1, 0.9, 0.0]), np.array([0.0, 0.0, 1.4])
    cell, border = canvas.voronoi(places, x, y)
    np.testing.assert_array_equal(cell, [0, 1, 0])
    np.testing.assert_allclose(border, [0.4, 0.4, 0.1], atol=1e-6)


def test_a_relief_is_lit_from_the_upper_left():
    y, x = np.mgrid[:32, :32]
    dome = np.sqrt(np.maximum(100 - (x - 15.5) ** 2 - (y - 15.5) ** 2, 0)).astype(np.float32)
    shade, highlight = canvas.light(dome, 1, gloss=1)
    assert shade[9, 9] > 1 > shade[22, 22]
    assert highlight[9, 9] > highlight[22, 22] == 0
    assert shade[0, 0] == 1


def test_scatter_spreads_about_the_count_over_the_frame():
    x, y = canvas.scatter(np.random.default_rng(0), 1000)
    inside = (x >= 0) & (x < 1) & (y >= 0) & (y < 1)
    assert 900 < inside.sum() < 1150
    per_quarter, _, _ = np.histogram2d(x[inside], y[inside], bins=2, range=[[0, 1], [0, 1]])
    assert per_quarter.min() > 0.2 * inside.sum()


def test_trace_follows_a_circle_both_ways_from_its_middle():
    def around(x, y):
        return -y, x

    x, y = canvas.trace(np.float32([0.5]), np.float32([0.0]), around, np.pi / 2, 200)
    assert x.shape == y.shape == (1, 201)
    np.testing.assert_allclose(np.hypot(x, y), 0.5, atol=0.01)
    np.testing.assert_allclose((x[0, 100], y[0, 100]), (0.5, 0), atol=1e-6)
    np.testing.assert_allclose((x[0, 0], y[0, 0]), (0, -0.5), atol=0.02)
    np.testing.assert_allclose((x[0, -1], y[0, -1]), (0, 0.5), atol=0.02)


def test_sweep_covers_a_straight_stroke_without_holes():
    x, y = np.float32([[0.205, 0.805]]), np.float32([[0.505, 0.505]])
    swept = canvas.sweep(100, x, y, np.float32([[0.1]]))
    covered = np.zeros(100 * 100, bool)
    covered[swept.where] = True
    row, column = np.nonzero(covered.reshape(100, 100))
    assert (row.min(), row.max()) == (40, 60)
    assert (column.min(), column.max()) == (20, 80)
    assert covered.sum() == 21 * 61
    along = np.full(100 * 100, np.nan)
    along[swept.where] = swept.along
    middle = along.reshape(100, 100)[50, 20:81]
    np.testing.assert_allclose(middle, np.linspace(0, 1, 61), atol=0.03)
    assert np.abs(swept.across).max() == 1


def test_the_last_stroke_lies_on_top():
    x = np.float32([[0.1, 0.9], [0.1, 0.9]])
    y = np.float32([[0.5, 0.5], [0.5, 0.5]])
    swept = canvas.sweep(64, x, y, np.float32([[0.2], [0.1]]))
    row = swept.where // 64
    assert set(swept.stroke[np.abs(row - 32) < 5]) == {1}
    assert set(swept.stroke[np.abs(row - 32) > 8]) == {0}


def test_strokes_beyond_the_frame_leave_no_trace_in_it():
    x, y = np.float32([[-0.5, -0.2]]), np.float32([[0.5, 0.5]])
    assert canvas.sweep(64, x, y, np.float32([[0.1]])).where.size == 0
