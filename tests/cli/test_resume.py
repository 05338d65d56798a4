"""Runs that are killed at any moment, and end as if they had not been."""

import os
import random
import signal
import time

import numpy as np
import pytest
from PIL import Image

from napari_neural_style.cli import DONE
from napari_neural_style.images import read_image

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
    assert not [name for name in os.listdir() if name.endswith(".part")]
