"""Colour: the style recoloured to the content, or the content's hue and chroma kept."""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch

# Linear sRGB to CIE XYZ relative to its white D65 (IEC 61966-2-1). In rows that add up to
# one, grey has X = Y = Z: sums that start from one channel keep that to the last bit.
_TO_XYZ: Final = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_X, _Y, _Z = (_TO_XYZ / _TO_XYZ.sum(1, keepdims=True)).tolist()
_FROM_XYZ: Final = np.linalg.inv(np.array([_X, _Y, _Z])).tolist()
# CIELAB's f is a cube root above, and a line below.
_DELTA: Final = 6 / 29
# Steps of the search for the chroma that is in the gamut, which leave a thousandth of it.
_SEARCH: Final = 6
# Pixels that are coloured at once: a share of a large image, in memory that stays small.
_BAND: Final = 1 << 19


def match_color(
    style: torch.Tensor, content: torch.Tensor, where: torch.Tensor | None = None
) -> torch.Tensor:
    """Give a style image the mean and covariance of the content's colours.

    Parameters
    ----------
    style, content : torch.Tensor
        (1, 3, H, W) RGB in [0, 1], of any sizes.
    where : torch.Tensor, optional
        (H, W) booleans: the content's pixels that count.

    Returns
    -------
    torch.Tensor
        The style, clamped to [0, 1].

    References
    ----------
    Gatys, Ecker, Bethge, Hertzmann & Shechtman, "Controlling perceptual factors in
    neural style transfer", CVPR 2017, section 5.2 (the symmetric square roots).
    """
    mean_style, root_style = _statistics(style.flatten(2)[0], power=-0.5)
    mean_content, root_content = _statistics(_pixels(content, where), power=0.5)
    flat = root_content @ root_style @ (style.flatten(2)[0] - mean_style) + mean_content
    return flat.view_as(style).clamp(0, 1)


def match_lightness(
    style: torch.Tensor, content: torch.Tensor, where: torch.Tensor | None = None
) -> torch.Tensor:
    """Make a style image grey, with the mean and deviation of the content's lightness.

    Parameters
    ----------
    style, content, where
        As :func:`match_color` takes them.

    Returns
    -------
    torch.Tensor
        The style, grey, (1, 3, H, W) in [0, 1].

    References
    ----------
    Gatys et al., CVPR 2017, section 5.1 (luminance-only transfer), in CIELAB.
    """
    own, goal = (_root(decode(to_gray(image))) for image in (style, content))
    mean_style, deviation_style = _moments(own)
    mean_content, deviation_content = _moments(_pixels(goal, where))
    gain = deviation_content / max(deviation_style, 1e-3)  # what is flat stays so
    matched = ((own - mean_style) * gain + mean_content).clamp_(0, 1 - 4 / 29)
    return encode(_unroot(matched)).clamp_(0, 1).expand(-1, 3, -1, -1).contiguous()


def _moments(values: torch.Tensor) -> tuple[float, float]:
    """Mean and standard deviation."""
    wide = values.double()
    return float(wide.mean()), float(wide.std(correction=0))


def _pixels(image: torch.Tensor, where: torch.Tensor | None) -> torch.Tensor:
    """(C, pixels) that count."""
    return image.flatten(2)[0] if where is None else image[0][:, where]


