import gc
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from napari_neural_style.images import to_rgb, to_uint8
from napari_neural_style.plugin.worker import Change, Painter, explain
from napari_neural_style.transfer.engine import StyleTransfer
from napari_neural_style.transfer.run import Run
from napari_neural_style.transfer.update import Update

from .conftest import TIMEOUT, picture

QUICK = {"preset": "fast", "size": 32, "device": "cpu", "steps": 4}


@pytest.fixture
def paint(qtbot):
    """Start a small run; what it tells is collected on the painter."""
    painters = []

    def paint(steps=100_000, prepare=None, **settings):
        def default():
            return StyleTransfer(
                picture(32, 40),
                picture(32, 32, 3, seed=1),
                **{**QUICK, "steps": steps, **settings},
            )

        job = SimpleNamespace(
            prepare=prepare or default,
            develop=to_uint8,
            remark=lambda developed: "",
            names={},
            checkpoint=None,
        )
        painter = Painter(job)
        painter.frames, painter.outcomes, painter.notes = [], [], []
        painter.framed.connect(painter.frames.append)
        painter.ended.connect(painter.outcomes.append)
        painter.noted.connect(painter.notes.append)
        painters.append(painter)
        painter.start()
        return painter

    yield paint
    for painter in painters:
        painter.stop()
        assert painter.wait(60)


@pytest.fixture
def wait_for(qtbot):
    return lambda condition: qtbot.waitUntil(lambda: bool(condition()), timeout=TIMEOUT)


def test_a_run_ends_with_the_image_and_its_recipe(paint, wait_for):
    painter = paint(steps=4)
    wait_for(lambda: painter.outcomes)
    (outcome,) = painter.outcomes
    assert outcome.data.shape == (26, 32, 3)
    assert outcome.data.dtype == np.uint8
    assert outcome.recipe["step"] == 4
    assert not outcome.stopped
    assert outcome.error is None
    assert painter.wait(60)


def test_signals_arrive_in_the_thread_of_the_gui(paint, wait_for):
    painter = paint(steps=2)
    threads = []
    painter.framed.connect(lambda _: threads.append(threading.current_thread()))
    painter.ended.connect(lambda _: threads.append(threading.current_thread()))
    wait_for(lambda: painter.outcomes)
    assert set(threads) == {threading.main_thread()}


def test_no_frame_comes_before_the_last_was_shown(paint, wait_for):
    painter = paint()
    wait_for(lambda: painter.frames)
    # The run goes on: it does not wait for the GUI.
    wait_for(lambda: painter._transfer._step >= painter.frames[0].step + 5)
    assert len(painter.frames) == 1
    painter.shown(0.0)
    wait_for(lambda: len(painter.frames) == 2)
    assert painter.frames[1].step > painter.frames[0].step + 4
    assert painter.frames[1].data is not painter.frames[0].data


@pytest.mark.parametrize(
    ("cost", "interval"), [(0.001, 0.25), (0.025, 1.0), (0.2, 2.0), (0.5, 2.5)]
)
def test_frames_come_as_often_as_costs_little(cost, interval):
    painter = Painter(None)
    painter.shown(cost)
    assert painter._interval == pytest.approx(interval)


def test_losses_and_image_are_read_only_for_a_frame(paint, wait_for, monkeypatch):
    read = {"losses": 0, "image": 0}
    for name in read:
        original = getattr(Update, name).fget

        def counted(update, name=name, original=original):
            read[name] += 1
            return original(update)

        monkeypatch.setattr(Update, name, property(counted))
    # On a CPU a look at the losses costs nothing.
    monkeypatch.setattr(StyleTransfer, "device", "mps")
    painter = paint(steps=40)
    wait_for(lambda: painter.outcomes)
    assert len(painter.frames) == 1
    assert read["image"] == 1
    assert read["losses"] <= 2


def test_stop_ends_the_run_and_keeps_the_image(paint, wait_for):
    painter = paint()
    wait_for(lambda: painter.frames)
    painter.stop()
    wait_for(lambda: painter.outcomes)
    assert painter.outcomes[0].stopped
    assert painter.outcomes[0].data is not None


def test_stop_before_the_engine_is_made(paint, wait_for):
    released = threading.Event()

    def prepare():
        released.wait(60)
        return StyleTransfer(picture(32, 32), picture(32, 32, 3), preset="fast", size=32)

    painter = paint(prepare=prepare)
    painter.stop()
    released.set()
    wait_for(lambda: painter.outcomes)
    assert painter.outcomes[0].data is None
    assert painter.frames == []


