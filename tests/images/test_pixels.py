import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_neural_style.images import to_rgb, to_uint8

REAL_DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="="),
    hnp.unsigned_integer_dtypes(endianness="="),
    hnp.integer_dtypes(endianness=">"),
    hnp.unsigned_integer_dtypes(endianness=">"),
    hnp.floating_dtypes(endianness="="),
    hnp.floating_dtypes(endianness=">"),
    st.just(np.dtype(np.longdouble)),
)
SHAPES = st.builds(
    lambda height, width, channels: (height, width, *channels),
    st.integers(1, 5),
    st.integers(2, 5),
    st.sampled_from([(), (1,), (3,), (4,)]),
)


@st.composite
def images(draw):
    """Finite images that are not constant, in any dtype, byte order and memory layout."""
    dtype = draw(REAL_DTYPES)
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    image = draw(hnp.arrays(dtype, draw(SHAPES), elements=hnp.from_dtype(dtype, **finite)))
    flipped = image[:: draw(st.sampled_from([1, -1])), :: draw(st.sampled_from([1, -1]))]
    if draw(st.booleans()):
        flipped = np.asfortranarray(flipped)
    if draw(st.booleans()):
        flipped = np.repeat(flipped, 2, axis=1)[:, ::2]
    flipped.flags.writeable = draw(st.booleans())
    return flipped


def rgb_or_message(*arguments):
    try:
        return to_rgb(*arguments)
    except ValueError as error:
        return str(error)


def is_rgb(rgb, shape):
    return (
        rgb.shape == (*shape[:2], 3)
        and rgb.dtype == np.float32
        and rgb.dtype.isnative
        and rgb.flags.c_contiguous
        and rgb.flags.writeable
        and rgb.flags.owndata
        and rgb.min() >= 0
        and rgb.max() <= 1
    )


@given(images())
def test_any_real_image_becomes_rgb_or_is_constant(image):
    before = image.copy()
    rgb = rgb_or_message(image)
    if isinstance(rgb, str):
        assert "constant" in rgb
    else:
        assert is_rgb(rgb, image.shape)
    assert np.array_equal(image, before)


@given(images(), st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_any_contrast_limits_give_rgb_or_an_explanation(image, low, high):
    rgb = rgb_or_message(image, "nuclei", (low, high))
    if isinstance(rgb, str):
        assert "nuclei" in rgb
        assert "constant" in rgb if low < high else "contrast limits" in rgb
    else:
        assert is_rgb(rgb, image.shape)


@given(images())
def test_stretching_spans_the_whole_range(image):
    gray = image[:, :, 0] if image.ndim == 3 else image
    assume(gray.dtype.kind in "if" and gray.min() < 0)
    # The stretch works in float64, where neighbouring 64-bit integers may coincide.
    assume(gray.dtype.itemsize > 8 or float(gray.min()) < float(gray.max()))
    assume(gray.min() < gray.max())
    rgb = to_rgb(gray)
    assert rgb.min() == 0
    assert rgb.max() == 1


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (bool, [False, True], [0, 1]),
        (np.uint8, [51, 255], [0.2, 1]),
        (np.uint16, [13107, 65535], [0.2, 1]),
        (">u2", [13107, 65535], [0.2, 1]),
        (np.float32, [0.25, 0.5], [0.25, 0.5]),
        (np.float64, [-1.0, 3.0], [0, 1]),
        (np.float64, [-1.7e308, 1.7e308], [0, 1]),
        (np.float16, [0.5, 4.5], [0, 1]),
        (np.int16, [-100, 300], [0, 1]),
        (np.uint32, [7, 4_000_000_000], [0, 1]),
    ],
)
def test_value_ranges(dtype, values, expected):
    rgb = to_rgb(np.array([values], dtype))
    assert np.allclose(rgb[0, :, 0], expected)
    assert np.array_equal(rgb[..., 0], rgb[..., 1])
    assert np.array_equal(rgb[..., 0], rgb[..., 2])


def test_verification_gets_all_digits():
    rgb = to_rgb(np.array([[1, 254]], np.uint8), dtype=np.float64)
    assert rgb.dtype == np.float64
    assert rgb[0, :, 0].tolist() == [1 / 255, 254 / 255]


def test_contrast_limits_are_linear_and_clip():
    image = np.array([[0, 100, 200, 300, 400]], np.uint16)
    assert np.allclose(to_rgb(image, contrast_limits=(100, 300))[0, :, 0], [0, 0, 0.5, 1, 1])


def test_rgba_is_composited_over_black():
    image = np.array([[[255, 255, 255, 0], [255, 51, 0, 255], [255, 255, 255, 51]]], np.uint8)
    assert np.allclose(to_rgb(image), [[[0, 0, 0], [1, 0.2, 0], [0.2, 0.2, 0.2]]])


def test_contrast_limits_leave_alpha_alone():
    image = np.array([[[100, 0, 0, 255], [0, 0, 0, 255]]], np.uint8)
    assert np.allclose(to_rgb(image, contrast_limits=(0, 1000))[0, 0], [0.1, 0, 0])


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4), complex), "complex128"),
        (np.array([[None, 1], [2, 3]]), "object"),
        (np.array([["a", "b"]]), "dtype <U1"),
        (np.zeros((4, 4, 2)), r"\(4, 4, 2\).*RGBA"),
        (np.zeros((4, 4, 5)), r"\(4, 4, 5\)"),
        (np.zeros((6, 4, 4, 3)), r"\(6, 4, 4, 3\).*one plane"),
        (np.zeros(9), r"\(9,\)"),
        (np.zeros((0, 5)), "0 x 5 pixels"),
        (np.zeros((1, 1, 3)), "1 x 1 pixels"),
        (np.array([[0, np.nan]]), "NaN or infinite"),
        (np.array([[0, np.inf]], np.float16), "NaN or infinite"),
        (np.full((4, 4), 7), "constant"),
        (np.full((4, 4, 3), (1, 2, 3), np.uint8), "constant"),
        (np.arange(64, dtype=np.uint8).reshape(4, 4, 4) & (255, 255, 255, 0), "constant"),
    ],
)
def test_unusable_images_are_named_and_explained(image, words):
    with pytest.raises(ValueError, match=words) as raised:
        to_rgb(image, "cells")
    assert "The cells " in str(raised.value)


@pytest.mark.parametrize("limits", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_useless_contrast_limits(limits):
    with pytest.raises(ValueError, match="contrast limits of the cells"):
        to_rgb(np.eye(3), "cells", limits)


def test_contrast_limits_that_hide_everything():
    with pytest.raises(ValueError, match="other contrast limits"):
        to_rgb(np.eye(3), contrast_limits=(5, 6))


def test_to_uint8_rounds_and_clips():
    rounded = to_uint8(np.array([-1, 0, 0.0019, 0.002, 0.5, 1, 2]))
    assert rounded.tolist() == [0, 0, 0, 1, 128, 255, 255]


@given(hnp.arrays(np.uint8, (3, 4, 3)))
def test_eight_bits_survive_the_way_through_floats(image):
    assume((image != image[0, 0]).any())
    assert np.array_equal(to_uint8(to_rgb(image)), image)
