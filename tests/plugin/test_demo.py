import os
import subprocess
import sys

import numpy as np

from napari_neural_style.images import METADATA_KEY, read_image

MAIN = "from napari_neural_style.cli import main; exit(main())"

WITH_A_BUG = """
from napari_neural_style.transfer.run import Run

def fail(run, check):
    raise ZeroDivisionError("a bug")

Run.step = fail
"""


def demo(*arguments, fault="", **environment):
    return subprocess.run(
        [sys.executable, "-c", fault + MAIN, "demo", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=900,
    )


def test_paints_the_window_and_the_result(tmp_path):
    window, result = tmp_path / "window.png", tmp_path / "result.png"
    run = demo("--screenshot", window, "--result", result, "--steps", 2, "--size", 48)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr

    shot = read_image(window)
    assert min(shot.shape[:2]) > 400
    assert len(np.unique(shot.reshape(-1, shot.shape[2])[::97], axis=0)) > 100
    assert max(read_image(result).shape) == 48
    assert METADATA_KEY.encode() in result.read_bytes()


def test_a_run_that_fails_is_told(tmp_path):
    run = demo("--screenshot", tmp_path / "window.png", "--size", 48, fault=WITH_A_BUG)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == "The demo failed: ZeroDivisionError: a bug"


def test_without_a_display_it_says_so():
    run = demo(DISPLAY="", WAYLAND_DISPLAY="")
    assert run.returncode == 2
    assert "there is none" in run.stderr
