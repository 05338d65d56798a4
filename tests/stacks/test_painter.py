import numpy as np
import pytest

from napari_neural_style import StyleTransfer
from napari_neural_style.images import resized, split_alpha, to_uint8
from napari_neural_style.images.rendering import Rendering
from napari_neural_style.settings import make_settings
from napari_neural_style.stacks.painter import PlanePainter
from napari_neural_style.stacks.task import BadPlaneError, Finished, Recipe, Task
from napari_neural_style.transfer import studio

from .conftest import QUICK, moving, stripes

LIMITS = Rendering("plane", (400, 12000))
BYTES = Rendering("plane", (0, 255))


def recipe(style, in_color=True, **settings):
    return Recipe([style], make_settings(**{**QUICK, **settings}), in_color)


def paint(painter, values, parent=None, rendering=LIMITS, mask=None):
    """Return the plane, and how many steps it took."""
    steps, count = painter.paint(Task(values, rendering, parent, mask)), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1


def test_the_first_plane_is_that_of_a_single_run(stack, style):
    painted, steps = paint(PlanePainter(recipe(style)), stack[0])
    alone = StyleTransfer(LIMITS.rgb(stack[0]), style, settings=make_settings(**QUICK))
    assert np.array_equal(painted, to_uint8(alone.run()))
    assert steps == alone.total == 6


def test_a_plane_that_follows_takes_few_steps_and_looks_like_it(stack, style):
    painter = PlanePainter(recipe(style, steps=40))
    first, steps = paint(painter, stack[0])
    second, later = paint(painter, stack[1], Finished(stack[0], first, moved=True))
    alone, _ = paint(painter, stack[1])
    assert steps == 40
    assert 1 <= later <= 20
    unlike = np.abs(alone - first.astype(float)).mean()
    assert np.abs(second - first.astype(float)).mean() < 0.7 * unlike


def test_a_plane_does_not_depend_on_what_was_painted_before(stack, style):
    painter = PlanePainter(recipe(style))
    first, _ = paint(painter, stack[0])
    parent = Finished(stack[0], first, moved=True)
    second, _ = paint(painter, stack[1], parent)
    paint(painter, stack[3])
    assert np.array_equal(paint(painter, stack[1], parent)[0], second)
    assert np.array_equal(paint(painter, stack[0])[0], first)
    # Nor on whether it is the painter's first.
    assert np.array_equal(paint(PlanePainter(recipe(style)), stack[1], parent)[0], second)


def test_it_starts_from_what_the_plane_showed_and_where_that_moved(style):
    rng = np.random.default_rng(0)
    before = np.repeat(np.repeat(rng.integers(400, 12000, (8, 8)), 4, 0), 4, 1).astype(np.uint16)
    after = np.roll(before, 2, axis=1)
    painted = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    painter = PlanePainter(recipe(style, learning_rate=1e-9))
    still, _ = paint(painter, after, Finished(before, painted, moved=False))
    assert np.abs(still - painted.astype(float)).max() <= 1
    carried, _ = paint(painter, after, Finished(before, painted, moved=True))
    there = np.roll(painted, 2, axis=1)
    assert np.median(np.abs(carried - there.astype(float))[4:-4, 6:-6]) < 25
    assert np.median(np.abs(carried - painted.astype(float))[4:-4, 6:-6]) > 40


def test_style_targets_are_computed_once(stack, style, monkeypatch):
    counted = []

    def count(*arguments):
        counted.append(arguments)
        return compute(*arguments)

    compute = studio.style_targets
    monkeypatch.setattr(studio, "style_targets", count)
    painter = PlanePainter(recipe(style))
    first, _ = paint(painter, stack[0])
    at_first = len(counted)
    assert at_first >= 1
    second, _ = paint(painter, stack[1], Finished(stack[0], first, moved=True))
    paint(painter, stack[2], Finished(stack[1], second, moved=True))
    assert len(counted) == at_first


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.dtype(">u2")])
def test_intensities_are_in_the_dtype_and_limits_of_the_stack(stack, style, dtype):
    values = (stack / (50 if dtype == np.uint8 else 1)).astype(dtype)
    limits = Rendering("plane", (float(values.min()), float(values.max())), gamma=0.7)
    painter = PlanePainter(recipe(style, in_color=False, color="luminance"))
    first, _ = paint(painter, values[0], rendering=limits)
    second, _ = paint(painter, values[1], Finished(values[0], first, moved=True), limits)
    for painted, plane in zip((first, second), values, strict=False):
        assert painted.shape == plane.shape
        assert painted.dtype == np.dtype(dtype)
        assert values.min() <= painted.min() < painted.max() <= values.max()
        assert np.corrcoef(painted.ravel(), plane.ravel())[0, 1] > 0.5


