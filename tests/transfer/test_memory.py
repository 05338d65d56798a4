from types import SimpleNamespace

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from napari_neural_style import PRESETS, Settings
from napari_neural_style.layers import LAYERS
from napari_neural_style.transfer.fallback import Means
from napari_neural_style.transfer.memory import check_memory, memory_needed, plan_tiles, room
from napari_neural_style.transfer.scales import fit
from napari_neural_style.transfer.studio import fitting_means, needed_with

CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.bfloat16, torch.float64]


@given(
    tile=st.sampled_from(["auto", "off"]) | st.integers(64, 4096),
    width=st.integers(16, 20_000),
    dtype=st.sampled_from(DTYPES),
)
def test_every_segment_has_strips(tile, width, dtype):
    plan = plan_tiles(tile, dtype, CPU)
    for segment in plan.segments(LAYERS, 500, width, dtype):
        columns = width // segment.stride
        rows = plan.rows(segment, 500 // segment.stride, columns)
        assert (rows is None) == (tile == "off")
        if isinstance(tile, int) and rows > 1 and dtype == torch.bfloat16:
            assert rows * columns * segment.stride**2 <= tile**2
        assert rows is None or rows >= 1


@given(
    side=st.integers(16, 20_000),
    preset=st.sampled_from(list(PRESETS)),
    dtype=st.sampled_from(DTYPES),
    tile=st.sampled_from(["auto", "off", 256]),
)
def test_more_of_everything_needs_more_memory(side, preset, dtype, tile):
    settings = Settings(preset=preset)

    def needed(height, width, tile=tile, dtype=dtype):
        return memory_needed(settings, (height, width), plan_tiles(tile, dtype, CPU), dtype)

    assert needed(side, side) > 12 * side * side
    assert needed(4 * side, 4 * side) > needed(side, side)  # kept below, computed again above
    wide, narrow = (needed(side, side, "off", t) for t in (torch.float64, torch.bfloat16))
    assert wide > narrow
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
        gigabytes=st.floats(1, 64),
        shape=st.tuples(st.integers(64, 20_000), st.integers(64, 20_000)),
        dtype=st.sampled_from(DTYPES),
    )
    @budget(max_examples=25)
    def check(gigabytes, shape, dtype):
        memory(gigabytes)

        def check_side(side):
            plan = plan_tiles(tile, dtype, CPU)
            check_memory(Settings(), fit(*shape, side), plan, dtype, CPU)

        try:
            check_side(max(shape))
        except ValueError as error:
            message = str(error)
        else:
            return
        assert f"{shape[1]} x {shape[0]} pixels needs about" in message
        fitting = int(message.removesuffix(" pixels.").rsplit(maxsplit=1)[1])
        assert 16 <= fitting < max(shape)
        check_side(fitting)

    check()


def test_tiles_are_as_small_as_the_memory_asks_for(memory):
    memory(64)

    @given(side=st.integers(256, 4000), gigabytes=st.floats(0.6, 8))
    def check(side, gigabytes):
        settings = Settings(memory_limit=gigabytes)
        auto, shape = Means(CPU, torch.float32, "auto"), (side, side)

        def needed(means):
            return needed_with(settings, shape, means) / 2**30

        if needed(auto._replace(tile=64)) > gigabytes:
            words = rf"memory_limit allows {gigabytes:g} GB: .*, or a higher limit"
            with pytest.raises(ValueError, match=words):
                fitting_means(settings, auto, shape)
            return
        means = fitting_means(settings, auto, shape)
        assert needed(means) <= gigabytes
        assert (means == auto) == (needed(auto) <= gigabytes)

    check()


def test_given_tiles_are_kept():
    settings = Settings(memory_limit=1, tile=1024)
    with pytest.raises(ValueError, match="memory_limit allows 1 GB: choose a size of at most"):
        fitting_means(settings, Means(CPU, torch.float32, 1024), (2000, 2000))


def test_a_limit_is_no_more_than_is_free(memory):
    memory(2)
    assert room(Settings(memory_limit=64), CPU) == room(Settings(), CPU) == int(1.6 * 2**30)
    assert room(Settings(memory_limit=1), CPU) == 2**30
    assert room(Settings(), CPU, held=2**30) == int(2.4 * 2**30)
