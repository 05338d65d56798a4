"""Runs that are killed at any moment, and end as if they had not been."""

import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_neural_style.cli import DONE
from napari_neural_style.images import read_image
from napari_neural_style.recipe import read_recipe

IMAGES = ("content.png", "style.jpg", "stripes.tif")
COMMON = ("--steps", "24", "--device", "cpu")
RUNS = {
    "everything": [
        *("--mask", "mask.png", "--style-mask", "mask.png", "--style-mask", "mask.png"),
        *("--tv-weight", "3", "--style-weights", "2,1", "--keep-best", "--color", "luminance"),
        *("--tolerance", "0.001", "--patience", "6", "--scales", "32,48", "--tile", "64"),
    ],
    "adam": ["--optimizer", "adam", "--precision", "bfloat16", "--tile", "64", "--size", "48"],
    "lbfgs": ["--preset", "tutorial", "--size", "40", "--tile", "off"],
}


@pytest.fixture
def mask(folder):
    labels = np.ones((48, 64), np.uint8)
    labels[:, 30:] = 2
    Image.fromarray(labels).save("mask.png")


@pytest.mark.parametrize("name", RUNS)
def test_killed_at_any_moment_it_ends_like_an_uninterrupted_run(nursery, mask, name):
    """Often it is saving just then, for it does so after each step."""
    begin = ["stylize", *IMAGES, *COMMON, *RUNS[name]]
    whole = ["-o", "whole.tif", "--bits", "32", "--quiet", "--log", "whole.csv"]
    assert nursery.run(*begin, *whole) == DONE, nursery.error()
    part = ["-o", "part.tif", "--bits", "32", "--quiet", "--log", "part.csv"]
    part += ["--checkpoint", "run.st", "--checkpoint-every", "0"]
    chance, run = random.Random(), [*begin, *part]
    for _ in range(4):
        before = len(nursery.rows("part.csv"))
        process = nursery.start(*run)
        while nursery.runs(process) and len(nursery.rows("part.csv")) in (0, before):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        status = nursery.wait(process)
        assert status in (-signal.SIGKILL, DONE), nursery.error()
        if os.path.exists("run.st"):  # or it was killed before its first step was saved
            run = ["stylize", "--resume", "run.st", *part]
    assert nursery.run(*run) == DONE, nursery.error()
    assert np.array_equal(read_image("part.tif"), read_image("whole.tif"))
    assert nursery.rows("part.csv") == nursery.rows("whole.csv")
    recipes = [read_recipe(name) for name in ("whole.tif", "part.tif")]
    assert {recipe.content for recipe in recipes} == {"content.png"}
    assert {recipe.styles for recipe in recipes} == {("style.jpg", "stripes.tif")}
    assert not [name for name in os.listdir() if name.endswith(".part")]


CHANGED = """
import json, numpy as np
from pathlib import Path
from napari_neural_style import StyleTransfer
from napari_neural_style.images import read_image
from napari_neural_style.transfer.autosave import Checkpoints

content, style, other = (read_image(name) for name in IMAGES)
changes = {
    4: {"style_weight": 5.0, "style_layers": {"relu1_1": 1, "relu3_1": 2.5}},
    7: {"style": [other, style], "style_weights": (2, 1)},
    10: {"size": 40, "keep_best": True},
    13: {"mask": np.tile(np.arange(64) > 30, (48, 1)), "feather": 3},
    16: {"color": "luminance", "keep_best": False},
    19: {"tv_weight": 0.1, "learning_rate": 0.03},
}
saved = SAVED and Path(SAVED)
if saved and saved.exists():
    transfer = StyleTransfer.load(saved)
else:
    transfer = StyleTransfer(content, style, scales=(24, 32), steps=24, device="cpu", **SETTINGS)
step = transfer.provenance()["step"]
transfer.update(**changes.get(step, {}))  # or it was killed before
checkpoints = saved and Checkpoints(transfer, saved, every=0)
for update in transfer:
    if checkpoints:
        checkpoints.after(update)
        Path("step").write_text(str(update.step))
    transfer.update(**changes.get(update.step, {}))
result = transfer.result
recipe = transfer.provenance()
del recipe["started"], recipe["seconds"]
Path(OUT + ".json").write_text(json.dumps(recipe))
np.save(OUT, result)
os._exit(0)
"""


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "bounded-lbfgs", "tile": 64},
        {"optimizer": "adam", "precision": "bfloat16"},
        {"optimizer": "lbfgs"},
    ],
    ids=["bounded-lbfgs", "adam", "lbfgs"],
)
def test_killed_at_any_moment_a_run_that_is_changed_ends_like_one_that_was_not_killed(
    nursery, settings
):
    """Of what is changed while it goes on, nothing is lost, and nothing made twice."""

    def program(out, saved=None):
        values = {"IMAGES": IMAGES, "SETTINGS": settings, "OUT": out, "SAVED": saved}
        return "".join(f"{name} = {value!r}\n" for name, value in values.items()) + CHANGED

    assert nursery.run(before=program("whole.npy")) == DONE, nursery.error()
    chance, step = random.Random(), Path("step")
    for _ in range(4):
        before = step.read_text() if step.exists() else None
        process = nursery.start(before=program("part.npy", "run.st"))
        while nursery.runs(process) and not (step.exists() and step.read_text() != before):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        assert nursery.wait(process) in (-signal.SIGKILL, DONE), nursery.error()
    assert nursery.run(before=program("part.npy", "run.st")) == DONE, nursery.error()
    np.testing.assert_array_equal(np.load("part.npy"), np.load("whole.npy"))
    recipes = [json.loads(Path(f"{name}.npy.json").read_text()) for name in ("part", "whole")]
    assert len(recipes[0]["changes"]) == 6
    assert recipes[0] == recipes[1]
