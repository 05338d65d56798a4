import numpy as np
import pytest

from napari_neural_style.artwork.fluorescence import expose


@pytest.fixture(scope="module")
def counts():
    return expose(256, np.random.default_rng(0))


def test_three_channels_of_16_bit_counts_over_the_camera_offset(counts):
    assert counts.shape == (3, 256, 256)
    assert counts.dtype == np.uint16
    assert 90 < counts.min() <= 105
    assert np.all(counts.max((1, 2)) > 600)


def test_the_same_generator_gives_the_same_exposure():
    first, second = (expose(64, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_dozen_or_more_nuclei_stand_clear_of_the_background(counts):
    from skimage.filters import threshold_otsu
    from skimage.measure import label, regionprops

    nuclei = counts[0] > threshold_otsu(counts[0])
    regions = [r for r in regionprops(label(nuclei)) if r.area > 40]
    assert 12 <= len(regions) <= 40
    assert 0.03 < nuclei.mean() < 0.3


def test_mitochondria_stay_out_of_the_nuclei(counts):
    inside = counts[0] > np.percentile(counts[0], 97)
    assert counts[2][inside].mean() < counts[2][~inside].mean()


def test_the_dark_background_carries_poisson_noise(counts):
    flat = counts[0] < 118
    residual = counts[0][flat].astype(float)
    assert 0.5 < residual.var() / (residual.mean() - 100) < 1.6