def _statistics(pixels: torch.Tensor, power: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (3, 1) and power of the covariance (3, 3) of (3, pixels) colours."""
    wide = pixels.cpu().double()
    mean = wide.mean(1, keepdim=True)
    centred = wide - mean
    values, vectors = torch.linalg.eigh(centred @ centred.T / wide.shape[1])
    # Images with one hue have no extent along the others: bound the inverse.
    root = vectors @ torch.diag(values.clamp_min(1e-5) ** power) @ vectors.T
    return mean.to(pixels), root.to(pixels)


def keep_color(gray: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """Give an image without colours the content's hue and chroma, in CIELAB.

    Colours that RGB does not have are given less chroma, never another hue. What is gray
    in the content stays gray.

    Parameters
    ----------
    gray : torch.Tensor
        (1, 1, H, W) in [0, 1].
    content : torch.Tensor
        (1, 3, H, W) RGB in [0, 1].

    Returns
    -------
    torch.Tensor
        (1, 3, H, W) RGB in [0, 1], of the lightness of ``gray``.

    References
    ----------
    Gatys et al., CVPR 2017, section 5.1 (luminance-only transfer). CIELAB: CIE 15:2004.
    """
    return _in_bands(_keep_color, 3, gray, content)


def _in_bands(
    work: Callable[..., torch.Tensor], channels: int, *images: torch.Tensor
) -> torch.Tensor:
    """Do some work, which makes an image of so many channels, on rows of images at a time."""
    height, width = images[0].shape[2:]
    made = images[0].new_empty(1, channels, height, width)
    bands = (torch.split(image, max(1, _BAND // width), 2) for image in (made, *images))
    for band, *parts in zip(*bands, strict=True):
        band.copy_(work(*parts))
    return made


def _keep_color(gray: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    linear = decode(content)
    x, y, z = (_root(_weighed(linear, weights)) for weights in (_X, _Y, _Z))
    # a* is 500 times the one, and b* -200 times the other.
    chroma = torch.cat([x.sub_(y), z.sub_(y)], 1)
    luminance = decode(gray)
    rgb = _with_chroma(luminance, _root(luminance), chroma)
    beyond = (_excess(rgb) > 0).flatten().nonzero()[:, 0]
    if len(beyond):
        luminance, chroma = (values.flatten(2)[..., beyond] for values in (luminance, chroma))
        rgb.flatten(2)[..., beyond] = _in_gamut(luminance, chroma)
    colored = encode(rgb.clamp_(0, 1)).clamp_(0, 1)
    red, green, blue = torch.split(content, 1, 1)
    return torch.where((red == green) & (green == blue), gray, colored)


def _in_gamut(luminance: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """Linear RGB with as much of the chroma as there is, for some that is too much."""
    root = _root(luminance)
    low, high = torch.zeros_like(luminance), torch.ones_like(luminance)
    # False position, in the Illinois manner: an end that stays counts half the next time.
    below = _excess(_with_chroma(luminance, root, low * chroma))
    above = _excess(_with_chroma(luminance, root, chroma))
    share = low
    for _ in range(_SEARCH):
        share = low + (high - low) * (below / (below - above))
        excess = _excess(_with_chroma(luminance, root, share * chroma))
        fits = excess <= 0
        low, high = torch.where(fits, share, low), torch.where(fits, high, share)
        below, above = (
            torch.where(fits, excess, below / 2),
            torch.where(fits, above / 2, excess),
        )
    return _with_chroma(luminance, root, low * chroma)


def _excess(rgb: torch.Tensor) -> torch.Tensor:
    """By how much the worst channel is out of [0, 1]; negative within."""
    red, green, blue = torch.split(rgb, 1, 1)
    low = torch.minimum(torch.minimum(red, green), blue)
    high = torch.maximum(torch.maximum(red, green), blue)
    return torch.maximum(high - 1, -low)


def to_gray(rgb: torch.Tensor) -> torch.Tensor:
    """Gray of the same CIELAB lightness.

    Parameters
    ----------
    rgb : torch.Tensor
        (1, 3, H, W) in [0, 1].

    Returns
    -------
    torch.Tensor
        (1, 1, H, W) in [0, 1]; what is gray already stays so to the last bit.
    """
    return _in_bands(_to_gray, 1, rgb)


def _to_gray(rgb: torch.Tensor) -> torch.Tensor:
    red, green, blue = torch.split(rgb, 1, 1)
    lightness = encode(_weighed(decode(rgb), _Y)).clamp_(0, 1)
    return torch.where((red == green) & (green == blue), green, lightness)


def decode(encoded: torch.Tensor) -> torch.Tensor:
    """Linear light of sRGB values in [0, 1]."""
    curve = encoded.clamp(min=0.04045).add_(0.055).div_(1.055)
    return _joined(encoded, 0.04045, 1 / 12.92, _power(curve, 2.4))


def encode(linear: torch.Tensor) -> torch.Tensor:
    """Return sRGB values in [0, 1] of linear light."""
    curve = _power(linear.clamp(min=0.0031308), 1 / 2.4).mul_(1.055).sub_(0.055)
    return _joined(linear, 0.0031308, 12.92, curve)


def _root(linear: torch.Tensor) -> torch.Tensor:
    """CIELAB's f, less 4/29."""
    curve = _power(linear.clamp(min=_DELTA**3), 1 / 3).sub_(4 / 29)
    return _joined(linear, _DELTA**3, 1 / (3 * _DELTA**2), curve)


def _unroot(root: torch.Tensor) -> torch.Tensor:
    """Linear light of what :func:`_root` returns."""
    upper = root.clamp(min=_DELTA - 4 / 29).add_(4 / 29)
    return _joined(root, _DELTA - 4 / 29, 3 * _DELTA**2, upper * upper * upper)


def _joined(values: torch.Tensor, start: float, slope: float, curve: torch.Tensor) -> torch.Tensor:
    """A line through zero up to a value, and from there a curve, where it is not less.

    The curve has its first value wherever it is not in force: that is faster than to choose.
    """
    return curve.add_(values.clamp(max=start), alpha=slope).sub_(slope * start)


def _power(values: torch.Tensor, exponent: float) -> torch.Tensor:
    """Of positive values, in place; several times faster than torch's own."""
    return values.log_().mul_(exponent).exp_()


def _weighed(linear: torch.Tensor, weights: list[float]) -> torch.Tensor:
    red, green, blue = torch.split(linear, 1, 1)
    return torch.add(green, red - green, alpha=weights[0]).add_(blue - green, alpha=weights[2])


def _with_chroma(luminance: torch.Tensor, root: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """Linear RGB of a luminance with its root, and of differences of the others' roots."""
    x, z = torch.split(_unroot(root + chroma).sub_(luminance), 1, 1)
    return torch.cat(
        [torch.add(luminance, x, alpha=w[0]).add_(z, alpha=w[2]) for w in _FROM_XYZ], 1
    )
