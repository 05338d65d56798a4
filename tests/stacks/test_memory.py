import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
from napari_neural_style import StackTransfer
from tests.stacks.conftest import QUICK, stripes

class Lazy:
    shape, dtype = (int(sys.argv[1]), 768, 768), np.dtype(np.float64)

    def __getitem__(self, index):
        return np.random.default_rng(index[0]).random(self.shape[1:])

options = QUICK | {"steps": 1, "client": "here", "out": sys.argv[2]}
run = StackTransfer(Lazy(), stripes(), "ZYX", **options)
assert sum(update.finished is not None for update in run) == run.total
"""
PLANE = 768 * 768 * 8


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="it tells the memory of another process")
def test_a_long_stack_takes_no_more_memory_than_a_short_one(tmp_path, pytestconfig):
    def peak(planes):
        program = [sys.executable, "-c", PROGRAM, str(planes), tmp_path / str(planes)]
        process = subprocess.Popen(program, cwd=pytestconfig.rootpath)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    short, long = 8, 32
    assert peak(long) - peak(short) < 0.4 * (long - short) * PLANE
