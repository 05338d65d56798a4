import os
import re
import sys
from pathlib import Path

import pytest
import torch

from napari_neural_style.cli import DONE, main


def test_info_tells_what_a_bug_report_needs(capsys):
    assert main(["info"]) == DONE
    text = capsys.readouterr().out
    for word in (
        "Python",
        "zarr ",
        "napari ",
        "torch ",
        "numpy ",
        "Qt ",
        "memory",
        "cpu ",
        "cores",
    ):
        assert word in text
    assert "vgg19" in text
    assert "torchvision" in text
    assert re.search(r"fastest in \w+\n", text)
    assert Path(re.search(r"precision +of the CPU: remembered in (.+)", text)[1]).is_file()
    assert "error" not in text


def test_info_survives_a_broken_torch(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["info"]) == DONE
    assert "ModuleNotFoundError" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX executable")
def test_info_tells_how_to_get_the_right_torch(capsys, monkeypatch, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this torch uses its GPU")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert main(["info"]) == DONE
    assert "https://pytorch.org" in capsys.readouterr().out
