import time
from pathlib import Path

import pytest
import torch

from napari_neural_style.transfer import precision
from napari_neural_style.transfer.precision import fastest_on_cpu, memory_file

CANDIDATES = (torch.float32, torch.bfloat16)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A user's cache directory of the test's own; not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(folder))
    return folder


@pytest.fixture
def measured(monkeypatch):
    """The clock is told the time, since a real one must not decide a test."""

    def work(half, single):
        seconds = {torch.bfloat16: half, torch.float32: single}
        clock = [0.0]
        runs = []

        def convolution(dtype):
            def run():
                clock[0] += seconds[dtype]
                runs.append(dtype)

            return run

        monkeypatch.setattr(precision, "_convolution", convolution)
        monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
        return runs

    return work


def test_measuring_leaves_torch_as_it_was():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(threads + 1)
    try:
        assert fastest_on_cpu() in CANDIDATES
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("half", "fastest"),
    [(1.0, torch.bfloat16), (1.8, torch.float32), (4.0, torch.float32)],
    ids=["twice as fast", "hardly faster", "slower"],
)
def test_the_fastest_is_taken(measured, half, fastest):
    measured(half, 1.9)
    assert fastest_on_cpu() == fastest


def test_the_outcome_is_remembered(measured, cache):
    runs = measured(1, 2)
    assert fastest_on_cpu() == torch.bfloat16
    assert runs
    assert memory_file().is_relative_to(cache)
    assert memory_file().read_text("utf-8").strip() == "bfloat16"
    assert list(memory_file().parent.iterdir()) == [memory_file()]
    runs = measured(2, 1)
    assert fastest_on_cpu() == torch.bfloat16
    assert not runs


@pytest.mark.parametrize("damage", [b"", b"float7\n", b"\xff\xfe\x00", b"float64"])
def test_what_cannot_be_read_is_measured_again(measured, damage):
    measured(1, 2)
    memory_file().parent.mkdir(parents=True)
    memory_file().write_bytes(damage)
    assert fastest_on_cpu() == torch.bfloat16
    assert memory_file().read_text("utf-8").strip() == "bfloat16"


def folder_in_the_way(cache):
    memory_file().mkdir(parents=True)


def file_in_the_way(cache):
    cache.write_text("not a folder")


@pytest.mark.parametrize("obstacle", [folder_in_the_way, file_in_the_way])
def test_what_cannot_be_written_is_measured_again(measured, cache, obstacle):
    obstacle(cache)
    for _ in range(2):
        runs = measured(1, 2)
        assert fastest_on_cpu() == torch.bfloat16
        assert runs
    if memory_file().is_dir():
        assert list(memory_file().parent.iterdir()) == [memory_file()]


def test_without_a_home_it_is_measured_again(measured, monkeypatch):
    def homeless(*_, **__):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(precision.platformdirs, "user_cache_path", homeless)
    measured(1, 2)
    assert fastest_on_cpu() == torch.bfloat16


def test_another_torch_or_processor_is_measured_for_itself(monkeypatch):
    files = {memory_file()}
    monkeypatch.setattr(torch, "__version__", "99.0")
    files.add(memory_file())
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX1024")
    files.add(memory_file())
    monkeypatch.setattr(precision, "_processor", lambda: "another")
    files.add(memory_file())
    assert len(files) == 4


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="Linux tells it there")
def test_the_processor_is_known_by_what_it_can_do():
    lines = precision._processor().splitlines()
    assert len([line for line in lines if line.startswith(("flags", "Features"))]) == 1
    assert precision._processor().splitlines() == lines
