"""Where a painted picture has other structures than its content."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.images.pixels import to_uint8

# Fixed, so that the values of two pictures can be compared.
SIGMA: Final = 1.5
"""Standard deviation, in pixels, of the windows: the one of Wang et al., some ten pixels wide."""
TOLERANCE: Final = 2
"""How far, in pixels, an edge may move: not much farther than smoothing moves it."""
TURN: Final = 30
"""How far, in degrees, it may turn."""
WEAK: Final = 0.05
"""The least step of lightness, of 1, that may belong to an edge."""
STRONG: Final = 0.1
"""The least one that makes an edge."""

COLORS: Final = ("#000000", "#2c0f57", "#6a1f80", "#b04a95")
"""Of the map, from 0 to 1: none so bright that the edges would not be seen on it."""
LOST_COLOR: Final = "#56b4e9"
"""Blue."""
INVENTED_COLOR: Final = "#ffb000"
"""Orange: whoever cannot tell red from green can tell it from blue."""

_WINDOW = 11
"""Side of a window, in pixels: scikit-image cuts its Gaussian off after 3.5 deviations."""
_STILL_SEEN = 0.03
"""The K2 of Wang et al.: what varies much less, three units of L*, is hardly seen."""
_ANY_BRIGHTNESS = 1e3
"""A K1 with which the first factor of the SSIM, which compares mean lightness, is 1."""
_SOBEL = 8
"""What scikit-image's gradients are multiples of."""
_NEAR = [
    (down, right)
    for down in range(-TOLERANCE, TOLERANCE + 1)
    for right in range(-TOLERANCE, TOLERANCE + 1)
    if down**2 + right**2 <= TOLERANCE**2
]
"""Offsets of the pixels that an edge may move to."""
_ROWS_AT_ONCE = 512
_HALO = 16
"""Rows around a band that its pixels may depend on: 6 of smoothing, the gradients, the window."""


@dataclass(frozen=True)
class Drift:
    """How far a picture has gone from its content, pixel by pixel of the picture.

    Attributes
    ----------
    map
        ``(H, W)`` float32 in [0, 1]: 0 where the structure is the content's, 1 where nothing of
        it is left.
    lost
        ``(H, W)`` booleans: edges of the content that the picture does not have.
    invented
        ``(H, W)`` booleans: edges of the picture that the content does not have.
    lost_share
        How much of the content's edges is lost, in [0, 1]; 0 if it has none.
    invented_share
        How much of the picture's edges is invented, in [0, 1]; 0 if it has none.
    """

    map: NDArray[np.float32]
    lost: NDArray[np.bool_]
    invented: NDArray[np.bool_]
    lost_share: float
    invented_share: float

    @property
    def mean(self) -> float:
        """Mean of the map."""
        return float(self.map.mean(dtype=np.float64))

    @property
    def summary(self) -> dict[str, float]:
        """The mean and the shares, to be stored with the map."""
        return {
            "mean": self.mean,
            "edges_lost": self.lost_share,
            "edges_invented": self.invented_share,
        }

    def __str__(self) -> str:
        return (
            f"Drift {self.mean:.2f}: {100 * self.lost_share:.0f} % of edges lost, "
            f"{100 * self.invented_share:.0f} % invented"
        )


