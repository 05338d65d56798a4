import re
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_neural_style.stacks.axes import Axes


def axes(letters, *shape):
    return Axes.of(letters, SimpleNamespace(shape=shape))


def test_what_planes_are_made_of_and_what_the_stack_runs_along():
    found = axes("tczyxs", 2, 3, 4, 5, 6, 3)
    assert found.letters == "TCZYXS"
    assert found.along == "TCZ"
    assert found.counts == (2, 3, 4)
    assert found.length("Y") == 5
    assert found.in_color
    assert not axes("TYX", 2, 5, 6).in_color
    assert len(list(found.indices())) == 24
    assert found.named((1, 0, 3)) == "T 1, C 0, Z 3"


def test_a_selection_is_along_the_first_axis():
    found = axes("TZYX", 10, 2, 5, 6)
    assert list(found.indices(slice(8, None))) == [(8, 0), (8, 1), (9, 0), (9, 1)]
    assert list(found.indices(slice(-1, None))) == [(9, 0), (9, 1)]
    assert list(found.indices(slice(20, 30))) == []


def test_series_are_what_neither_time_nor_depth_tells_apart():
    found = axes("TCZPYX", 2, 3, 4, 5, 6, 7)
    assert found.series((1, 2, 3, 4)) == (2, 4)


@pytest.mark.parametrize("as_stack", [np.asarray, da.from_array, zarr.array])
def test_planes_have_rows_columns_and_samples_in_this_order(as_stack):
    values = np.random.default_rng(0).integers(0, 99, (6, 3, 4, 5, 2)).astype(np.uint16)
    stack = as_stack(values)
    found = Axes.of("XSZYT", stack)
    plane = found.take(stack, (1, 0))
    assert isinstance(plane, np.ndarray)
    assert np.array_equal(plane, values[:, :, 1, :, 0].transpose(2, 0, 1))


def test_arrays_with_named_axes():
    class Named(SimpleNamespace):
        def __getitem__(self, index):
            return Named(values=self.values[index])

        def __array__(self, dtype=None, copy=None):
            return self.values

    values = np.arange(24.0).reshape(2, 3, 4)
    stack = Named(values=values, shape=values.shape)
    assert np.array_equal(Axes.of("TYX", stack).take(stack, (1,)), values[1])


BAD = [
    ("TYX", (2, 3, 4, 5), "3 letters for 4 axes"),
    ("TTYX", (2, 3, 4, 5), "T is there more than once"),
    ("TZX", (2, 3, 4), "Y (rows) must be among them"),
    ("TZC", (2, 3, 4), "Y (rows) and X (columns) must be among them"),
    ("YX", (3, 4), "single plane"),
    ("YXS", (3, 4, 3), "single plane"),
    ("TYXS", (2, 3, 4, 2), "S has 2 samples; it must be 3 (RGB) or 4 (RGBA)"),
    ("T?X", (2, 3, 4), "one letter for each axis"),
    ("", (2, 3, 4), "one letter for each axis"),
    (None, (2, 3, 4), "one letter for each axis"),
    ("TYX", (0, 3, 4), "nothing in it"),
]


@pytest.mark.parametrize(("letters", "shape", "why"), BAD)
def test_what_does_not_fit_is_said(letters, shape, why):
    with pytest.raises(ValueError, match=re.escape(why)) as caught:
        axes(letters, *shape)
    assert f"axes={letters!r}" in str(caught.value)
    assert str(shape) in str(caught.value)
