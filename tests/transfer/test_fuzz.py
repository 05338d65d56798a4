"""Any images and any settings: a picture, or a sentence. By the thousand: benchmarks/fuzz.py."""

import faulthandler
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from tests.reference.images import pair
from tests.transfer.fuzzing import Case, Fault, check_image, draw_case, play

from napari_neural_style.transfer.run import Run


@pytest.fixture
def watchdog():
    """A run that hangs says where."""
    faulthandler.dump_traceback_later(900, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.usefixtures("watchdog")
@given(st.integers(0, 10**9))
@budget(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_case_ends_in_a_picture_or_in_a_sentence(number):
    """``benchmarks/fuzz.py --case NUMBER`` plays it again."""
    case = draw_case(random.Random(f"0/{number}"))
    try:
        play(case)
    except Exception as error:
        error.add_note(repr(case))
        raise


@pytest.mark.parametrize("wrong", [np.nan, 1.1, -0.1])
def test_the_judge_knows_an_image(wrong):
    image = np.full((4, 5, 3), 0.5, np.float32)
    check_image(image, (4, 5))
    image[1, 2, 1] = wrong
    for other in (image, image[..., :2], image.astype(float)):
        with pytest.raises(Fault):
            check_image(other, (4, 5))


def spoil(run, factor):
    for image in (run.painting.variable, run.painting.guard.best):
        image.sub_(0.5).mul_(factor).add_(0.3)


FAULTS = {
    "flat": lambda run: spoil(run, 0),
    "black or white": lambda run: spoil(run, 1e4),
    "changed its inputs": lambda run: run.settings.init.fill(0),
    "refused by ValueError": lambda run: np.zeros(3) + np.zeros(4),
    "outlives its last": lambda run: KEPT.append(run),
    "files open": lambda run: KEPT.append(open(__file__)),  # noqa: SIM115
}
KEPT = []


@pytest.mark.parametrize("words", FAULTS)
def test_the_judge_sees_faults(words, monkeypatch):
    monkeypatch.setattr(Run, "release", FAULTS[words])
    content, style = pair(32, 40)
    settings = {"init": content.copy(), "steps": 1, "style_layers": "3", "content_layers": "3"}
    with pytest.raises(Fault, match=words):
        play(Case(content, style, settings, changes={}, saved=0, told=False))
    for file in KEPT:
        getattr(file, "close", int)()