def measure_drift(content: NDArray[np.float32], result: NDArray[np.float32]) -> Drift:
    r"""Compare the structure of a picture with that of what it was painted from.

    Both are compared as they look, in 8 bits, by their CIELAB lightness :math:`L^*/100`, at the
    picture's size. The map is :math:`1 - \max(0, s)` with the similarity

    .. math:: s = \frac{2 \sigma_{cr} + C_2}{\sigma_c^2 + \sigma_r^2 + C_2}

    of the variances and the covariance in a Gaussian window: the structural similarity index
    (SSIM) [1]_ without its factor for the mean lightness, for a style repaints that everywhere
    and no structure is lost by it. Windows that vary by much less than three units of
    :math:`L^*` in both count as alike.

    Edges are Canny's [2]_ at the same scale, of steps of ten units of :math:`L^*`, followed along
    those of five. One is lost, or invented, if within two pixels the other picture has none of
    five units that runs in the same direction, give or take thirty degrees: an edge that was only
    made fainter, stronger or inverted is neither. Among many short edges some match by chance: of
    unrelated noise two thirds do, and only the map tells.

    Exchanged, pictures of one size have the same map, and what was lost is invented. Where they
    are the same in the 17 x 17 pixels around, the drift is 0 and no edge is marked.

    Parameters
    ----------
    content
        ``(h, w, 3)`` colours in [0, 1], of any size with the proportions of the result, at whose
        size they are resampled as the painter does it.
    result
        ``(H, W, 3)`` colours in [0, 1].

    Returns
    -------
    Drift
        Of ``(H, W)`` pixels.

    Raises
    ------
    ValueError
        If the two have other shapes or proportions, or values that are not finite.

    References
    ----------
    .. [1] Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from
       error visibility to structural similarity", IEEE Trans. Image Processing 13 (2004).
    .. [2] J. Canny, "A computational approach to edge detection", IEEE Trans. Pattern Analysis
       and Machine Intelligence 8 (1986).
    """
    _check(content, result)
    shape = result.shape[:2]
    before, after = _resampled(content, shape), to_uint8(result)
    drift = np.empty(shape, np.float32)
    real, painted = _Ridges.of_shape(shape), _Ridges.of_shape(shape)
    for rows, kept, inner in _bands(len(drift)):
        one, other = lightness(before[rows]), lightness(after[rows])
        drift[kept] = _dissimilarity(one, other)[inner]
        real.find(one, kept, inner)
        painted.find(other, kept, inner)
    of_content, of_result = real.edges(), painted.edges()
    lost = real.missing_in(painted, of_content)
    invented = painted.missing_in(real, of_result)
    return Drift(drift, lost, invented, _share(lost, of_content), _share(invented, of_result))


def draw_drift(drift: Drift) -> NDArray[np.float32]:
    """Return a picture of the map and the edges, ``(H, W, 3)`` in [0, 1]."""
    table = np.array([_rgb(color) for color in COLORS], np.float32)
    places = np.linspace(0, 1, len(table))
    picture = np.empty((*drift.map.shape, 3), np.float32)
    for channel in range(3):
        picture[..., channel] = np.interp(drift.map, places, table[:, channel])
    picture[drift.lost] = _rgb(LOST_COLOR)
    picture[drift.invented] = _rgb(INVENTED_COLOR)
    return picture


def _rgb(color: str) -> list[float]:
    return [value / 255 for value in bytes.fromhex(color[1:])]


