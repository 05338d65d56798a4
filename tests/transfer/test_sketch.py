"""Towards a far goal a picture goes in small copies first."""

import itertools
import json
import random
import threading
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.images import pair
from tests.transfer.test_engine import start, thread

from napari_neural_style import StyleTransfer
from napari_neural_style.images import image_hash
from napari_neural_style.record import Record
from napari_neural_style.transfer import sketch
from napari_neural_style.transfer.objective import Objective
from napari_neural_style.transfer.replay import Replay
from napari_neural_style.transfer.sketch import sketch_shapes

CONTENT, STYLE = pair(64, 80)
FAR, BANDS = np.ones((2, 40, 48, 3))
FAR[::2] = 0
BANDS[np.arange(40) % 16 < 8] = (1, 0, 0)
FAR_EDITED = FAR.copy()
FAR_EDITED[:, :9] = 0.5
NEAR = STYLE.copy()
NEAR[:4, :4] = 0
LAYERS = {"style_layers": ("relu1_1", "relu2_1", "relu3_1"), "content_layers": "relu2_1"}
STEPS = 8


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(sketch, "_SMALLEST", 30)


def begin(optimizer="bounded-lbfgs", made=30, steps=60, **overrides):
    """A run near its goal."""
    rate = {"lbfgs": 1.0, "adam": 0.06}.get(optimizer, 0.04)
    settings = {"optimizer": optimizer, "learning_rate": rate, **LAYERS, **overrides}
    transfer = start(CONTENT, STYLE, steps=steps, **settings)
    for _ in range(made):
        next(transfer)
    return transfer


def sketched(transfer, count):
    return [next(transfer).sketch for _ in range(count)]


# ---------------------------------------------------------------------- which


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 64))
def test_copies_double_and_are_small_beside_the_picture(height, width, least):
    shapes = sketch_shapes(height, width, least)
    sides = [max(shape) for shape in shapes]
    assert all(large == 2 * small for small, large in itertools.pairwise(sides))
    for copy in shapes:
        assert min(copy) >= least
        assert max(copy) * 2 <= max(height, width)
        assert abs(copy[0] * width - copy[1] * height) <= max(height, width)


@pytest.mark.parametrize(
    ("optimizer", "change"),
    [
        ("bounded-lbfgs", {"style": FAR}),
        ("bounded-lbfgs", {"style": FAR, "style_weight": 20.0}),
        ("bounded-lbfgs", {"style": FAR, "color": "match"}),
        ("bounded-lbfgs", {"content": CONTENT[::-1]}),
        ("adam", {"style": FAR}),
    ],
)
def test_a_far_goal_is_begun_with_small_copies(optimizer, change):
    transfer = begin(optimizer)
    made, total, before = transfer._step, transfer.total, transfer.result
    transfer.update(**change)
    updates = [next(transfer) for _ in range(STEPS)]
    assert all(update.sketch for update in updates)
    assert [update.step for update in updates] == list(range(made + 1, made + 1 + STEPS))
    assert {update.scale for update in updates} == {0}
    assert {update.size for update in updates} == {(64, 80)}
    assert updates[-1].losses["total"] < updates[0].losses["total"]
    assert not np.array_equal(transfer.result, before)
    rest = list(transfer)
    assert not any(update.sketch for update in rest)
    assert transfer.total == total + STEPS == rest[-1].step
    assert len(rest) == 30
    assert np.isfinite(transfer.result).all()


def test_there_are_as_many_copies_as_fit(monkeypatch):
    monkeypatch.setattr(sketch, "_SMALLEST", 20)
    transfer = begin()
    transfer.update(style=FAR)
    assert sketched(transfer, 2 * STEPS + 1) == [True] * 2 * STEPS + [False]


def test_so_it_comes_nearer_in_the_same_steps_of_its_own(monkeypatch):
    def loss_after(steps):
        transfer = begin()
        transfer.update(style=BANDS)
        own = [update for update in transfer if not update.sketch]
        return own[steps].losses["total"]

    with_copies = [loss_after(steps) for steps in (0, 3, 8)]
    monkeypatch.setattr(sketch, "_SMALLEST", 2000)
    without = [loss_after(steps) for steps in (0, 3, 8)]
    assert all(ours < theirs for ours, theirs in zip(with_copies, without, strict=True))


@pytest.mark.parametrize(
    ("optimizer", "change"),
    [
        ("bounded-lbfgs", {"style": NEAR}),
        ("bounded-lbfgs", {"style": [STYLE, FAR], "style_weights": (1, 9)}),
        ("bounded-lbfgs", {"content": np.where(np.arange(80)[:, None] < 30, 0.5, CONTENT)}),
        ("bounded-lbfgs", {"style_weight": 1000.0}),
        ("bounded-lbfgs", {"tv_weight": 100.0}),
        ("bounded-lbfgs", {"steps": 50}),
        ("bounded-lbfgs", {"size": 70, "style": FAR}),
        ("lbfgs", {"style": FAR}),
    ],
)
def test_other_changes_need_none(optimizer, change):
    transfer = begin(optimizer)
    transfer.update(**change)
    assert sketched(transfer, 3) == [False] * 3


def test_before_its_first_step_a_run_needs_none():
    transfer = begin(made=0)
    transfer.update(style=FAR)
    assert sketched(transfer, 2) == [False] * 2


