import os
import stat
import time
from types import SimpleNamespace

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from napari_neural_style import PRESETS, Settings
from napari_neural_style.layers import LAYERS, find_layer
from napari_neural_style.transfer import devices
from napari_neural_style.transfer.encoder import segments_of
from napari_neural_style.transfer.objective import layers_of
from napari_neural_style.transfer.scales import fit

CPU = torch.device("cpu")
DEEP = [find_layer("relu1_1"), find_layer("relu5_1")]
DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def test_the_cpu_is_always_there_and_last():
    found = devices.available_devices()
    assert found[-1].name == "cpu"
    assert "core" in found[-1].label
    assert devices.choose_device("cpu") == CPU
    assert str(devices.choose_device("auto")) == found[0].name


@pytest.mark.parametrize("name", ["cuda:99", "cuda:00"])
def test_a_device_that_is_not_there_names_those_that_are(name):
    with pytest.raises(ValueError, match=f"device='{name}' is not there.*offers.*cpu"):
        devices.choose_device(name)


@pytest.fixture
def nvidia_driver(tmp_path, monkeypatch):
    """A machine with NVIDIA's tool on the path."""
    tool = tmp_path / ("nvidia-smi.exe" if os.name == "nt" else "nvidia-smi")
    tool.touch()
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use the card")
@pytest.mark.parametrize(
    ("cuda", "words"), [(None, "built for the CPU only.*pytorch.org"), ("13.0", "update.*driver")]
)
def test_a_card_that_torch_cannot_use_comes_with_advice(nvidia_driver, monkeypatch, cuda, words):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(ValueError, match=words):
        devices.choose_device("cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use the card")
def test_without_a_card_there_is_no_advice(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.advice() is None


@pytest.mark.parametrize("name", devices.PRECISIONS)
def test_a_precision_that_is_named_is_taken(name):
    assert str(devices.choose_precision(name, CPU)) == f"torch.{name}"


def test_apple_gpus_have_no_float64():
    with pytest.raises(ValueError, match=r"precision='float64'.*device='cpu'"):
        devices.choose_precision("float64", torch.device("mps"))


def test_auto_precision_is_decided_once_and_leaves_torch_as_it_was():
    threads = torch.get_num_threads()
    chosen = devices.choose_precision("auto", CPU)
    assert chosen in (torch.float32, torch.bfloat16)
    assert devices.choose_precision("auto", CPU) == chosen
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("half", "chosen"), [(1.0, torch.bfloat16), (2.0, torch.float32)])
def test_auto_precision_is_the_fastest(monkeypatch, half, chosen):
    """The clock is told the time, since a real one must not decide a test."""
    work = {torch.bfloat16: half, torch.float32: 1.9}
    clock = [0.0]

    def convolution(dtype):
        def run():
            clock[0] += work[dtype]

        return run

    monkeypatch.setattr(devices, "_convolution", convolution)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    devices._fastest_precision.cache_clear()
    try:
        assert devices.choose_precision("auto", CPU) == chosen
    finally:
        devices._fastest_precision.cache_clear()


@given(
    tile=st.sampled_from(["auto", "off"]) | st.integers(64, 4096),
    width=st.integers(1, 20_000),
    dtype=st.sampled_from(DTYPES),
)
def test_strips_have_rows_for_every_segment(tile, width, dtype):
    plan = devices.plan_strips(tile, dtype, CPU)
    for segment in segments_of(LAYERS):
        rows = plan.rows(segment, max(1, width // segment.stride))
        assert (rows is None) == (tile == "off")
        if isinstance(tile, int):
            assert rows * segment.stride == pytest.approx(tile, abs=2 * segment.stride)
        elif rows is not None:
            assert rows >= 8


@given(
    side=st.integers(16, 20_000),
    preset=st.sampled_from(list(PRESETS)),
    dtype=st.sampled_from(DTYPES),
    tile=st.sampled_from(["auto", "off", 256]),
)
def test_more_of_everything_needs_more_memory(side, preset, dtype, tile):
    layers = layers_of(Settings(preset=preset))

    def needed(height, width, tile=tile, dtype=dtype):
        return devices.memory_needed(layers, (height, width), tile, dtype, CPU)

    assert needed(side, side) > 12 * side * side
    assert needed(2 * side, 2 * side) > needed(side, side)
    assert needed(side, side, dtype=torch.float64) >= needed(side, side, dtype=torch.bfloat16)
    assert needed(side, side, tile="off") >= needed(side, side, tile=512)


@pytest.fixture
def memory(monkeypatch):
    """Set the memory that is free on the machine, in gigabytes."""

    def free(gigabytes):
        available = SimpleNamespace(available=int(gigabytes * 2**30))
        monkeypatch.setattr(psutil, "virtual_memory", lambda: available)

    return free


@pytest.mark.parametrize("tile", ["auto", "off", 256])
def test_a_size_beyond_the_memory_names_one_that_fits(memory, tile):
    @given(
        gigabytes=st.floats(0.5, 64),
        shape=st.tuples(st.integers(64, 65_536), st.integers(64, 65_536)),
        dtype=st.sampled_from(DTYPES),
    )
    @budget(max_examples=60)
    def check(gigabytes, shape, dtype):
        memory(gigabytes)

        def check_memory(side):
            devices.check_memory(DEEP, fit(*shape, side), tile, dtype, CPU)

        try:
            check_memory(max(shape))
        except ValueError as error:
            message = str(error)
        else:
            return
        assert f"{shape[1]} x {shape[0]} pixels needs about" in message
        fitting = int(message.removesuffix(" pixels.").rsplit(maxsplit=1)[1])
        assert 16 <= fitting < max(shape)
        check_memory(fitting)

    check()


def test_free_memory_is_that_of_the_machine():
    assert 0 < devices.free_memory(CPU) <= psutil.virtual_memory().total
