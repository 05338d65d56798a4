"""Steps that are given up: for a change, or for the end."""

import json
import random
import threading
from functools import partial

import numpy as np
import pytest
from tests.transfer.test_engine import halves, thread
from tests.transfer.test_run import CONTENT, OTHER, STYLE, begin

from napari_neural_style import StyleTransfer
from napari_neural_style.images import image_hash
from napari_neural_style.record import Record
from napari_neural_style.transfer.encoder import Encoder
from napari_neural_style.transfer.replay import Replay

OPTIMIZERS = ["adam", "lbfgs", "bounded-lbfgs"]


@pytest.fixture
def watch(monkeypatch):
    """Do something in the middle of steps: given the run, and how often it was asked before."""

    def watch(act):
        asked, check = [], StyleTransfer._check_use

        def count(transfer):
            asked.append(transfer.provenance()["step"])
            act(transfer, len(asked) - 1)
            check(transfer)

        monkeypatch.setattr(StyleTransfer, "_check_use", count)
        return asked

    return watch


@pytest.mark.parametrize("tile", ["off", 64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_stays_of_a_step_that_was_given_up(optimizer, tile, watch):
    settings = {"scales": (40, 200), "steps": (3, 5), "tile": tile}
    whole = begin(optimizer, **settings)
    losses = [update.losses for update in whole]
    asked = watch(lambda transfer, count: transfer.interrupt() if count % 7 == 3 else None)
    transfer = begin(optimizer, **settings)
    assert [update.losses for update in transfer] == losses
    np.testing.assert_array_equal(transfer.result, whole.result)
    assert transfer.provenance()["changes"] == []
    assert len(asked) > 30
    assert {0, 3}.isdisjoint(asked)  # the first of a size is made


def test_a_change_does_not_wait_for_the_present_step(watch):
    expected = begin()
    for _ in range(4):
        next(expected)
    expected.update(style_weight=50.0, style=OTHER)
    asked = watch(
        lambda transfer, _: (
            transfer.update(style_weight=50.0, style=OTHER)
            if len(set(asked)) == 4 and transfer.settings.style_weight != 50
            else None
        )
    )
    transfer = begin()
    losses = [update.losses for update in transfer]
    assert losses[4:] == [update.losses for update in expected]
    assert [change["step"] for change in transfer.provenance()["changes"]] == [4]


@pytest.mark.parametrize("optimizer", ["adam", "bounded-lbfgs"])
def test_other_weights_cost_no_second_way_through_the_network(optimizer, watch, monkeypatch):
    """In the middle of a step, forward or back, they are in force for that one."""
    heavier = {"style_weight": 50.0, "tv_weight": 0.5}
    expected = begin(optimizer)
    for _ in range(4):
        next(expected)
    expected.update(**heavier)
    losses = [update.losses for update in expected]
    begun, trace = [], Encoder.trace
    monkeypatch.setattr(Encoder, "trace", lambda *a: begun.append(a) or trace(*a))
    moment = {"asked": 0, "wanted": 0}

    def change(transfer, _):
        if transfer.provenance()["step"] == 4:
            moment["asked"] += 1
            if moment["asked"] == moment["wanted"]:
                transfer.update(**heavier)

    watch(change)
    begin(optimizer).run()
    needed, questions = len(begun), moment["asked"]
    assert questions > 9
    for wanted in range(1, questions + 1):
        begun.clear()
        moment.update(asked=0, wanted=wanted)
        transfer = begin(optimizer)
        assert [update.losses for update in transfer][4:] == losses
        assert len(begun) == needed


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("change", [{"steps": (6, 2)}, {"scales": (52,), "steps": 9}])
def test_a_picture_that_is_enlarged_is_the_same_before_and_in_a_step(change, optimizer, watch):
    """Steps lead out of the range that images have, and nobody sees them there."""
    rate = {"adam": 0.2, "lbfgs": 1.0, "bounded-lbfgs": 0.2}[optimizer]
    settings = {"scales": (24, 40), "steps": (9, 2), "learning_rate": rate}
    expected = begin(optimizer, **settings)
    for _ in range(6):
        next(expected)
    expected.update(**change)
    losses = [update.losses for update in expected]
    watch(
        lambda transfer, _: (
            transfer.update(**change)
            if transfer.provenance()["step"] == 6 and transfer.steps == (9, 2)
            else None
        )
    )
    transfer = begin(optimizer, **settings)
    assert [update.losses for update in transfer][6:] == losses
    np.testing.assert_array_equal(transfer.result, expected.result)


def test_there_is_progress_however_fast_the_changes_come(watch):
    asked = watch(lambda transfer, count: transfer.update(style_weight=1.0 + count))
    transfer = begin(steps=6)
    assert [update.step for update in transfer] == [1, 2, 3, 4, 5, 6]
    assert transfer.settings.style_weight > len(asked) / 2
    # Each is given up at the first question, and made the next time.
    per_step = [asked.count(step) for step in range(1, 6)]
    assert per_step == [per_step[0]] * 5


def test_the_end_does_not_wait_for_the_present_step(watch, tmp_path):
    whole = begin(steps=6)
    losses = [update.losses for update in whole]
    watch(lambda transfer, count: transfer.stop() if count == 9 else None)
    transfer = begin(steps=6)
    shown = [(update.losses, update.image) for update in transfer]
    assert 0 < len(shown) < 6
    np.testing.assert_array_equal(transfer.result, shown[-1][1])
    transfer.save(tmp_path / "checkpoint")
    resumed = StyleTransfer.load(tmp_path / "checkpoint")
    assert [update.losses for update in resumed] == losses[len(shown) :]
    np.testing.assert_array_equal(resumed.result, whole.result)


def test_a_change_of_a_paused_run_waits_for_it_to_go_on(watch):
    paused = []

    def pause(transfer, count):
        if count == 2:
            transfer.pause()
            transfer.update(style_weight=50.0)
            wait, transfer._control.wait_for = transfer._control.wait_for, None

            def held(condition):
                paused.append(transfer.provenance()["step"])
                transfer.resume()
                return wait(condition)

            transfer._control.wait_for = held

    watch(pause)
    transfer = begin(steps=4)
    assert len(list(transfer)) == 4
    assert paused == [1]  # in its second step


def test_before_each_step_the_run_may_be_changed_in_its_own_thread(watch):
    transfer, steps = begin(steps=3), []

    def change():
        steps.append(transfer.provenance()["step"])
        if steps[-1] == 2:
            transfer.update(style_weight=50.0)

    transfer.before_step = change
    transfer.run()
    assert steps == [0, 1, 2, 3]
    assert transfer.provenance()["changes"] == [{"step": 2, "style_weight": 50.0}]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_that_is_changed_at_any_moment_is_made_again_to_the_last_bit(optimizer):
    transfer, finished = begin(optimizer, scales=(24, 40), steps=(8, 16)), threading.Event()
    mask, chance = halves() == 1, random.Random(0)
    changes = [
        *({"style_weight": 3.0}, {"style_weight": 0.3}, {"style": OTHER}, {"style": STYLE}),
        *({"mask": mask, "feather": 2.0}, {"mask": None}, {"color": "match"}, {"color": "style"}),
        *({"content": OTHER, "mask": None}, {"scales": (24, 48)}, {"steps": (5, 12)}),
    ]

    def meddle():
        while not finished.wait(chance.choice([0, 0.003, 0.03])):
            chance.choice(
                [transfer.interrupt, partial(transfer.update, **chance.choice(changes))]
            )()

    with thread(meddle):
        transfer.run()
        finished.set()
    recipe = json.loads(json.dumps(transfer.provenance()))
    images = {image_hash(image): image for image in (CONTENT, STYLE, OTHER)}
    again = Replay(Record.from_dict(recipe), images)
    np.testing.assert_array_equal(again.run(), transfer.result)
    assert again.provenance()["losses"] == transfer.provenance()["losses"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_goes_on_after_its_end_the_same_whatever_came_between(optimizer, tmp_path):
    """It was told of its end or not, or saved before or after that, and loaded."""

    def gone_on_with(told, saved):
        transfer = begin(optimizer, steps=6)
        for _ in range(6):
            next(transfer)
        if told:
            assert list(transfer) == []
        if saved:
            transfer.save(tmp_path / "checkpoint")
            transfer = StyleTransfer.load(tmp_path / "checkpoint")
        transfer.update(steps=10)
        return transfer.run(), transfer.provenance()

    picture, told = gone_on_with(False, False)
    for other in ((True, False), (False, True), (True, True)):
        np.testing.assert_array_equal(gone_on_with(*other)[0], picture)
    images = {image_hash(image): image for image in (CONTENT, STYLE)}
    again = Replay(Record.from_dict(json.loads(json.dumps(told))), images)
    np.testing.assert_array_equal(again.run(), picture)


def test_changes_before_one_step_can_be_made_one_by_one():
    together, apart, again = begin(steps=4), begin(steps=4), begin(steps=4)
    for transfer in (together, apart, again):
        next(transfer)
    for transfer in (together, apart, again):
        transfer.update(size=48)
        if transfer is not together:
            transfer.apply()
        transfer.update(size=40)
    assert len(together.provenance()["changes"]) == 0
    losses = [[update.losses for update in transfer] for transfer in (together, apart, again)]
    assert losses[0] != losses[1] == losses[2]
    assert [len(t.provenance()["changes"]) for t in (together, apart)] == [1, 2]
