from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_neural_style import Settings
from napari_neural_style.transfer.scales import fit, plan_scales, resize

sides = st.integers(16, 3000)


def plan(height, width, least_side=16, **settings):
    return plan_scales(Settings(**settings), height, width, least_side)


def shapes(*args, **settings):
    return [scale[:2] for scale in plan(*args, **settings)]


@given(sides, sides, st.sampled_from([1, 2, 4, 8, 16]))
def test_auto_doubles_up_to_the_contents_own_size(height, width, least_side):
    found = shapes(height, width, least_side)
    assert found[-1] == (height, width)
    assert len(found) == 1 or max(found[0]) >= 128
    # The first scale is no larger than it needs to be.
    coarser = fit(*found[0], max(found[0]) // 2)
    assert max(coarser) < 128 or min(coarser) <= least_side
    for coarse, fine in pairwise(found):
        assert max(coarse) == round(max(fine) / 2)
        assert min(coarse) >= least_side


@given(sides, sides, st.integers(16, 3000))
def test_size_is_the_longest_side_of_the_last_scale(height, width, size):
    # The least side never stands in the way here.
    assert max(shapes(height, width, 1, size=size)[-1]) == size


@given(
    sides, sides, st.lists(st.integers(16, 3000), min_size=1, max_size=5, unique=True).map(sorted)
)
def test_given_scales_are_taken(height, width, scales):
    found = shapes(height, width, 1, scales=scales, steps=10)
    assert [max(shape) for shape in found] == scales
    for shape in found:
        # The proportion is kept as well as whole pixels can.
        exact = max(shape) * min(height, width) / max(height, width)
        assert abs(min(shape) - max(exact, 1)) <= 0.5
        assert (shape[0] >= shape[1]) == (height >= width) or shape[0] == shape[1]


def test_size_stretches_given_scales():
    assert [max(s) for s in shapes(300, 400, scales=(100, 150, 200), size=400)] == [200, 300, 400]
    assert [max(s) for s in shapes(300, 450, preset="d2l", size=300)] == [150, 300]


@given(sides, sides)
def test_own_size_is_kept_to_the_pixel(height, width):
    assert fit(height, width, max(height, width)) == (height, width)
    assert shapes(height, width, 1, scales=(max(height, width),)) == [(height, width)]


@given(st.integers(1, 12), st.integers(0, 2000), st.sampled_from(["default", "d2l"]))
def test_every_step_is_given_to_a_scale(count, spare, preset):
    scales = tuple(range(16, 16 + count))
    steps = [
        scale.steps for scale in plan(64, 64, preset=preset, scales=scales, steps=count + spare)
    ]
    assert sum(steps) == count + spare
    assert min(steps) >= 1
    assert steps == sorted(steps, reverse=True)
    if preset == "d2l":
        assert steps[0] - steps[-1] < count  # evenly, but for the remainder


def test_steps_may_be_given_for_each_scale():
    assert [s.steps for s in plan(64, 64, scales=(16, 32, 64), steps=(3, 1, 2))] == [3, 1, 2]
    assert [s.steps for s in plan(64, 64, preset="d2l", scales=(32, 64))] == [500, 500]


def test_steps_that_do_not_fit_the_scales():
    with pytest.raises(ValueError, match=r"steps=\(5, 6\) has 2 numbers.*run has 1 scale"):
        plan(64, 64, steps=(5, 6))
    with pytest.raises(ValueError, match="steps=1 is less than one for each of the 2 scales"):
        plan(64, 64, scales=(32, 64), steps=1)


@pytest.mark.parametrize(("height", "width"), [(1, 64), (64, 8), (15, 15), (2, 1000)])
def test_a_content_too_small_for_the_layers(height, width):
    with pytest.raises(ValueError, match=f"content \\({width} x {height} pixels\\).*at least 16"):
        plan(height, width)


def test_a_scale_too_small_for_the_layers_is_named():
    with pytest.raises(ValueError, match="would be 20 x 10 pixels at the scale 20"):
        plan(100, 200, scales=(20, 200))


def test_resizing_to_the_same_size_is_nothing():
    image = torch.rand(1, 3, 7, 9)
    assert resize(image, 7, 9) is image


@given(st.integers(1, 60), st.integers(1, 60))
def test_resizing_keeps_the_range_and_the_place(height, width):
    ramp = torch.linspace(0, 1, 40, dtype=torch.float64).view(1, 1, 1, 40).expand(1, 3, 30, 40)
    resized = resize(ramp, height, width)
    assert resized.shape == (1, 3, height, width)
    assert resized.min() >= 0
    assert resized.max() <= 1 + 1e-12
    assert resized.mean().item() == pytest.approx(0.5, abs=1e-6)


def test_resizing_down_averages():
    """Without antialiasing, a checkerboard would turn into moiré."""
    checkerboard = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).double()[None, None]
    assert resize(checkerboard, 15, 15)[..., 1:-1, 1:-1].sub(0.5).abs().max() < 0.02
