import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.common import CAFFE_MEAN, MEAN, STD

from napari_neural_style.settings import PRESETS
from napari_neural_style.transfer.spaces import image_space

mean, std, caffe_mean = (np.reshape(v, (1, 3, 1, 1)) for v in (MEAN, STD, CAFFE_MEAN))

# The variable, and what the network sees, of an RGB image: as field notes and papers have it.
SPACES = {
    "rgb": (lambda rgb: rgb, lambda rgb: (rgb - mean) / std),
    "rgb-raw": (lambda rgb: rgb, lambda rgb: rgb),
    "normalized": (lambda rgb: (rgb - mean) / std, lambda rgb: (rgb - mean) / std),
    "caffe": (lambda rgb: 255 * rgb - caffe_mean, lambda rgb: (rgb - mean) / std),
    "series": (lambda rgb: 255 * (rgb - mean) / std, lambda rgb: (rgb - mean) / std / std),
}


def test_every_space_in_use_is_tested():
    assert {preset.method.space for preset in PRESETS.values()} == set(SPACES)


@pytest.mark.parametrize("name", SPACES)
@given(pixel=st.tuples(*[st.floats(-1, 2)] * 3))
def test_variable_and_input_are_those_of_the_published_programs(name, pixel):
    space = image_space(name, torch.device("cpu"), torch.float64)
    variable, seen = SPACES[name]
    rgb = np.reshape(pixel, (1, 3, 1, 1))
    found = space.from_rgb(torch.from_numpy(rgb))
    np.testing.assert_allclose(found, variable(rgb), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(space.encoder_input(found), seen(rgb), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(space.to_rgb(found), rgb, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(name, dtype):
    space = image_space(name, torch.device("cpu"), dtype)
    rgb = torch.rand(1, 3, 2, 2, dtype=dtype)
    assert space.from_rgb(rgb).dtype == dtype
    assert space.to_rgb(rgb).dtype == dtype
    assert space.encoder_input(rgb).dtype == dtype


@pytest.mark.parametrize("name", ["rgb", "rgb-raw"])
def test_rgb_is_left_as_it_is_to_the_last_bit(name):
    space = image_space(name, torch.device("cpu"), torch.float32)
    rgb = torch.rand(1, 3, 5, 5)
    assert torch.equal(space.from_rgb(rgb), rgb)
    assert torch.equal(space.to_rgb(rgb), rgb)


@pytest.mark.parametrize("name", SPACES)
def test_what_is_left_of_a_gradient_keeps_gray_gray(name):
    space = image_space(name, torch.device("cpu"), torch.float64)
    gray = torch.rand(1, 1, 4, 5, generator=torch.manual_seed(0)).double().expand(-1, 3, -1, -1)
    gradient = torch.rand(1, 3, 4, 5, generator=torch.manual_seed(1)).double()
    along = space.along_gray(gradient)
    moved = space.to_rgb(space.from_rgb(gray) - along)
    torch.testing.assert_close(moved, moved[:, :1].expand(-1, 3, -1, -1))
    # Along gray it is as steep as the whole.
    step = space.from_rgb(gray + 1) - space.from_rgb(gray)
    torch.testing.assert_close((along * step).sum(1), (gradient * step).sum(1))