def test_what_is_outside_of_a_mask_stays_the_contents():
    mask = np.zeros((64, 80), bool)
    mask[:, :40] = True
    transfer = begin(mask=mask, feather=0.0)
    content = transfer.result[:, 40:]
    transfer.update(style=FAR)
    assert all(sketched(transfer, STEPS))
    np.testing.assert_array_equal(transfer.result[:, 40:], content)
    transfer.update(color="luminance")
    next(transfer)
    np.testing.assert_array_equal(transfer.result[:, 40:], content)


# ------------------------------------------------------------------- goes on


@pytest.mark.parametrize("tile", ["off", 64])
@pytest.mark.parametrize("optimizer", ["adam", "bounded-lbfgs"])
@pytest.mark.parametrize("made", [0, 3, STEPS - 1, STEPS, STEPS + 2])
def test_saved_at_any_step_it_ends_the_same(optimizer, tile, made, tmp_path):
    whole = begin(optimizer, tile=tile, steps=40)
    whole.update(style=FAR, color="match")
    whole.apply()
    assert sketched(whole, made) == [n < STEPS for n in range(made)]
    whole.save(tmp_path / "checkpoint")
    resumed = StyleTransfer.load(tmp_path / "checkpoint")
    expected = [update.losses for update in whole]
    assert [update.losses for update in resumed] == expected
    np.testing.assert_array_equal(resumed.result, whole.result)


def again(transfer):
    recipe = json.loads(json.dumps(transfer.provenance()))
    images = {image_hash(image): image for image in (CONTENT, STYLE, FAR, NEAR)}
    return Replay(Record.from_dict(recipe), images)


@pytest.mark.parametrize("made", [3, STEPS, STEPS + 2, 100])
def test_it_is_made_again_from_its_recipe(made):
    transfer = begin(steps=40)
    transfer.update(style=FAR)
    for _, _ in zip(range(made), transfer, strict=False):
        pass
    transfer.stop()
    assert list(transfer) == []
    np.testing.assert_array_equal(again(transfer).run(), transfer.result)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"style_weight": 20.0}, STEPS - 3),
        ({"style": STYLE}, STEPS),
        ({"style": FAR_EDITED}, STEPS - 3),
        ({"steps": 50}, 0),
        ({"size": 70}, 0),
        ({"picture": CONTENT}, 0),
    ],
)
def test_a_change_in_its_middle(change, expected):
    transfer = begin()
    transfer.update(style=FAR)
    assert all(sketched(transfer, 3))
    transfer.update(**change)
    rest = [update.sketch for update in transfer]
    assert rest == [True] * expected + [False] * (len(rest) - expected)
    assert np.isfinite(transfer.result).all()


def test_whatever_is_changed_whenever_it_is_made_again(monkeypatch):
    chance = random.Random(1)
    changes = [{"style": image} for image in (FAR, STYLE, NEAR)]
    changes += [{"style_weight": 5.0}, {"style_weight": 20.0}, {"color": "luminance"}]
    changes += [{"color": "style"}]
    transfer, finished = begin(made=0, steps=100), threading.Event()

    def meddle():
        while not finished.wait(chance.choice([0.003, 0.03, 0.1])):
            act = [transfer.interrupt, partial(transfer.update, **chance.choice(changes))]
            chance.choice(act)()

    with thread(meddle):
        seen = [next(transfer).sketch for _ in range(90)]
        finished.set()
    transfer.stop()
    assert list(transfer) == []
    assert any(seen)
    np.testing.assert_array_equal(again(transfer).run(), transfer.result)


def test_where_the_memory_runs_out_it_goes_on_with_less(monkeypatch):
    transfer = begin()
    transfer.update(style=FAR)
    assert all(sketched(transfer, 3))
    call, failed = Objective.__call__, []

    def hungry(objective, *args):
        if not failed:
            failed.append(objective)
            return torch.empty(2**60)
        return call(objective, *args)

    monkeypatch.setattr(Objective, "__call__", hungry)
    rest = list(transfer)
    assert failed
    assert [update.sketch for update in rest].count(True) == STEPS - 3
    assert any("memory of cpu ran out" in (update.note or "") for update in rest)
    assert np.isfinite(transfer.result).all()


def test_a_goal_whose_large_targets_fail_after_it_leaves_the_run_going_on(monkeypatch):
    transfer = begin()
    transfer.update(style=FAR)
    assert all(sketched(transfer, STEPS))

    def fail(*_, **__):
        raise ValueError("There is no such style any more.")

    monkeypatch.setattr(transfer._run, "_make_objective", fail)
    update = next(transfer)
    assert "the run goes on as it was" in update.note
    assert np.isfinite(transfer.run()).all()


def test_copies_that_come_to_nothing_leave_the_picture_alone(monkeypatch):
    transfer = begin()
    before = transfer.result
    transfer.update(style=FAR)
    call = Objective.__call__

    def broken(objective, variable, *args):
        evaluation = call(objective, variable, *args)
        if max(variable.shape[2:]) > 30:
            return evaluation
        return evaluation._replace(gradient=evaluation.gradient * float("nan"))

    monkeypatch.setattr(Objective, "__call__", broken)
    assert sketched(transfer, 1) == [True]
    np.testing.assert_array_equal(transfer.result, before)
    assert sketched(transfer, 1) == [False]
    assert np.isfinite(transfer.run()).all()
