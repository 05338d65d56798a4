import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import rgb2gray, rgb2hsv
from skimage.transform import resize

from napari_neural_style.artwork import ARTWORKS, draw


@pytest.fixture(scope="module", params=list(ARTWORKS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def picture(name):
    return draw(name, 256)


def test_a_picture_is_rgb_of_the_size_asked_for(picture):
    assert picture.shape == (256, 256, 3)
    assert picture.dtype == np.uint8


def test_a_seed_gives_one_picture_and_another_seed_another(name):
    first = draw(name, 64, seed=3)
    np.testing.assert_array_equal(first, draw(name, 64, seed=3))
    assert np.abs(first - draw(name, 64, seed=4).astype(float)).mean() > 10


def test_drawing_leaves_the_global_generator_alone(name):
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    draw(name, 64)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_the_composition_is_the_same_at_every_size(name, picture):
    small = ndimage.gaussian_filter(draw(name, 96).astype(float), (4, 4, 0))
    large = resize(picture.astype(float), (96, 96), anti_aliasing=True)
    large = ndimage.gaussian_filter(large, (4, 4, 0))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.8


def test_sizes_that_are_no_power_of_two_work(name):
    assert draw(name, 77).shape == (77, 77, 3)


def test_the_frame_is_full_of_texture(picture):
    grey = rgb2gray(picture)
    blocks = grey.reshape(8, 32, 8, 32).std((1, 3))
    assert np.mean(blocks > 0.03) > 0.95


def test_there_is_texture_at_every_scale(picture):
    grey = rgb2gray(picture)
    blurred = [grey, *(ndimage.gaussian_filter(grey, sigma) for sigma in (1, 2, 4, 8, 16))]
    bands = [np.std(fine - coarse) for fine, coarse in pairwise(blurred)]
    assert min(bands) > 0.015, bands


def test_a_picture_spans_the_tones_and_is_not_blown_out(picture):
    low, high = np.percentile(rgb2gray(picture), (2, 98))
    assert high - low > 0.5
    assert np.mean(picture == 255) < 0.1
    assert np.mean(picture == 0) < 0.1


def test_colours_are_saturated_but_for_the_woodcut(name, picture):
    saturation = np.median(rgb2hsv(picture)[..., 1])
    assert (saturation > 0.5) == (name != "woodcut")


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(ValueError, match=r"'fresco'.*impasto.*mosaic"):
        draw("fresco")


@pytest.mark.parametrize("size", [63, 2049, 100.5, "512", None])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(ValueError, match=re.escape(f"size is {size!r}, but must be")):
        draw("impasto", size)


def test_importing_the_registry_draws_nothing_and_loads_no_scipy():
    code = "import sys, napari_neural_style.artwork as a; a.ARTWORKS; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "napari_neural_style.artwork" in loaded
    assert not {"scipy", "skimage", "torch", "napari"} & set(loaded)