def test_pause_before_the_engine_is_made(paint, wait_for, qtbot):
    released = threading.Event()

    def prepare():
        released.wait(60)
        return StyleTransfer(
            picture(32, 32), picture(32, 32, 3), preset="fast", size=32, steps=2, device="cpu"
        )

    painter = paint(prepare=prepare)
    painter.pause()
    released.set()
    qtbot.wait(300)
    assert painter.frames == []
    painter.resume()
    wait_for(lambda: painter.outcomes)
    assert painter.outcomes[0].recipe["step"] == 2


def test_notes_are_passed_on(paint, wait_for, monkeypatch):
    step = Run.step

    def note_the_second(run, *args):
        losses = step(run, *args)
        if run.progress.step == 2:
            run.notes.add("went back")
        return losses

    monkeypatch.setattr(Run, "step", note_the_second)
    painter = paint(steps=3)
    wait_for(lambda: painter.outcomes)
    assert painter.notes == ["went back"]


def test_a_failing_run_is_told_and_leaves_no_engine(paint, wait_for, monkeypatch):
    engines = []
    step = Run.step

    def fail(run, *args):
        engines.append(weakref.ref(run))
        if run.progress.step == 1:
            raise ZeroDivisionError
        return step(run, *args)

    monkeypatch.setattr(Run, "step", fail)
    painter = paint()
    wait_for(lambda: painter.outcomes)
    (outcome,) = painter.outcomes
    assert isinstance(outcome.error, ZeroDivisionError)
    assert outcome.data is not None
    assert painter.wait(60)
    gc.collect()
    assert engines[0]() is None


def test_an_engine_that_cannot_be_made_is_told(paint, wait_for):
    painter = paint(size=1)
    wait_for(lambda: painter.outcomes)
    (outcome,) = painter.outcomes
    assert isinstance(outcome.error, ValueError)
    assert outcome.data is outcome.recipe is None


def test_bad_input_is_told_in_its_own_words_and_bugs_are_not():
    assert explain(ValueError("The content is empty.")) == "The content is empty."
    assert explain(FileNotFoundError("no weights")) == "no weights"
    assert explain(MemoryError("Choose at most 512 px.")) == "Choose at most 512 px."
    assert "not enough memory" in explain(MemoryError())
    assert "not enough memory" in explain(MemoryError("std::bad_alloc"))
    with pytest.raises(MemoryError) as numpys:
        np.empty(2**60, np.uint8)
    assert "not enough memory" in explain(numpys.value)
    assert explain(RuntimeError("index out of range")) is None
    assert explain(ZeroDivisionError("x")) is None


def test_every_loss_is_told_once(paint, wait_for):
    painter = paint(steps=30)
    painter.framed.connect(lambda _: painter.shown(0.0))
    wait_for(lambda: painter.outcomes)
    points = [point for frame in painter.frames for point in frame.losses]
    points += painter.outcomes[0].losses
    assert [point.step for point in points] == list(range(1, 31))
    assert all(point.losses["total"] > 0 and point.scale == 32 for point in points)


def test_of_several_changes_of_a_name_the_last_is_made(paint, wait_for):
    painter = paint()
    made = []

    def change(weight):
        def read():
            made.append(threading.current_thread())
            return {"style_weight": weight}

        return Change(painter.job, read)

    painter.pause()
    for weight in (1.0, 2.0, 3.0):
        painter.steer("style_strength", change(weight))
    painter.resume()
    wait_for(lambda: made)
    painter.stop()
    wait_for(lambda: painter.outcomes)
    assert painter.outcomes[0].recipe["settings"]["style_weight"] == 3.0
    assert made[-1] is painter._thread


def test_a_change_does_not_wait_for_the_present_step(paint, wait_for):
    attempts = []

    class Slow(StyleTransfer):
        def _check_use(self):  # many times in a step
            step = self.provenance()["step"]
            attempts.append(step)
            if len(attempts) == 1:
                painter.steer("smoothness", Change(painter.job, lambda: {"tv_weight": 0.5}))
            super()._check_use()

    painter = paint(prepare=lambda: Slow(picture(32, 40), picture(32, 32), **QUICK))
    wait_for(lambda: painter.outcomes)
    (change,) = painter.outcomes[0].recipe["changes"]
    assert change == {"step": attempts[0], "tv_weight": 0.5}
    assert attempts[:2] == [attempts[0]] * 2