def test_outside_a_mask_intensities_stay_to_the_bit(stack, style):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 1
    narrow = Rendering("plane", (1000, 3000))
    painter = PlanePainter(recipe(style, in_color=False, color="luminance", mask=mask))
    first, _ = paint(painter, stack[0], rendering=narrow)
    second, _ = paint(painter, stack[1], Finished(stack[0], first, moved=True), narrow)
    for painted, plane in zip((first, second), stack, strict=False):
        assert np.array_equal(painted[mask == 0], plane[mask == 0])
        assert (painted[mask == 1] != plane[mask == 1]).mean() > 0.5


def test_outside_a_mask_colours_are_those_of_the_plane(stack, style):
    mask = np.zeros((32, 32), bool)
    mask[:16] = True
    painter = PlanePainter(recipe(style, mask=mask))
    first, _ = paint(painter, stack[0])
    second, _ = paint(painter, stack[1], Finished(stack[0], first, moved=True))
    assert np.array_equal(second[16:], to_uint8(LIMITS.rgb(stack[1]))[16:])


def halves():
    """Return labels, (32, 32): 1 above, 2 below."""
    mask = np.ones((32, 32), np.uint8)
    mask[16:] = 2
    return mask


def test_a_plane_with_a_mask_of_its_own_is_that_of_a_single_run(stack, style):
    guided = Recipe([style], make_settings(**QUICK), True, (halves(),))
    painter, mask = PlanePainter(guided), halves().T * (np.arange(32) > 8)
    paint(painter, stack[1], mask=halves())
    painted, _ = paint(painter, stack[0], mask=mask)
    guides = {"mask": mask, "style_masks": halves()}
    alone = StyleTransfer(LIMITS.rgb(stack[0]), style, settings=make_settings(**QUICK, **guides))
    assert np.array_equal(painted, to_uint8(alone.run()))
    assert np.array_equal(painted[:, :9], to_uint8(LIMITS.rgb(stack[0]))[:, :9])


def where(rows=slice(None), columns=slice(None)):
    """Return a mask, (32, 32), of a rectangle."""
    mask = np.zeros((32, 32), np.uint8)
    mask[rows, columns] = 1
    return mask


LEFT, RIGHT = where(columns=slice(16)), where(columns=slice(16, None))


def test_a_region_that_is_new_is_painted_as_one_alone(stack, style):
    painter = PlanePainter(recipe(style, steps=20))
    first, _ = paint(painter, stack[0], mask=LEFT)
    parent = Finished(stack[0], first, False, LEFT)
    second, steps = paint(painter, stack[1], parent, mask=RIGHT)
    alone, _ = paint(painter, stack[1], mask=RIGHT)
    assert steps == 20
    assert np.array_equal(second, alone)


def test_a_region_that_grows_gets_all_steps_and_what_was_painted_stays_steady(style):
    plane, most, whole = moving(1)[0], where(columns=slice(24)), where()
    painter = PlanePainter(recipe(style, steps=60))
    first, _ = paint(painter, plane, mask=most)
    second, steps = paint(painter, plane, Finished(plane, first, False, most), mask=whole)
    alone, _ = paint(painter, plane, mask=whole)
    assert steps == 60
    content = to_uint8(LIMITS.rgb(plane)).astype(float)
    new, old = most == 0, most > 0
    assert np.abs(second - content)[new].mean() > 0.7 * np.abs(alone - content)[new].mean()
    unlike = np.abs(alone - first.astype(float))[old].mean()
    assert np.abs(second - first.astype(float))[old].mean() < 0.9 * unlike


def test_a_mask_that_hardly_changes_needs_few_steps(stack, style):
    painter = PlanePainter(recipe(style, steps=40))
    rows = slice(8, 24)
    first, _ = paint(painter, stack[0], mask=where(rows, slice(2, 30)))
    parent = Finished(stack[0], first, True, where(rows, slice(2, 30)))
    assert paint(painter, stack[0], parent, mask=where(slice(8, 23), slice(4, 30)))[1] <= 20
    assert paint(painter, stack[0], parent, mask=where(slice(8, 28), slice(2, 30)))[1] == 40


def test_a_region_of_another_label_is_new(stack, style):
    painter = PlanePainter(Recipe([style], make_settings(**QUICK), True, (halves(),)))
    first, _ = paint(painter, stack[0], mask=halves())
    parent = Finished(stack[0], first, False, halves())
    assert paint(painter, stack[0], parent, mask=halves())[1] == 3
    swapped, steps = paint(painter, stack[0], parent, mask=3 - halves())
    assert steps == 6
    assert np.array_equal(swapped, paint(painter, stack[0], mask=3 - halves())[0])


