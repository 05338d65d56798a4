import json
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from napari_neural_style.images import write_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a working directory with a content and two styles."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:48, :64] / 48
    disc = np.hypot(x - 0.6, y - 0.5) < 0.3
    write_image("content.png", np.stack([x / 1.4, y, disc], -1))
    write_image("style.jpg", np.stack([np.sin(30 * x) ** 2, np.sin(20 * y + 9 * x) ** 2, y], -1))
    write_image("stripes.tif", np.stack([np.sin(40 * x) ** 2, 0 * x, y], -1))
    return tmp_path


# Forks a process for every command that it reads, or tells how one ended: torch is loaded but
# once. What a process leaves behind that has come to its end is its own fault: 99.
NURSERY = """
import json, os, resource, signal, sys, threading
import torch
import napari_neural_style.transfer.engine
from napari_neural_style.cli import main

torch.optim.LBFGS([torch.zeros(1)])  # which is slow to import
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    process = os.fork()
    if process == 0:
        os.chdir(order["folder"])
        os.dup2(os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        exec(order["before"])
        status = main(order["arguments"])
        threads = [thread for thread in threading.enumerate() if not thread.daemon]
        os._exit(status if len(threads) == 1 else 99)
    print(process, flush=True)
"""


class Nursery:
    """Runs commands in processes of their own, in a folder."""

    def __init__(self):
        self.folder = None
        self._process = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, **order):
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def start(self, *arguments, before=""):
        """Start a command, after some code; return the process."""
        (self.folder / "stderr").unlink(missing_ok=True)
        return self._ask(arguments=arguments, folder=str(self.folder), before=before)

    def wait(self, process):
        """Return the exit status, or the negative number of the signal that killed it."""
        return self._ask(wait=process)

    def run(self, *arguments, before=""):
        return self.wait(self.start(*arguments, before=before))

    def error(self):
        """What the last command has written to stderr."""
        return (self.folder / "stderr").read_text()

    def rows(self, name="losses.csv"):
        """Rows of a log so far, without the time."""
        file = self.folder / name
        lines = file.read_text().splitlines()[1:] if file.exists() else []
        return [line.rpartition(",")[0] for line in lines]

    def wait_for(self, process, happened):
        """Wait for something to happen while a command runs."""
        patience = time.monotonic() + 100
        while not happened():
            assert time.monotonic() < patience, f"It did not happen: {self.error()}"
            assert self.runs(process), self.error()
            time.sleep(0.01)

    def runs(self, process):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE

    def close(self):
        self._process.communicate()
        assert self._process.returncode == 0


@pytest.fixture(scope="session")
def nursery_of_all():
    if sys.platform != "linux":
        pytest.skip("elsewhere a process that has loaded torch is not to be forked")
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def nursery(nursery_of_all, folder):
    nursery_of_all.folder = folder
    return nursery_of_all
