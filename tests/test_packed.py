import base64
import json
import tracemalloc
import zlib

import numpy as np
import pytest

from napari_neural_style import Settings
from napari_neural_style import packed as module
from napari_neural_style.packed import check_arrays, plain, unplain
from napari_neural_style.recipe import Recipe

LABELS = np.arange(48, dtype=np.int32).reshape(6, 8) % 3
GUIDED = Settings(preset="fast", mask=LABELS, style_masks=(LABELS, LABELS[::2]), steps=7)

READERS = (Settings.from_dict, Recipe.from_dict)


@pytest.mark.parametrize("dtype", ["?", "u1", ">u2", "<i8", "f2", "f8"])
def test_arrays_come_back(dtype):
    array = LABELS.astype(dtype)
    again = unplain("mask", json.loads(json.dumps(plain(array))))
    np.testing.assert_array_equal(again, array)
    assert again.dtype == array.dtype
    assert again.flags.writeable


@pytest.fixture(scope="module")
def bomb():
    """400 MB in a few hundred kilobytes."""
    return base64.b64encode(zlib.compress(bytes(400_000_000))).decode()


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("shape", "count", "words"),
    [
        ([2, 2], 1, "damaged array"),
        ([20_000, 20_000], 2, "no more than 512 MB"),
        ([10**9, 10**9], 1, "no more than 512 MB"),
    ],
)
def test_a_small_text_does_not_unfold_into_all_memory(bomb, read, shape, count, words):
    array = {"dtype": "|u1", "shape": shape, "base64": bomb}
    tracemalloc.start()
    with pytest.raises(ValueError, match=words):
        read({"style_masks": [array] * count})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize("read", READERS)
def test_arrays_are_bounded_in_all(read, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", GUIDED.mask.nbytes * 5 // 2)
    read(GUIDED.to_dict())
    monkeypatch.setattr(module, "MAX_BYTES", GUIDED.mask.nbytes * 5 // 2 - 1)
    with pytest.raises(ValueError, match="style_masks: the arrays of a recipe"):
        read(GUIDED.to_dict())


def test_what_takes_memory_is_counted():
    assert check_arrays({"mask": plain(LABELS), "steps": 3}, 10) == 10 + LABELS.nbytes


@pytest.mark.parametrize("read", READERS)
def test_values_nested_without_end(read):
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ValueError, match="nested without end"):
        read({"scales": nested})
