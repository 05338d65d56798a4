import json
import platform
from datetime import UTC, datetime, timedelta

import numpy as np
import torch

from napari_neural_style import StyleTransfer, __version__
from napari_neural_style.images import array_hash, image_hash, to_rgb

RNG = np.random.default_rng(0)
CONTENT, STYLE = (RNG.integers(0, 256, (32, 40, 3), np.uint8) for _ in range(2))


def test_it_tells_all_that_decides_the_picture():
    mask = np.arange(32 * 40).reshape(32, 40) % 3
    before = datetime.now(UTC) - timedelta(seconds=1)
    transfer = StyleTransfer(
        *(CONTENT, [STYLE, CONTENT], "fast"),
        **{"steps": 2, "device": "cpu", "mask": mask, "init": STYLE, "seed": 3},
    )
    transfer.run()
    told = json.loads(json.dumps(transfer.provenance(), allow_nan=False))
    assert told["inputs"] == {
        "content": image_hash(to_rgb(CONTENT)),
        "styles": [image_hash(to_rgb(STYLE)), image_hash(to_rgb(CONTENT))],
        "mask": array_hash(transfer.settings.mask),
        "init": array_hash(transfer.settings.init),
    }
    assert (told["device"], told["precision"]) == ("cpu", transfer.precision)
    assert (told["tile"], told["seed"], told["result"]) == ("auto", 3, "last")
    assert told["scales"] == [list(shape) for shape in transfer.scales]
    assert (told["changes"], told["begun_with"]) == ([], {})
    assert len(told["weights"]["sha256"]) == 64
    assert before < datetime.fromisoformat(told["started"]) <= datetime.now(UTC)
    assert told["seconds"] > 0
    versions, machine = told["versions"], told["machine"]
    assert (versions["napari-neural-style"], versions["torch"]) == (__version__, torch.__version__)
    assert {"numpy", "scikit-image", "python"} <= versions.keys()
    assert machine["threads"] == torch.get_num_threads()
    assert machine["system"] == platform.platform()
    assert machine["processor"]
    assert machine["instructions"]


def test_what_it_began_with_outlives_changes_and_a_checkpoint(tmp_path):
    transfer = StyleTransfer(CONTENT, STYLE, "fast", steps=4, device="cpu", style_weight=2.0)
    transfer.update(style_weight=3.0)  # before the first step, it is what it begins with
    next(transfer)
    for weight in (4.0, 5.0):
        transfer.update(style_weight=weight, content=STYLE)
        next(transfer)
    transfer.save(tmp_path / "a")
    for made in (transfer, StyleTransfer.load(tmp_path / "a")):
        made.run()
        told = made.provenance()
        assert told["begun_with"] == {"style_weight": 3.0, "content": image_hash(to_rgb(CONTENT))}
        assert told["inputs"]["content"] == image_hash(to_rgb(STYLE))
        assert told["settings"]["style_weight"] == 5.0
        assert [change["step"] for change in told["changes"]] == [1, 2]
        assert told["started"] == transfer.provenance()["started"]


def test_a_picture_of_the_middle_is_no_best_one():
    transfer = StyleTransfer(CONTENT, STYLE, "fast", steps=3, device="cpu", keep_best=True)
    assert [transfer.provenance()["result"] for _ in transfer] == ["last", "last", "best"]


def test_hashes_are_of_values_and_not_of_how_they_lie_in_memory():
    array = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert (
        array_hash(array) == array_hash(np.asfortranarray(array)) == array_hash(array.astype(">u2"))
    )
    others = (array.reshape(4, 3), array.astype(np.int32), array[::-1], array.astype(np.float32))
    assert len({array_hash(other) for other in (array, *others)}) == 5
    # As the documentation says, so that others can compute it.
    assert array_hash(np.zeros((1, 2), bool)) == (
        "78d14c4c340bc42de0eb54939069794d04b8200c271d0ce54d9273842a3ea335"
    )
