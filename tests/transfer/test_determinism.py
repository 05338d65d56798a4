"""The same recipe on the same processor, with as many threads: the same bits."""

import hashlib
import json
import os
import subprocess
import sys
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
    """The same in another process, in which sets have another order."""
    script = (
        "import sys, json, torch\n"
        "torch.set_num_threads(int(sys.argv[1]))\n"
        "from tests.transfer.test_determinism import RUNS, digest\n"
        "print(json.dumps({name: digest(name) for name in RUNS}))"
    )
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([root, *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", script, str(torch.get_num_threads())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", RUNS)
def test_the_same_recipe_has_the_same_bits(name, elsewhere):
    here = digest(name)
    assert digest(name) == here
    assert elsewhere[name] == here


@pytest.mark.parametrize("name", ["fast", "gatys"])
def test_with_several_threads_too(name):
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert digest(name) == digest(name)
    finally:
        torch.set_num_threads(threads)
