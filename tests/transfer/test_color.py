import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from tests.reference.common import to_array, to_tensor
from tests.reference.images import pair

from napari_neural_style.transfer.color import (
    decode,
    encode,
    keep_color,
    match_color,
    match_lightness,
    to_gray,
)


def images(*arrays):
    return [to_tensor(array, torch.float64) for array in arrays]


def colours(image):
    return to_array(image).reshape(-1, 3)


def test_match_color_gives_the_mean_and_covariance_of_the_content():
    content, style = pair()
    # In the middle of the range, so that nothing is clamped.
    content, style = images(0.4 + 0.1 * content, style[:30, :40])
    matched = match_color(style, content)
    assert matched.shape == style.shape
    np.testing.assert_allclose(colours(matched).mean(0), colours(content).mean(0), rtol=1e-9)
    expected = np.cov(colours(content).T, bias=True)
    np.testing.assert_allclose(np.cov(colours(matched).T, bias=True), expected, atol=2e-4)


def test_matching_an_image_to_itself_changes_nothing():
    (content,) = images(pair()[0])
    torch.testing.assert_close(match_color(content, content), content, atol=1e-9, rtol=0)


@pytest.mark.parametrize("grey", ["style", "content", "both"])
def test_match_color_of_images_without_colour(grey):
    """Whose covariance has no inverse."""
    content, style = images(*pair())
    if grey in ("content", "both"):
        content = content[:, :1].expand(-1, 3, -1, -1)
    if grey in ("style", "both"):
        style = style[:, :1].expand(-1, 3, -1, -1)
    matched = match_color(style, content)
    assert matched.isfinite().all()
    assert matched.min() >= 0
    assert matched.max() <= 1
    assert colours(matched).mean() == pytest.approx(colours(content).mean(), abs=0.05)
    if grey in ("content", "both"):
        assert matched.std(1).max() < 0.05


def test_match_color_in_float32_is_that_of_float64():
    content, style = images(*pair())
    exact = match_color(style, content)
    found = match_color(style.float(), content.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, atol=1e-4, rtol=0)


def lab(image):
    return rgb2lab(to_array(image))


def hue(image):
    return np.arctan2(lab(image)[..., 2], lab(image)[..., 1])


def chroma(image):
    return np.hypot(lab(image)[..., 1], lab(image)[..., 2])


def test_keep_color_takes_lightness_hue_and_chroma_from_where_they_belong():
    content, result = images(*(0.4 + 0.2 * image for image in pair()))
    kept = keep_color(to_gray(result), content)
    np.testing.assert_allclose(lab(kept)[..., 0], lab(result)[..., 0], atol=0.01)
    np.testing.assert_allclose(lab(kept)[..., 1:], lab(content)[..., 1:], atol=0.02)


def test_where_there_is_no_such_colour_only_the_chroma_is_less():
    rng = np.random.default_rng(0)
    content, result = images(*rng.random((2, 64, 64, 3)))
    kept = keep_color(to_gray(result), content)
    assert kept.min() >= 0
    assert kept.max() <= 1
    np.testing.assert_allclose(lab(kept)[..., 0], lab(result)[..., 0], atol=0.01)
    turned = np.angle(np.exp(1j * (hue(kept) - hue(content))))
    assert abs(turned * chroma(kept)).max() < 0.02
    less = chroma(kept) < chroma(content) - 0.1
    assert 0.2 < less.mean() < 0.8
    assert (chroma(kept) < chroma(content) + 0.02).all()
    # As much as there is: a channel is nearly at its end.
    ends = torch.minimum(kept, 1 - kept).amin(1)[0].numpy()
    assert ends[less].max() < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_grey_stays_grey_to_the_last_bit(dtype):
    generator = torch.Generator().manual_seed(0)
    grey, content = (torch.rand(1, 1, 40, 50, generator=generator).to(dtype) for _ in range(2))
    kept = keep_color(grey, content.expand(-1, 3, -1, -1))
    assert torch.equal(kept, grey.expand(-1, 3, -1, -1))
    assert torch.equal(to_gray(kept), grey)


def test_black_and_white_have_no_colour():
    content, _ = images(*pair())
    for value in (0.0, 1.0):
        kept = keep_color(torch.full_like(content[:, :1], value), content)
        torch.testing.assert_close(kept, torch.full_like(content, value), atol=1e-3, rtol=0)


def test_srgb_is_encoded_and_decoded():
    values = torch.linspace(0, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(encode(decode(values)), values, atol=1e-7, rtol=0)
    grey = values.view(1, 1, 7, 143).expand(-1, 3, -1, -1)
    from_lightness = ((lab(grey)[..., 0] + 16) / 116) ** 3
    light = lab(grey)[..., 0] > 8
    found = to_array(decode(grey))[..., 0]
    np.testing.assert_allclose(found[light], from_lightness[light], atol=1e-6)


def test_match_lightness_gives_the_mean_and_deviation_of_the_content():
    content, style = images(*pair())
    content = 0.4 + 0.1 * content
    matched = match_lightness(style, content)
    assert torch.equal(matched[:, :1].expand(-1, 3, -1, -1), matched)
    for moment in (np.mean, np.std):
        expected = moment(lab(content)[..., 0])
        assert moment(lab(matched)[..., 0]) == pytest.approx(expected, rel=1e-4)


def test_a_flat_style_stays_flat():
    content, _ = images(*pair())
    matched = match_lightness(torch.full_like(content, 0.3), content)
    assert matched.std() < 1e-6


@pytest.mark.parametrize("match", [match_color, match_lightness])
def test_only_the_pixels_that_count_are_matched(match):
    content, style = images(*pair())
    content = 0.4 + 0.1 * content
    where = torch.zeros(content.shape[2:], dtype=torch.bool)
    where[:20, :30] = True
    content[:, :, :20, :30] /= 2
    expected = match(style, content[:, :, :20, :30])
    torch.testing.assert_close(match(style, content, where), expected)
    assert (match(style, content) - expected).abs().max() > 0.01


def test_large_images_are_coloured_in_bands():
    generator = torch.Generator().manual_seed(0)
    content = torch.rand(1, 3, 700, 1100, generator=generator)
    grey = torch.rand(1, 1, 700, 1100, generator=generator)
    kept = keep_color(grey, content)
    part = (..., slice(400, 420), slice(None))
    torch.testing.assert_close(kept[part], keep_color(grey[part], content[part]))
