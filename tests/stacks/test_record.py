import copy
import json

import numpy as np
import pytest

from napari_neural_style import StackTransfer
from napari_neural_style.images.rendering import Rendering
from napari_neural_style.packed import plain
from napari_neural_style.stacks.record import StackRecord

from .conftest import QUICK, moving, stripes


@pytest.fixture(scope="module")
def told():
    """Return what the run of a stack tells, as JSON."""
    masks = np.zeros((2, 32, 32), np.uint8)
    masks[:, 8:] = 2
    run = StackTransfer(
        moving(2),
        stripes(),
        client="here",
        mask=masks,
        style_masks=[masks[0]],
        rendering=Rendering("cells", (300, 9000), 0.5),
        **QUICK | {"steps": 1},
    )
    run.run()
    return json.dumps(run.provenance())


def test_what_a_run_tells_is_a_record(told):
    record = StackRecord.from_dict(json.loads(told))
    assert (record.axes.letters, record.axes.shape) == ("TYX", (2, 32, 32))
    assert list(record.planes) == record.indices == [(0,), (1,)]
    assert record.planes[(1,)].start == (0,)
    assert record.own_masks
    assert record.style_masks[0].max() == 2
    assert record.rendering == Rendering("plane", (300, 9000), 0.5)
    assert record.sessions[0]["precision"] == record.settings.precision == "float32"


LARGE = plain(np.zeros((8, 8), np.uint8)) | {"shape": [2**15, 2**15]}
PLANE = {"plane": [0], "source": "0" * 32}


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("planes",), [], "does not say how"),
        (("planes",), [PLANE] * 100_001, "at most 100000 planes"),
        (("planes", 0, "plane"), [2], "none of the stack"),
        (("planes", 0, "plane"), [-1], "plane=-1"),
        (("planes", 0, "plane"), [0, 0], "none of the stack"),
        (("planes", 0, "from"), [1], "started from one that comes later"),
        (("planes", 0, "from"), [0], "started from one that comes later"),
        (("planes", 0, "source"), "../a", "no hash of a plane"),
        (("axes",), "TYXQ", "letters for 3 axes"),
        (("axes",), "../", "are none of a stack"),
        (("shape",), [2**31] * 3, "is no stack"),
        (("style_masks",), [LARGE], "no more than 512 MB"),
        (("settings", "mask"), LARGE, "no more than 512 MB"),
        (("settings", "weights"), "/etc/passwd", "no recipe may choose the files"),
        (("sessions",), [], "does not say how"),
        (("sessions", 0, "precision"), "float8", "precision"),
        (("sessions", 0, "weights"), {}, "does not say how"),
        (("rendering", "contrast_limits"), [1], "unpack"),
        (("rendering", "colormap"), "0" * 64, "does not say how"),
        (("written",), [0, 2, 0], "zero"),
        (("segment",), 0, "segment=0"),
        (("inputs", "styles"), [], "no hashes of styles"),
    ],
)
def test_strangers_are_not_trusted(told, place, value, words):
    data = json.loads(told)
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = copy.deepcopy(value)
    with pytest.raises(ValueError, match=f"^Cannot redo a.zarr: .*{words}"):
        StackRecord.from_dict(data, called="a.zarr")
