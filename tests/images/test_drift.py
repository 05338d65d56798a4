import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from napari_neural_style.images import drift as module
from napari_neural_style.images.drift import (
    COLORS,
    INVENTED_COLOR,
    LOST_COLOR,
    TOLERANCE,
    draw_drift,
    lightness,
    measure_drift,
)
from napari_neural_style.transfer.scales import resize


def gray(values):
    return np.repeat(np.asarray(values, np.float32)[..., np.newaxis], 3, axis=2)


def blobs(shape=(64, 80), seed=0, sigma=3):
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    return gray(0.2 + 0.6 * (noise - noise.min()) / np.ptp(noise))


def square(side=64, low=0.3, high=0.7):
    """A bright square in the middle half."""
    image = np.full((side, side), low, float)
    image[side // 4 : -side // 4, side // 4 : -side // 4] = high
    return gray(image)


def test_what_is_the_same_has_not_drifted():
    content = np.random.default_rng(0).random((40, 50, 3), np.float32)
    drift = measure_drift(content, content)
    assert drift.map.dtype == np.float32
    assert drift.map.shape == drift.lost.shape == drift.invented.shape == (40, 50)
    assert not drift.map.any()
    assert not drift.lost.any()
    assert not drift.invented.any()
    assert drift.summary == {"mean": 0, "edges_lost": 0, "edges_invented": 0}


def test_it_is_the_similarity_of_wang_et_al_but_for_their_first_factor():
    content, result = blobs(), blobs(seed=1)
    one, other = (lightness(np.rint(255 * image).astype(np.uint8)) for image in (content, result))
    whole = structural_similarity(
        one,
        other,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )[1]
    means = [gaussian_filter(image, 1.5, truncate=3.5) for image in (one, other)]
    c1 = 0.01**2
    first = (2 * means[0] * means[1] + c1) / (means[0] ** 2 + means[1] ** 2 + c1)
    np.testing.assert_allclose(
        measure_drift(content, result).map, 1 - np.clip(whole / first, 0, 1), atol=1e-4
    )


def test_lightness_is_that_of_cielab():
    colors = np.array([[[0, 0, 0], [255, 255, 255], [119, 119, 119], [255, 0, 0]]], np.uint8)
    np.testing.assert_allclose(lightness(colors)[0], [0, 1, 0.5, 0.5324], atol=2e-3)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image + 0.15,
        lambda image: 0.75 * image,
        lambda image: image**1.2,
        lambda image: image * np.float32([1, 0.9, 0.8]),
    ],
    ids=["brightness", "contrast", "gamma", "colour"],
)
def test_other_brightness_contrast_and_colour_are_little(change):
    content = blobs()
    drift = measure_drift(content, change(content).astype(np.float32))
    assert drift.mean < 0.06
    assert max(drift.lost_share, drift.invented_share) < 0.05


def test_a_dark_ground_that_becomes_a_bright_one_has_not_drifted():
    assert measure_drift(square(low=0, high=0.4), square(low=0.4, high=0.8)).mean < 0.01


def test_the_more_a_picture_is_blurred_the_more_it_drifts():
    content = blobs(sigma=1)
    means = [
        measure_drift(content, gaussian_filter(content, (sigma, sigma, 0))).mean
        for sigma in (0, 0.5, 1, 2, 4)
    ]
    assert means[0] == 0
    assert (np.diff(means) > 0.01).all()
    assert means[-1] > 0.7


def test_what_was_erased_is_lost_there_and_only_there():
    content = blobs(sigma=2)
    result = content.copy()
    result[20:50, 30:60] = content[20:50, 30:60].mean()
    drift = measure_drift(content, result)
    assert drift.map[25:45, 35:55].mean() > 0.5
    assert drift.lost[25:45, 35:55].sum() > 20
    for part, reach in ((drift.map, 5), (drift.lost, 8), (drift.invented, 8)):
        outside = part.copy()
        outside[20 - reach : 50 + reach, 30 - reach : 60 + reach] = 0
        assert not outside.any()


def test_what_was_painted_in_is_invented_and_the_reverse_lost():
    plain, painted = np.full((64, 64, 3), 0.3, np.float32), square()
    drift = measure_drift(plain, painted)
    assert not drift.lost.any()
    assert drift.lost_share == 0
    assert drift.invented_share == 1
    rows, columns = np.nonzero(drift.invented)
    # On the sides of the square, and there all around.
    assert {rows.min(), columns.min()} <= {15, 16}
    assert {rows.max(), columns.max()} <= {47, 48}
    assert len(rows) > 110
    assert measure_drift(painted, plain).lost_share == 1


def test_another_picture_is_drift_and_exchanged_it_is_the_same():
    content, result = blobs(), blobs(seed=1)
    there, back = measure_drift(content, result), measure_drift(result, content)
    assert there.mean > 0.5
    assert there.lost_share > 0.5
    np.testing.assert_array_equal(there.map, back.map)
    np.testing.assert_array_equal(there.lost, back.invented)
    np.testing.assert_array_equal(there.invented, back.lost)


def test_noise_is_not_what_it_was():
    one, other = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    assert measure_drift(one, other).mean > 0.8


