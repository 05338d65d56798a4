import os
import subprocess
import sys

import numpy as np

from napari_neural_style.images import METADATA_KEY, read_image

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from napari_neural_style.cli import main; sys.exit(main())",
]


def demo(*arguments, **environment):
    return subprocess.run(
        [*COMMAND, "demo", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
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
    run = demo("--screenshot", tmp_path / "window.png", "--steps", 1, "--size", 256)
    assert run.returncode == 1
    assert "The demo failed: steps=1 is less than one for each" in run.stderr
    assert "Traceback" not in run.stderr


def test_without_a_display_it_says_so():
    run = demo(DISPLAY="", WAYLAND_DISPLAY="")
    assert run.returncode == 2
    assert "there is none" in run.stderr
