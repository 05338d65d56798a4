import json

import numpy as np
import pytest

from napari_neural_style import Settings, StyleTransfer
from napari_neural_style.packed import plain
from napari_neural_style.record import Record

ZEROS = "0" * 64


@pytest.fixture(scope="module")
def told():
    """Return what a run tells that was changed in its middle, as JSON."""
    picture = np.random.default_rng(0).random((32, 32, 3))
    transfer = StyleTransfer(picture, picture[::-1], "fast", steps=3, device="cpu")
    next(transfer)
    transfer.update(style=picture[:, ::-1], tv_weight=3.0, mask=np.eye(32) > 0)
    transfer.run()
    return json.dumps(transfer.provenance())


def test_what_a_run_tells_is_a_record(told):
    record = Record.from_dict(json.loads(told))
    assert record.settings == Settings(
        "fast", steps=3, device="cpu", precision=record.settings.precision
    )
    assert record.settings.precision != "auto"
    (change,) = record.changes
    assert (change.step, change.settings["tv_weight"], change.content) == (1, 3.0, None)
    assert change.settings["mask"].sum() == 32
    assert list(record.images.values()) == [
        "the content",
        "the style",
        "the style from step 2 on",
    ]
    assert (record.step, record.timed, record.shows_best) == (3, False, False)


LARGE = plain(np.zeros((8, 8), np.uint8)) | {"shape": [2**15, 2**15]}


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("inputs",), {}, "does not say how it was painted"),
        (("inputs", "content"), "../secret.png", "is no SHA-256"),
        (("begun_with", "style"), [], "no hashes of styles"),
        (("begun_with", "style"), [1], "is no SHA-256"),
        (("begun_with", "mask"), LARGE, "no more than 512 MB"),
        (("begun_with", "nonsense"), 1, "no setting 'nonsense'"),
        (("changes", 0, "step"), -1, "no number of steps"),
        (("changes", 0, "step"), 4, "not among its 3 steps"),
        (("changes", 0, "mask"), LARGE, "no more than 512 MB"),
        (("changes", 0, "device"), "cuda:99999x", "device"),
        (("changes", 0, "__class__"), 1, "is unknown"),
        (("changes",), [{}] * 10_001, "at most 10000"),
        (("changes", 0), [], "does not say how"),
        (("step",), True, "no number of steps"),
        (("settings", "weights"), "/etc/passwd", "no recipe may choose the files"),
        (("weights",), ZEROS, "does not say how"),
        (("tile",), -4, "tile"),
        (("precision",), "float8", "precision"),
        (("axes",), "TYX", "is of a stack"),
        (("notes",), [{"step": -1, "text": "", "repeats": True}], "step=-1"),
        (("notes",), [{"step": 1, "text": "", "repeats": 1}], "repeats=1: it must be True or"),
        (("notes",), [{"text": ""}], "does not say how"),
        (("notes",), [{}] * 10_001, "at most 10000"),
        (("views",), [{"sha256": ZEROS}], "does not say how"),
        (("views",), [{"sha256": ZEROS, "name": "a"}] * 10_001, "at most 10000"),
    ],
)
def test_strangers_are_not_trusted(told, place, value, words):
    data = json.loads(told)
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ValueError, match=f"^Cannot redo a.png: .*{words}"):
        Record.from_dict(data, called="a.png")


def test_the_steps_of_a_budget_are_those_that_were_made(told):
    data = json.loads(told)
    data["settings"] |= {"budget": 3.0}
    data |= {"scales": [[16, 16], [24, 24], [32, 32]], "steps": [4, 2, 0], "step": 6, "total": 6}
    data |= {"changes": []}
    record = Record.from_dict(data)
    assert record.timed
    assert record.settings.budget is None
    assert (record.settings.scales, record.settings.steps) == ((16, 24, 32), (4, 2, 0))
