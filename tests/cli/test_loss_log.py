import os
from types import SimpleNamespace

import pytest

from napari_neural_style.cli.loss_log import LossLog

LOSSES = {"content": 1.0, "style": 2.5, "tv": 0.0, "total": 3.5}


def update(step):
    return SimpleNamespace(step=step, scale=0, losses=LOSSES)


@pytest.fixture
def log(tmp_path):
    """Return a log of three steps."""
    path = tmp_path / "losses.csv"
    with LossLog(path) as log:
        for step in (1, 2, 3):
            assert log.write(update(step)) is None
    return path


def steps(path):
    return [line.partition(",")[0] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("torn", ["", "4", "4,0,1.0,2.5,0.0,3.5,0.1", "4,0,1.0\n", "?\0"])
def test_a_resumed_run_goes_on_with_its_log(log, torn):
    """What was written after the step that was saved is deleted, and what a power cut left."""
    with log.open("a") as file:
        file.write(torn)
    for after in (3, 2, 0):
        with LossLog(log, after) as resumed:
            resumed.write(update(after + 1))
        assert steps(log) == ["step", *map(str, range(1, after + 2))]


def test_its_time_goes_on(log):
    log.write_text(log.read_text().rpartition(",")[0] + ",100.000\n")
    with LossLog(log, 3) as resumed:
        resumed.write(update(4))
    assert 100 <= float(log.read_text().rpartition(",")[2]) < 1000


@pytest.mark.parametrize("text", [None, ""])
def test_without_a_log_it_is_begun(log, text):
    log.unlink()
    if text is not None:
        log.write_text(text)
    with LossLog(log, 3) as resumed:
        resumed.write(update(4))
    assert steps(log) == ["step", "4"]


def test_another_file_is_not_touched(log):
    log.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"losses\.csv is no log of losses to go on with"):
        LossLog(log, 1)
    assert log.read_text() == "a,b\n1,2\n"


@pytest.mark.skipif(os.name == "nt", reason="file size limits are POSIX")
def test_a_full_disk_ends_no_run(log):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with LossLog(log, 3) as resumed:
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, limits[1]))
        try:
            note = resumed.write(update(4))
            assert resumed.write(update(5)) is None
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "from step 4 on could not be written" in note
    assert note.endswith("losses.csv, and the run goes on: File too large.")
    assert steps(log) == ["step", "1", "2", "3"]
