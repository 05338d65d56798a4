import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_neural_style.images import (
    intensity_like,
    rgba_like,
    split_alpha,
    to_intensity,
    to_rgb,
    to_uint8,
)
from napari_neural_style.images.pixels import normalize

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


def parted_or_message(image):
    try:
        return split_alpha(image)
    except ValueError as error:
        return str(error)


@given(images())
def test_any_image_is_parted_into_colours_and_transparency(image):
    if isinstance(parted := parted_or_message(image), str):
        assert "constant" in parted or "fully transparent" in parted
        return
    rgb, alpha = parted
    assert is_rgb(rgb, image.shape)
    if image.shape[2:] != (4,):
        assert alpha is None
        np.testing.assert_array_equal(rgb, to_rgb(image))
        return
    assert alpha.shape == image.shape[:2]
    assert alpha.dtype == np.float32
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    seen = rgb_or_message(image)
    if not isinstance(seen, str):
        np.testing.assert_array_equal(seen[alpha > 0], (rgb * alpha[..., None])[alpha > 0])
    if image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        np.testing.assert_array_equal(alpha == 0, image[..., 3] == 0)
        expected = image[..., :3] / np.iinfo(image.dtype).max
        np.testing.assert_allclose(rgb[alpha > 0], expected[alpha > 0], atol=1e-6)


def test_holes_are_filled_smoothly_from_what_is_visible():
    rows, columns = np.mgrid[:41, :57] / 57
    rgba = np.stack([rows, columns, 1 - columns, np.ones_like(rows)], axis=-1).astype(np.float32)
    expected = rgba[..., :3].copy()
    hole = np.zeros(rows.shape, bool)
    hole[8:21, 10:33] = True
    rgba[hole] = [5, 9, 7, 0]
    rgba[~hole, 3] = 0.3

    rgb, alpha = split_alpha(np.clip(rgba, 0, 1))

    np.testing.assert_array_equal(rgb[~hole], expected[~hole])
    np.testing.assert_array_equal(alpha, rgba[..., 3])
    # Between the values around it, and without a jump anywhere.
    ring = expected[7:22, 9:34]
    assert (rgb[hole] >= ring.min(axis=(0, 1)) - 1e-6).all()
    assert (rgb[hole] <= ring.max(axis=(0, 1)) + 1e-6).all()
    steps = [np.abs(np.diff(rgb, axis=axis)).max() for axis in (0, 1)]
    assert max(steps) < 0.25


def test_what_is_hardly_visible_hardly_counts():
    rgba = np.zeros((16, 16, 4))
    rgba[:, 0] = [1, 0, 0, 1]
    rgba[:, 1] = [0, 0, 1, 0.001]
    rgb, _ = split_alpha(rgba)
    assert rgb[:, 2:, 0].min() > 0.99


def test_what_is_fully_transparent_is_refused():
    with pytest.raises(ValueError, match="The photo is fully transparent"):
        split_alpha(np.zeros((4, 5, 4)), "photo")


INTEGERS = [np.dtype(kind + size) for kind in ("<i", ">i", "<u", ">u") for size in "1248"]


@st.composite
def channels(draw):
    """Values of an integer dtype between contrast limits, and a gamma."""
    dtype = draw(st.sampled_from(INTEGERS))
    info = np.iinfo(dtype)
    # Of floats with 24 bits, more than 22 of the contrast do not survive the exponent.
    span = draw(st.integers(1, min(info.max - info.min, 2**16 - 1)))
    # Limits are floats, that hold no larger integers exactly.
    lowest, highest = max(info.min, -(2**53)), min(info.max, 2**53) - span
    low = draw(st.integers(lowest, highest))
    elements = st.integers(low, low + span)
    values = draw(hnp.arrays(dtype, (3, 4), elements=elements))
    return values, (low, low + span), draw(st.sampled_from([1.0, 0.5, 1.5]))


@given(channels())
@example((np.array([[2**53 - 305, 2**53 - 210]]), (2**53 - 964, 2**53 - 210), 1.0))
def test_intensity_goes_there_and_back(channel):
    values, limits, gamma = channel
    shown, _ = normalize(values, "image", limits)
    back = to_intensity(shown**gamma, values.dtype, limits, gamma)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_intensity_keeps_to_what_the_dtype_holds(dtype):
    info = np.iinfo(dtype)
    extremes = to_intensity([[-1, 0, 1, 2]], dtype, (info.min, info.max))
    assert extremes.tolist() == [[info.min, info.min, info.max, info.max]]
    beyond = to_intensity([[0, 0.5, 1]], dtype, (-1e30, 3e30))
    assert beyond.tolist() == [[info.min, info.max, info.max]]


def test_intensity_of_booleans_and_floats():
    assert to_intensity([[0, 0.4, 0.6, 1]], bool, (0, 1)).tolist() == [[False, False, True, True]]
    np.testing.assert_allclose(
        to_intensity([[0, 0.25, 1]], np.float32, (-2, 2), gamma=2), [[-2, 0, 2]]
    )
    half = to_intensity([[0, 0.5, 1]], np.float16, (-1e6, 1e6))
    assert half.tolist() == [[-65504, 0, 65504]]
    wide = to_intensity([[0, 0.5, 1]], np.float64, (-1.7e308, 1.7e308))
    np.testing.assert_array_equal(wide, [[-1.7e308, 0, 1.7e308]])


def test_outside_a_mask_a_channel_keeps_its_values_to_the_bit():
    # No float32 holds the large ones, and the contrast limits clip some of them.
    plane = np.array([[0, 7], [2**24 + 1, 2**31 - 1]], np.int32)
    shown, mask = np.full((2, 2), 0.5, np.float32), np.array([[0, 2], [0, 0]], np.uint8)
    painted = intensity_like(plane, shown, (10, 1000), mask=mask)
    assert painted.dtype == plane.dtype
    assert painted.tolist() == [[0, 505], [2**24 + 1, 2**31 - 1]]


def test_painted_colours_get_the_transparency_of_the_original():
    original = np.random.default_rng(0).integers(0, 256, (4, 6, 4)).astype(np.uint8)
    original[:2, :, 3] = 0
    rgb = np.full((4, 6, 3), 0.2)
    mask = np.zeros((4, 6), int)
    mask[:, :3] = 5
    painted = rgba_like(original, rgb, mask)
    assert painted.dtype == np.uint8
    assert (painted[:, :3, :3] == 51).all()
    np.testing.assert_array_equal(painted[..., 3], original[..., 3])
    np.testing.assert_array_equal(painted[:, 3:], original[:, 3:])
    assert (rgba_like(original, rgb)[..., :3] == 51).all()


def test_a_painted_image_of_another_size_gets_a_resized_transparency():
    original = np.zeros((8, 8, 4), np.uint8)
    original[:, 4:, 3] = 255
    painted = rgba_like(original, np.full((4, 4, 3), 0.2), np.zeros((8, 8), bool))
    assert (painted[..., :3] == 51).all()
    assert painted[:, 0, 3].max() < 60 < 200 < painted[:, 3, 3].min()


def test_a_mask_says_nothing_about_a_channel_of_another_size():
    shown = np.full((4, 4), 0.25)
    plane, mask = np.ones((2, 2), np.uint8), np.zeros((2, 2), bool)
    assert (intensity_like(plane, shown, (0, 200), mask=mask) == 50).all()
    assert (intensity_like(plane, shown[:2, :2], (0, 200), gamma=0.5) == 12).all()
