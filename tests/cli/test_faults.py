"""What may go wrong around a run: what the user sees of it, and what is kept."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from napari_neural_style.cli import BAD_INPUT, DONE, INTERRUPTED
from napari_neural_style.images import METADATA_KEY, read_image

RUN = ("stylize", "content.png", "style.jpg", "-o", "out.png", "--log", "losses.csv")
SHORT = ("--device", "cpu", "--steps", "3")
ENDLESS = ("--device", "cpu", "--steps", "1000000", "--scales", "64")
SAVED = ("--checkpoint", "run.st", "--checkpoint-every", "0")


@pytest.fixture
def endless(nursery):
    """Start a run that does not end by itself; return its process when it paints."""

    def start(*arguments, before=""):
        process = nursery.start(*RUN, *ENDLESS, *arguments, before=before)
        nursery.wait_for(process, lambda: len(nursery.rows()) > 2)
        return process

    return start


@pytest.fixture
def more(nursery):
    """Wait until a run has made more steps."""

    def wait(process):
        before = len(nursery.rows())
        nursery.wait_for(process, lambda: len(nursery.rows()) > before + 2)

    return wait


def painted(path="out.png"):
    """Return after how many steps a picture was painted."""
    assert read_image(path).shape == (48, 64, 3)
    with Image.open(path) as image:
        return json.loads(image.text[METADATA_KEY])["step"]


def said(nursery):
    """Lines on stderr without those of the bar, which write over each other."""
    lines = nursery.error().replace("\r", "\n").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("Painting on")]


def nothing_remains(folder):
    assert not [name for name in os.listdir(folder) if name.endswith(".part")]


# --------------------------------------------------------------------------- signals


@pytest.mark.parametrize(("number", "status"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143)])
def test_no_number_of_signals_costs_what_was_painted(nursery, endless, number, status):
    """Neither one after which the step is waited for, nor those while the result is written."""
    process = endless(*SAVED)
    patience = time.monotonic() + 100
    while nursery.runs(process) and time.monotonic() < patience:
        os.kill(process, number)
    assert not nursery.runs(process)
    assert nursery.wait(process) in (status, -number)  # it may have done all it had to
    assert painted() >= 3
    assert re.fullmatch(
        r"Wrote out.png, 64 x 48 pixels, after \d+ of 1000000 steps.", *said(nursery)
    )
    assert nursery.run("stylize", "-o", "out.png", "--resume", "run.st", "--steps", "4") == DONE
    nothing_remains(".")  # if a signal came at the very end of a save, since the next one


def test_nohup_outlasts_the_terminal(nursery, endless, more):
    process = endless(before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    os.kill(process, signal.SIGHUP)
    more(process)
    os.kill(process, signal.SIGINT)
    assert nursery.wait(process) == INTERRUPTED
    assert painted() == len(nursery.rows())


def test_a_clock_that_is_set_back(nursery):
    before = "import itertools, time; hours = itertools.count(10**6, -1);"
    before += "time.time = lambda: 3600.0 * next(hours)"
    assert nursery.run(*RUN, *SHORT, *SAVED, before=before) == DONE, nursery.error()
    assert painted() == 3
    rows = Path("losses.csv").read_text().splitlines()[1:]
    seconds = [float(row.rpartition(",")[2]) for row in rows]
    assert 0 <= seconds[0] <= seconds[1] <= seconds[2] < 3600


# ----------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("gone/out.png", "there is no such file or folder"),
        ("folder.png", "it is a folder"),
        ("content.png/out.png", "Not a directory"),
        ("/sys/out.png", "you have no permission"),
        ("locked/out.png", "you have no permission"),
        ("pipe.png", "it is a pipe or a device, not a file"),
    ],
)
def test_a_place_that_cannot_be_written_is_found_out_before_the_run(folder, out, why):
    (folder / "folder.png").mkdir()
    (folder / "locked").mkdir(mode=0o500)
    os.mkfifo(folder / "pipe.png")
    if out.startswith("locked") and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    code = (
        "import sys; from napari_neural_style.cli import main; status = main();"
        "sys.exit(99 if 'torch' in sys.modules else status)"
    )
    command = [sys.executable, "-c", code, *RUN[:3], "-o", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (BAD_INPUT, "")
    assert done.stderr == f"napari-neural-style: Cannot write {out}: {why}.\n"


def limited(process, size):
    """Let a process write no file beyond a size, as on a disk that has become full."""
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_disk_that_becomes_full(nursery, endless):
    """It costs neither the run nor what was saved before; and then not even the result."""
    process = endless(*SAVED, "-o", "out.tif", "--bits", "32", "--quiet")
    for _ in range(2):
        limited(process, 20_000)  # bytes; checkpoint and result have more, stderr has not
        told = len(said(nursery))
        nursery.wait_for(process, lambda told=told: len(said(nursery)) > told)
        kept = Path("run.st").stat().st_ino
        limited(process, resource.RLIM_INFINITY)
        nursery.wait_for(process, lambda kept=kept: Path("run.st").stat().st_ino != kept)
    limited(process, 20_000)
    os.kill(process, signal.SIGINT)
    assert nursery.wait(process) == BAD_INPUT
    *notes, end = said(nursery)
    pattern = (
        r"Step (\d+) could not be saved, and the run goes on; run.st keeps step (\d+): "
        "Cannot write run.st: File too large."
    )
    found = [re.fullmatch(pattern, note) for note in notes if "losses" not in note]
    assert len(found) in (2, 3)
    assert all(int(note[1]) == int(note[2]) + 1 for note in found)
    assert end == "napari-neural-style: Cannot write out.tif: File too large."
    nothing_remains(".")
    assert nursery.run("stylize", "-o", "out.png", "--resume", "run.st", "--steps", "4") == DONE
    assert painted() >= int(found[-1][2])


def test_a_folder_that_vanishes(nursery, endless, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    Path("results").mkdir()
    before = f"import tempfile; tempfile.tempdir = {str(elsewhere)!r}"
    process = endless("-o", "results/out.png", before=before)
    shutil.rmtree("results")
    os.kill(process, signal.SIGINT)
    assert nursery.wait(process) == BAD_INPUT
    (kept,) = elsewhere.glob("*/out.png")
    assert painted(kept) == len(nursery.rows())
    assert said(nursery) == [
        "napari-neural-style: Cannot write results/out.png: there is no such file or folder. "
        f"What was painted is in {kept}."
    ]


# ---------------------------------------------------------------------------- streams


@pytest.mark.parametrize("streams", ["2>&-", "<&- >&- 2>&-", "2>&1 | true", "2> /dev/full"])
def test_nobody_listens(folder, streams):
    """Nothing that is printed gets into a file that is opened instead."""
    command = "import sys; from napari_neural_style.cli import main; sys.exit(main())"
    arguments = " ".join([*RUN, *SHORT, *SAVED])
    script = f"set -o pipefail; {sys.executable} -c '{command}' {arguments} {streams}"
    assert subprocess.run(["bash", "-c", script]).returncode == DONE
    assert painted() == 3


def test_the_reader_of_info_leaves(folder):
    command = [
        sys.executable,
        "-c",
        "from napari_neural_style.cli import main; exit(main())",
        "info",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == DONE


# ------------------------------------------------------------------------------ torch

FAULT = """
from torch.utils._python_dispatch import TorchDispatchMode

