import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_neural_style import Settings
from napari_neural_style.transfer import devices
from napari_neural_style.transfer.fallback import Means, fall_back, is_out_of_memory, smaller_tiles

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
FLOAT, HALF = torch.float32, torch.bfloat16


def needed(means):
    """More for larger tiles, but never less than what the images take."""
    tile = means.tile if isinstance(means.tile, int) else 3000
    return means.precision.itemsize * (100_000 + 200 * tile)


def ladder(means, settings=None, needed=needed):
    """Every means to the last."""
    steps = []
    while means := fall_back(means, settings or Settings(precision="float32"), needed):
        steps.append(means)
    return steps


def test_a_gpu_takes_smaller_tiles_then_half_precision_then_the_cpu(monkeypatch):
    monkeypatch.setattr(devices, "_fastest_precision", lambda device: HALF)
    tiles = (1024, 512, 256, 128, 64)
    assert ladder(Means(CUDA, FLOAT, "auto")) == [
        *((CUDA, FLOAT, tile) for tile in tiles),
        (CUDA, HALF, 64),
        (CPU, FLOAT, "auto"),
        *((CPU, FLOAT, tile) for tile in tiles),
    ]


def test_a_gpu_in_half_precision_has_no_lower_one(monkeypatch):
    monkeypatch.setattr(devices, "_fastest_precision", lambda device: HALF)
    steps = ladder(Means(CUDA, HALF, 128), Settings(precision="auto", tile=128))
    assert steps == [(CUDA, HALF, 64), (CPU, HALF, 128), (CPU, HALF, 64)]


def test_verification_keeps_its_precision():
    steps = ladder(Means(CUDA, torch.float64, "off"), Settings(precision="float64", tile="off"))
    assert {step.precision for step in steps} == {torch.float64}
    assert (CPU, torch.float64, "auto") in steps


def test_tiles_that_save_nothing_are_left_out():
    steps = ladder(Means(CPU, FLOAT, "auto"), needed=lambda means: max(1e6, needed(means)))
    assert [step.tile for step in steps] == [1024, 512]
    assert ladder(Means(CPU, FLOAT, "auto"), needed=lambda means: 1) == []


@given(st.sampled_from(["auto", "off", 64, 100, 700, 5000]), st.integers(0, 10**6))
def test_every_ladder_ends_and_only_goes_down(tile, images):
    steps = ladder(Means(CPU, FLOAT, tile), needed=lambda means: images + needed(means))
    sizes = [step.tile for step in steps]
    assert sizes == sorted(set(sizes), reverse=True)
    assert all(size < tile for size in sizes if isinstance(tile, int))


def test_means_are_told_by_what_is_other():
    before = Means(CUDA, FLOAT, "auto")
    assert Means(CUDA, FLOAT, 512).named_after(before) == "in tiles of 512 pixels"
    assert Means(CUDA, HALF, 64).named_after(before) == "in bfloat16 in tiles of 64 pixels"
    assert Means(CPU, FLOAT, "auto").named_after(Means(CUDA, FLOAT, 64)) == "on cpu"


def test_lack_of_memory_is_recognised_and_nothing_else():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for lstm"))
    assert not is_out_of_memory(RuntimeError("index out of range"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_tiles_alone_do_not_change_device_or_precision():
    means, tiles = Means(CUDA, FLOAT, "auto"), []
    while means := smaller_tiles(means, needed):
        assert means[:2] == (CUDA, FLOAT)
        tiles.append(means.tile)
    assert tiles == [1024, 512, 256, 128, 64]