def lightness(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the CIELAB lightness of ``(H, W, 3)`` sRGB colours, as ``(H, W)`` in [0, 1]."""
    from skimage.color import rgb2lab

    # scikit-image would take 8 bits for a reason to compute with 64.
    lab = rgb2lab(np.divide(rgb, 255, dtype=np.float32))
    unit: NDArray[np.float32] = lab[..., 0] / 100
    return unit


def _check(content: NDArray[np.float32], result: NDArray[np.float32]) -> None:
    for name, image in (("content", content), ("result", result)):
        if image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"The {name} has shape {image.shape}: it must be (height, width, 3).")
        if not np.isfinite(image).all():
            raise ValueError(f"The {name} holds NaN or infinite values.")
    (height, width), (own_height, own_width) = content.shape[:2], result.shape[:2]
    # Rounded to whole pixels, either may be half a pixel off.
    if abs(height * own_width - width * own_height) > max(height, width, own_height, own_width):
        raise ValueError(
            f"The result has {own_height} x {own_width} pixels, and the content {height} x "
            f"{width}: choose the content that it was painted from, which has its proportions."
        )


def _resampled(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Round an image to 8 bits, at a height and width."""
    from PIL import Image

    if image.shape[:2] == shape:
        return to_uint8(image)
    height, width = shape
    resampled = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        # Linear with anti-aliasing, which scikit-image does otherwise than torch.
        plane = Image.fromarray(np.ascontiguousarray(image[..., channel], np.float32))
        scaled = plane.resize((width, height), Image.Resampling.BILINEAR)
        resampled[..., channel] = to_uint8(np.asarray(scaled))
    return resampled


def _bands(height: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield rows to read, those to keep of them, and where these are within what was read.

    What is computed between takes a dozen times the memory of the pictures.
    """
    for start in range(0, height, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, height)
        first = max(start - _HALO, 0)
        rows = slice(first, min(stop + _HALO, height))
        yield rows, slice(start, stop), slice(start - first, stop - first)


def _dissimilarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    from skimage.metrics import structural_similarity

    height, width = one.shape
    # Windows reflect at the border; so they do in what is too small for a single one.
    margins = [(0, max(0, _WINDOW - side)) for side in one.shape]
    _, similarity = structural_similarity(
        np.pad(one, margins, "symmetric"),
        np.pad(other, margins, "symmetric"),
        data_range=1,
        gaussian_weights=True,
        sigma=SIGMA,
        use_sample_covariance=False,
        K1=_ANY_BRIGHTNESS,
        K2=_STILL_SEEN,
        full=True,
    )
    drift: NDArray[np.float32] = 1 - np.clip(similarity[:height, :width], 0, 1)
    return drift


@dataclass(frozen=True)
class _Ridges:
    """Where the lightness of an image changes most, across the direction of the change."""

    weak: NDArray[np.bool_]
    strong: NDArray[np.bool_]
    direction: NDArray[np.uint8]
    """In half turns / 256, of which as many are nothing: so unsigned integers count."""

    @classmethod
    def of_shape(cls, shape: tuple[int, ...]) -> "_Ridges":
        """Return arrays to be filled."""
        return cls(np.empty(shape, bool), np.empty(shape, bool), np.empty(shape, np.uint8))

    def find(self, image: NDArray[np.float32], kept: slice, inner: slice) -> None:
        """Fill some rows with those of the lightness around."""
        from scipy.ndimage import gaussian_filter
        from skimage.feature import canny

        least = _SOBEL * _steepest(WEAK)
        self.weak[kept] = canny(image, SIGMA, least, least, mode="reflect")[inner]
        down, right = (gaussian_filter(image, SIGMA, order)[inner] for order in ((1, 0), (0, 1)))
        self.strong[kept] = self.weak[kept] & (np.hypot(down, right) >= _steepest(STRONG))
        half_turns = np.arctan2(down, right) / np.pi
        self.direction[kept] = np.rint(256 * half_turns).astype(np.int16).astype(np.uint8)

    def edges(self) -> NDArray[np.bool_]:
        """Return the ridges that are strong, or connected with a strong one."""
        from scipy.ndimage import label

        lines, count = label(self.weak, np.ones((3, 3)))
        is_edge = np.zeros(count + 1, bool)
        is_edge[lines[self.strong]] = True
        edges: NDArray[np.bool_] = is_edge[lines]
        return edges

    def missing_in(self, other: "_Ridges", edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark those of the edges near which another image has no ridge of this direction."""
        places = np.argwhere(edges)
        own = self.direction[edges]
        alone = np.ones(len(places), bool)
        for offset in _NEAR:
            row, column = np.clip(places + offset, 0, np.subtract(edges.shape, 1)).T
            turn = own - other.direction[row, column]
            alone &= ~other.weak[row, column] | (np.minimum(turn, -turn) > 256 * TURN / 180)
        missing = np.zeros_like(edges)
        missing[tuple(places[alone].T)] = True
        return missing


def _steepest(step: float) -> float:
    """Return how much the lightness changes from pixel to pixel, at most, in a smoothed step."""
    return float(step / (np.sqrt(2 * np.pi) * SIGMA))


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / max(1, whole.sum()))
