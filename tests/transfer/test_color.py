import numpy as np
import pytest
import torch
from tests.reference.common import to_array, to_tensor
from tests.reference.images import pair

from napari_neural_style.transfer.color import keep_color, match_color

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


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


def test_keep_color_takes_luma_and_chroma_from_where_they_belong():
    content, result = pair()
    content, result = 0.4 + 0.2 * content, 0.4 + 0.2 * result
    kept = to_array(keep_color(*images(result, content)))
    np.testing.assert_allclose((kept @ YIQ.T)[..., 0], (result @ YIQ.T)[..., 0], atol=1e-12)
    # The matrix is given to three digits: its chroma of grey is not quite nothing.
    np.testing.assert_allclose((kept @ YIQ.T)[..., 1:], (content @ YIQ.T)[..., 1:], atol=2e-4)


def test_keep_color_stays_in_range():
    content, result = images(*(np.round(image) for image in pair()))
    kept = keep_color(result, content)
    assert kept.min() >= 0
    assert kept.max() <= 1
