import numpy as np
import pytest

from napari_neural_style.images import split_alpha, to_rgb
from napari_neural_style.images.rendering import Rendering

BYTES = Rendering("plane", (0, 255))


def test_a_value_looks_the_same_in_every_plane():
    stack = np.linspace(100, 4000, 60).reshape(3, 4, 5).astype(np.uint16)
    rendering = Rendering("plane", (100, 4000))
    shown = np.stack([rendering.gray(plane) for plane in stack])
    assert shown.dtype == np.float32
    assert shown == pytest.approx((stack - 100.0) / 3900, abs=1e-6)
    assert np.array_equal(rendering.rgb(stack[1])[..., 0], shown[1])


def test_colours_are_as_anywhere():
    rgba = np.random.default_rng(0).integers(0, 256, (4, 5, 4)).astype(np.uint8)
    assert BYTES.rgb(rgba) == pytest.approx(to_rgb(rgba), abs=1e-6)


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_colours_are_parted_from_the_alpha_that_an_image_has(channels):
    image = np.random.default_rng(0).integers(0, 256, (9, 8, *channels)).astype(np.uint8)
    image[:3, ..., -1:] = 0
    rgb, alpha = BYTES.straight(image)
    expected, expected_alpha = split_alpha(image)
    assert rgb == pytest.approx(expected, abs=1e-6)
    assert (alpha is None) == (expected_alpha is None) == (channels != (4,))
    if alpha is not None:
        assert np.array_equal(alpha, expected_alpha)


def test_what_cannot_be_painted_is_named():
    constant = np.full((4, 5, 4), 7, np.uint8)
    with pytest.raises(ValueError, match="The plane is constant"):
        BYTES.straight(constant)
    constant[..., 3] = 0
    with pytest.raises(ValueError, match="The plane is fully transparent"):
        BYTES.straight(constant)