def test_a_change_of_the_picture_itself_is_seen_before_a_step_is_made_with_it(paint, wait_for):
    mask = np.zeros((32, 40), np.uint8)
    mask[:, :20] = 1
    painter = paint(size=None)
    painter.framed.connect(lambda _: painter.shown(0.0))
    wait_for(lambda: len(painter.frames) > 3)
    painter.steer("mask", Change(painter.job, lambda: {"mask": mask, "feather": 0.0}))
    wait_for(lambda: painter.frames[-1].recipe["changes"])
    painter.stop()
    first = next(i for i, frame in enumerate(painter.frames) if frame.recipe["changes"])
    before, seen = painter.frames[first - 1 : first + 1]
    (change,) = seen.recipe["changes"]
    assert change["step"] == seen.step == seen.recipe["step"]
    content = to_rgb(picture(32, 40), "content")
    np.testing.assert_array_equal(seen.data[:, 20:], to_uint8(content)[:, 20:])
    if before.step == seen.step:
        np.testing.assert_array_equal(seen.data[:, :20], before.data[:, :20])


def test_steps_on_small_copies_are_shown_and_their_losses_are_not_compared(
    paint, wait_for, monkeypatch
):
    monkeypatch.setattr("napari_neural_style.transfer.sketch._SMALLEST", 16)
    shallow = {"style_layers": "relu1_1", "content_layers": "relu1_2"}
    painter = paint(steps=60, scales=(40,), size=None, **shallow)
    sketched = []

    def show(frame):
        if "sketch of the change" in frame.text:
            sketched.append(frame.step)
        painter.shown(0.0)

    painter.framed.connect(show)
    wait_for(lambda: len(painter.frames) > 1)
    other = picture(32, 32, 3, seed=5)
    painter.steer("style", Change(painter.job, lambda: {"style": other}))
    wait_for(lambda: painter.outcomes)
    (change,) = painter.outcomes[0].recipe["changes"]
    copies = range(change["step"] + 1, change["step"] + 9)
    assert sketched
    assert set(sketched) <= set(copies)
    points = [point.step for frame in painter.frames for point in frame.losses]
    points += [point.step for point in painter.outcomes[0].losses]
    assert points == [step for step in range(1, 69) if step not in copies]


def test_what_changes_no_picture_is_seen_with_its_step(paint, wait_for):
    painter = paint()
    painter.framed.connect(lambda _: painter.shown(0.0))
    wait_for(lambda: len(painter.frames) > 3)
    change = {"mask": None, "style_weight": 9.0}
    painter.steer("style_strength", Change(painter.job, lambda: change))
    wait_for(lambda: painter.frames[-1].recipe["changes"])
    painter.stop()
    seen = next(frame for frame in painter.frames if frame.recipe["changes"])
    assert seen.step > seen.recipe["changes"][0]["step"]


def test_how_many_steps_are_left_is_told_before_the_next(paint, wait_for):
    painter = paint(steps=200)
    painter.framed.connect(lambda _: painter.shown(0.0))
    wait_for(lambda: len(painter.frames) > 3)
    painter.steer("steps", Change(painter.job, lambda: {"steps": 300}))
    wait_for(lambda: painter.frames[-1].recipe["changes"])
    painter.stop()
    seen = next(frame for frame in painter.frames if frame.recipe["changes"])
    assert seen.step == seen.recipe["changes"][0]["step"]
    assert seen.total == 300
    assert f"Step {seen.step} of 300" in seen.text
    assert seen.share == seen.step / 300


def test_after_several_changes_at_once_it_is_seen_how_the_picture_goes_on(paint, wait_for):
    """Also with another size, at which there is nothing to show before its first step."""
    mask = np.zeros((32, 40), np.uint8)
    mask[:, :20] = 1
    painter = paint(steps=200, size=None, scales=(24, 32))
    painter.framed.connect(lambda _: painter.shown(0.0))
    wait_for(lambda: len(painter.frames) > 3)
    for wanted in (
        {"steps": 300, "size": 40, "scales": (40,)},
        {"steps": 250, "size": 44, "scales": (24, 42, 44)},
        {"mask": mask, "size": 46, "scales": (46,), "feather": 0.0},
    ):
        changes, frames = len(painter.frames[-1].recipe["changes"]), len(painter.frames)
        painter.pause()
        for name, value in wanted.items():
            painter.steer(name, Change(painter.job, lambda name=name, v=value: {name: v}))
        painter.resume()
        wait_for(lambda n=changes: len(painter.frames[-1].recipe["changes"]) > n)
        wait_for(lambda n=frames: len(painter.frames) > n + 3)
        assert not painter.outcomes
    painter.stop()


def test_a_change_that_cannot_be_made_is_told_and_the_run_goes_on(paint, wait_for):
    painter = paint()
    refused = []
    painter.refused.connect(refused.append)
    before = painter.job
    painter.steer("size", Change(SimpleNamespace(), lambda: {"size": 3}))
    wait_for(lambda: refused)
    assert "size=3" in str(refused[0])
    assert painter.job is before
    step = painter._transfer._step
    wait_for(lambda: painter._transfer._step > step)
