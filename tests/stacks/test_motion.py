import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_neural_style.stacks.motion import optical_flow, visible_before, warp

MARGIN = 10


def texture(height, width, seed=0):
    field = np.random.default_rng(seed).normal(size=(height, width))
    smooth = ndimage.gaussian_filter(field, 2)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.repeat(smooth[..., None], 3, 2).astype(np.float32)


def moved_by(image, rows, columns):
    return np.roll(image, (rows, columns), (0, 1))


def inner(array):
    return array[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


@pytest.mark.parametrize(("height", "width"), [(64, 80), (72, 320)])  # with and without resizing
def test_flow_says_where_pixels_were(height, width):
    before = texture(height, width)
    flow = optical_flow(before, moved_by(before, 3, -2))
    assert flow.shape == (2, height, width)
    assert flow.dtype == np.float32
    assert np.median(inner(flow)[0]) == pytest.approx(-3, abs=0.3)
    assert np.median(inner(flow)[1]) == pytest.approx(2, abs=0.3)


def test_flow_does_not_depend_on_brightness():
    before = texture(48, 48)
    after = moved_by(before, 2, 0)
    faint = optical_flow(before * np.float32(0.01), after * np.float32(0.01))
    assert faint == pytest.approx(optical_flow(before, after), abs=0.05)


def test_an_image_is_carried_to_where_it_moved():
    before = texture(64, 64)
    after = moved_by(before, 2, 3)
    carried = warp(before, optical_flow(before, after))
    still = np.abs(before - after)[MARGIN:-MARGIN, MARGIN:-MARGIN].mean()
    assert np.abs(carried - after)[MARGIN:-MARGIN, MARGIN:-MARGIN].mean() < 0.1 * still


@given(rows=st.integers(-4, 4), columns=st.integers(-4, 4))
def test_whole_pixels_are_carried_unchanged(rows, columns):
    image = texture(24, 32)
    flow = np.broadcast_to(np.float32([rows, columns])[:, None, None], (2, 24, 32))
    carried = warp(image, flow)
    assert carried.dtype == np.float32
    expected = moved_by(image, -rows, -columns)[4:-4, 4:-4]
    assert carried[4:-4, 4:-4] == pytest.approx(expected, abs=1e-5)


def test_carried_images_stay_within_0_and_1():
    image = (texture(32, 32) > 0.5).astype(np.float32)
    carried = warp(image, np.full((2, 32, 32), 0.5, np.float32))
    assert carried.min() >= 0
    assert carried.max() <= 1


def test_a_chain_of_carries_does_not_blur():
    image = carried = texture(48, 48)
    for there in (0.5, -0.5) * 5:
        carried = warp(carried, np.full((2, 48, 48), there, np.float32))
    middle = np.s_[8:-8, 8:-8]
    assert np.ptp(carried[middle]) > 0.95 * np.ptp(image[middle])


def test_all_is_visible_where_nothing_moves():
    still = np.zeros((2, 16, 16), np.float32)
    assert visible_before(still, still) == pytest.approx(np.ones((16, 16)))


def test_what_enters_at_the_edge_is_new():
    flow = np.zeros((2, 20, 20), np.float32)
    flow[1] = 5  # from the right
    seen = visible_before(flow, -flow)
    assert not seen[:, -5:].any()
    assert (seen[:, :-9] > 0.99).all()


def test_what_was_hidden_is_new():
    # A square moves to the right by 8 pixels; what it covered was not to be seen before.
    back, flow = np.zeros((2, 2, 40, 40), np.float32)
    back[1, 15:25, 10:20] = 8
    flow[1, 15:25, 18:28] = -8
    seen = visible_before(flow, back)
    assert not seen[16:24, 11:17].any()
    assert (seen[17:23, 21:26] > 0.9).all()
    assert (seen[:10] > 0.9).all()


@pytest.mark.parametrize("strength", [0.01, 0.03])
def test_noise_does_not_move(strength):
    rng, still = np.random.default_rng(0), texture(64, 64)
    before, after = still + strength * rng.normal(size=(2, 64, 64, 1)).astype(np.float32)
    flow = np.hypot(*optical_flow(before, after))
    assert np.median(flow) < 0.01
    assert (flow > 0.2).mean() < 0.05


def test_what_moves_is_told_from_noise():
    rng, before = np.random.default_rng(0), texture(64, 64)
    after = before.copy()
    after[:32] = moved_by(before, 0, 2)[:32]
    noisy = [x + 0.02 * rng.normal(size=x.shape[:2])[..., None] for x in (before, after)]
    flow = optical_flow(*np.float32(noisy))
    assert np.median(flow[1, 5:27, 8:-8]) == pytest.approx(-2, abs=0.3)
    assert np.abs(flow[:, 45:]).max() < 0.1