@pytest.mark.parametrize(("pixels", "marked"), [(TOLERANCE, False), (TOLERANCE + 3, True)])
def test_an_edge_may_move_a_little(pixels, marked):
    drift = measure_drift(square(), np.roll(square(), pixels, axis=1))
    assert drift.lost.any() == drift.invented.any() == marked


def test_an_edge_that_is_inverted_or_fainter_is_neither_lost_nor_invented():
    for result in (square(low=0.7, high=0.3), square(low=0.45, high=0.58)):
        drift = measure_drift(square(), result)
        assert not drift.lost.any()
        assert not drift.invented.any()


def test_lines_across_an_edge_do_not_keep_it():
    """Hatching is near every edge; only what runs along it is the same."""
    columns = gray(np.tile(0.3 + 0.4 * (np.arange(64) // 4 % 2), (64, 1)))
    drift = measure_drift(columns, columns.swapaxes(0, 1))
    assert drift.lost_share > 0.9
    assert drift.invented_share > 0.9


def test_inverted_structure_has_gone_as_far_as_it_can():
    content = blobs()
    drift = measure_drift(content, 1 - content)
    assert drift.map.max() == 1
    assert drift.mean > 0.9


@pytest.mark.parametrize("size", [(50, 50), (200, 200)])
def test_another_size_of_the_content_is_no_drift(size):
    """As the painter resamples it; others blur more, or less."""
    content = blobs((128, 128), sigma=1)
    channels_first = torch.from_numpy(content).permute(2, 0, 1)[None]
    painted = resize(channels_first, *size)[0].permute(1, 2, 0).numpy()
    drift = measure_drift(content, painted)
    assert drift.map.shape == size
    assert drift.map.max() < 2e-3
    assert not (drift.lost | drift.invented).any()


def test_rounding_to_8_bits_is_no_drift():
    content = np.random.default_rng(0).random((32, 32, 3), np.float32)
    assert not measure_drift(content, np.rint(255 * content) / np.float32(255)).map.any()


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 40), (40, 1), (5, 7), (11, 10)])
def test_images_smaller_than_a_window(shape):
    content, result = np.random.default_rng(0).random((2, *shape, 3), np.float32)
    drift = measure_drift(content, result)
    assert drift.map.shape == shape
    assert drift.map.mean() > 0.3
    assert not measure_drift(content, content).map.any()


def test_constant_images():
    black, white = np.zeros((20, 20, 3), np.float32), np.ones((20, 20, 3), np.float32)
    drift = measure_drift(black, white)
    assert drift.mean < 1e-6
    assert drift.lost_share == drift.invented_share == 0


def test_bands_leave_no_trace(monkeypatch):
    content, result = blobs((100, 60)), blobs((100, 60), seed=1, sigma=1)
    whole = measure_drift(content, result)
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 17)
    banded = measure_drift(content, result)
    np.testing.assert_allclose(banded.map, whole.map, atol=1e-6)
    np.testing.assert_array_equal(banded.lost, whole.lost)
    np.testing.assert_array_equal(banded.invented, whole.invented)


_SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))
_UNIT = st.floats(0, 1, width=32)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), shape=_SHAPES)
def test_all_values_are_finite_and_in_range(data, shape):
    content, result = (data.draw(arrays(np.float32, shape, elements=_UNIT)) for _ in range(2))
    drift = measure_drift(content, result)
    assert drift.map.min() >= 0
    assert drift.map.max() <= 1
    assert all(0 <= value <= 1 for value in drift.summary.values())
    assert np.isfinite(draw_drift(drift)).all()


@pytest.mark.parametrize(
    ("content", "result", "message"),
    [
        ((20, 30, 3), (30, 20, 3), r"has 30 x 20 pixels, and the content 20 x 30"),
        ((20, 30), (20, 30, 3), r"content has shape \(20, 30\): it must be"),
        ((20, 30, 3), (20, 0, 3), r"result has shape \(20, 0, 3\): it must be"),
    ],
)
def test_what_cannot_be_compared_is_refused(content, result, message):
    with pytest.raises(ValueError, match=message):
        measure_drift(np.zeros(content, np.float32), np.zeros(result, np.float32))


def test_nan_is_refused():
    result = blobs()
    result[3, 4] = np.nan
    with pytest.raises(ValueError, match="The result holds NaN"):
        measure_drift(blobs(), result)


def test_it_is_drawn_in_its_colours_and_told_in_words():
    plain, painted = np.full((64, 64, 3), 0.3, np.float32), square()
    for pair, color in (((plain, painted), INVENTED_COLOR), ((painted, plain), LOST_COLOR)):
        drift = measure_drift(*pair)
        picture = np.rint(255 * draw_drift(drift)).astype(np.uint8)
        marked = drift.lost | drift.invented
        assert (picture[marked] == tuple(bytes.fromhex(color[1:]))).all()
        assert (picture[~marked & (drift.map == 1)] == tuple(bytes.fromhex(COLORS[-1][1:]))).all()
        assert not picture[0, 0].any()
    assert str(drift) == f"Drift {drift.mean:.2f}: 100 % of edges lost, 0 % invented"