def test_regions_of_a_result_of_another_size(stack, style):
    painter = PlanePainter(recipe(style, scales="auto", size=48, steps=(20,)))
    first, _ = paint(painter, stack[0], mask=LEFT)
    second, steps = paint(painter, stack[1], Finished(stack[0], first, True, LEFT), mask=where())
    assert second.shape == (48, 48, 3)
    assert steps >= 20
    parent = Finished(stack[1], second, True, where())
    assert paint(painter, stack[1], parent, mask=where())[1] <= 12


@pytest.mark.parametrize(("mask", "why"), [(3 * halves(), "label 3"), (-1.0 * halves(), "mask")])
def test_a_mask_that_does_not_do_harms_no_other_plane(stack, style, mask, why):
    painter = PlanePainter(Recipe([style], make_settings(**QUICK), True, (halves(),)))
    with pytest.raises(BadPlaneError, match=why):
        paint(painter, stack[0], mask=mask)
    assert paint(painter, stack[0], mask=halves())[1] == 6


@pytest.mark.parametrize("size", [None, 48])
def test_a_plane_without_labels_stays_as_it_is(stack, style, size):
    nothing, settings = np.zeros((32, 32), bool), {"scales": "auto", "size": size}
    colored, steps = paint(PlanePainter(recipe(style, **settings)), stack[0], mask=nothing)
    whole = resized(LIMITS.rgb(stack[0]), (size or 32,) * 2)
    assert np.array_equal(colored, to_uint8(whole))
    assert steps == 0
    gray = PlanePainter(recipe(style, in_color=False, color="luminance", **settings))
    narrow = Rendering("plane", (1000, 3000))
    painted, _ = paint(gray, stack[0], rendering=narrow, mask=nothing)
    assert painted.dtype == stack.dtype
    if size is None:
        assert np.array_equal(painted, stack[0])
    else:
        assert painted.shape == (48, 48)


def transparent():
    """Return RGBA, (32, 32, 4) uint8, and its alpha: a frame that cannot be seen is noise."""
    rng = np.random.default_rng(0)
    values = np.dstack([stripes()[::-1], np.full((32, 32), 200, np.uint8)])
    values[:6] = values[-6:] = rng.integers(0, 256, (6, 32, 4))
    values[:6, :, 3] = values[-6:, :, 3] = 0
    return values


def test_alpha_is_kept_and_what_cannot_be_seen_leaves_no_traces(style):
    painter, values = PlanePainter(recipe(style)), transparent()
    first, _ = paint(painter, values, rendering=BYTES)
    rgb, _ = split_alpha(values)
    alone = StyleTransfer(rgb, style, settings=make_settings(**QUICK))
    assert np.array_equal(first[..., :3], to_uint8(alone.run()))
    assert np.array_equal(first[..., 3], values[..., 3])
    second, _ = paint(painter, values, Finished(values, first, moved=True), BYTES)
    assert np.array_equal(second[..., 3], values[..., 3])
    assert np.ptp(second[..., :3]) > 50
    untouched, _ = paint(painter, values, rendering=BYTES, mask=np.zeros((32, 32), bool))
    assert np.array_equal(untouched, values)
    inner = np.zeros((32, 32), bool)
    inner[4:20, 8:20] = True
    partly, _ = paint(painter, values, rendering=BYTES, mask=inner)
    assert np.array_equal(partly[~inner], values[~inner])  # also colours that nobody sees
    assert (partly != values)[inner].any()


def test_alpha_at_another_size(style):
    painter = PlanePainter(recipe(style, scales="auto", size=16))
    painted, _ = paint(painter, transparent(), rendering=BYTES)
    assert painted.shape == (16, 16, 4)
    assert painted[8, 8, 3] == 200
    assert painted[0, 8, 3] == 0


def test_what_nobody_sees_cannot_be_painted(style):
    values = transparent()
    values[..., 3] = 0
    with pytest.raises(BadPlaneError, match="The plane is fully transparent"):
        paint(PlanePainter(recipe(style)), values, rendering=BYTES)


def test_results_of_another_size(stack, style):
    painter = PlanePainter(recipe(style, scales="auto", size=48))
    first, _ = paint(painter, stack[0])
    second, _ = paint(painter, stack[1], Finished(stack[0], first, moved=True))
    assert first.shape == second.shape == (48, 48, 3)


@pytest.mark.parametrize("value", [np.nan, 7])
def test_a_plane_that_cannot_be_painted_harms_no_other(stack, style, value):
    painter = PlanePainter(recipe(style))
    with pytest.raises(ValueError, match=r"The plane (holds NaN|is constant)"):
        paint(painter, np.full((32, 32), value))
    assert paint(painter, stack[0])[0].any()


def test_the_estimate_counts_each_kind_of_plane(stack, style):
    painter, task = PlanePainter(recipe(style)), Task(stack[0], LIMITS)
    memory, alone = painter.estimate(task, 1, 0)
    assert memory > 0
    assert painter.estimate(task, 1, 1000)[1] > alone
    assert painter.estimate(task, 1000, 0)[1] > alone
