"""The same recipe on the same processor, with as many threads: the same bits."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.reference.images import pair

from napari_neural_style import PRESETS, StyleTransfer

CONTENT, STYLE = pair(33, 48)
HALVES = np.repeat([[1], [2]], [15, 18], 0) * np.ones((33, 48), int)
RUNS = {
    **{preset: {"preset": preset, "scales": (40,)} for preset in PRESETS},
    "two scales": {"scales": (24, 40), "steps": (3, 2)},
    "half precision": {"precision": "bfloat16", "init": "noise", "keep_best": True},
    "regions": {"mask": HALVES, "style_masks": HALVES, "color": "match", "tile": 64},
    "lightness": {"color": "luminance", "optimizer": "lbfgs", "learning_rate": 1},
    "steered": {},
}
# What glibc hands out is filled with this, and so is what it takes back.
OTHERWISE = {"PYTHONHASHSEED": "12345", "MALLOC_PERTURB_": "165"}


def digest(name: str) -> str:
    """Of all losses and of the picture of a short run."""
    overrides = {"device": "cpu", "precision": "float32", "scales": (48,), "steps": 4}
    transfer = StyleTransfer(CONTENT, STYLE, **{**overrides, **RUNS[name]})
    losses = []
    for update in transfer:
        losses.append(update.losses)
        if name == "steered" and update.step == 2:
            transfer.update(style=CONTENT[::-1], size=40, style_weight=3)
    picture = hashlib.sha256(transfer.result.tobytes())
    return hashlib.sha256(json.dumps(losses).encode() + picture.digest()).hexdigest()


@pytest.fixture(scope="module")
def elsewhere():
    """The same in another process, in which sets have another order and fresh memory rubbish."""
    script = (
        "import sys, json, torch\n"
        "torch.set_num_threads(int(sys.argv[1]))\n"
        "from tests.transfer.test_determinism import RUNS, digest\n"
        "print(json.dumps({name: digest(name) for name in RUNS}))"
    )
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([root, *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, **OTHERWISE}
    command = [sys.executable, "-c", script, str(torch.get_num_threads())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", RUNS)
def test_the_same_recipe_has_the_same_bits(name, elsewhere):
    here = digest(name)
    assert digest(name) == here
    assert elsewhere[name] == here


@pytest.fixture
def load():
    """Keep the processor busy with something else, which also computes with torch."""
    over = threading.Event()

    def work():
        matrix = torch.ones(200, 200)
        while not over.is_set():
            matrix @ matrix

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.parametrize("name", ["fast", "gatys"])
def test_with_several_threads_and_under_load_too(name, load):
    torch.set_num_threads(3)
    assert digest(name) == digest(name)