class Fault(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        # Within the encoder: a fault while the run is saved would not end it.
        if "conv" in str(function) and os.path.exists("now"):
            os.remove("now")
            {deed}
        return function(*arguments, **(named or {{}}))

Fault().__enter__()
"""


def test_an_error_that_nobody_foresaw(nursery, endless):
    deed = r"torch.ones(2, 3) @ torch.ones(2, 3)"  # as of a fault within the encoder
    process = endless(*SAVED, before=FAULT.format(deed=deed))
    Path("now").touch()
    assert nursery.wait(process) == BAD_INPUT
    wrote, complaint = said(nursery)
    assert wrote.startswith("Wrote out.png, ")
    assert complaint.startswith("napari-neural-style: mat1 and mat2 shapes cannot be multiplied")
    assert re.search(r"RuntimeError, \w+\.py line \d+\): this was not foreseen", complaint)
    assert painted() == len(nursery.rows())
    nothing_remains(".")
    assert nursery.run(*RUN, *SHORT) == DONE


def test_too_little_memory_for_any_step(nursery, endless):
    deed = "torch.empty(2**60)"
    process = endless(before=FAULT.format(deed=deed))
    Path("now").touch()
    nursery.wait_for(process, lambda: "goes on in tiles" in nursery.error())
    os.kill(process, signal.SIGINT)
    assert nursery.wait(process) == INTERRUPTED
    assert painted() == len(nursery.rows())
