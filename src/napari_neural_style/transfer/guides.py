"""Spatial guides: where the content is painted, and with which regions of the styles.

Gatys, Ecker, Bethge, Hertzmann & Shechtman, "Controlling perceptual factors in neural
style transfer", CVPR 2017, section 4: guided Gram matrices.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional as F

from napari_neural_style.layers import Layer
from napari_neural_style.settings import Settings
from napari_neural_style.transfer.encoder import Region

# Pixels each way of a part of a mask whose distances are computed at once: where a part has
# no edge, there is nothing to compute.
_BLOCK: Final = 512

Label = int | None
"""Of a region; None for whatever a mask covers, or for a whole style."""


class Guide(NamedTuple):
    """The guidance channel of a region for the layers of one resolution."""

    box: Region
    """Rows and columns that the region lies in."""
    weights: torch.Tensor
    """(1, 1, rows, columns), the share of each position there that the region covers."""
    size: float
    """Sum of the squared weights: the region's positions."""

    def cut(self, part: Region) -> tuple[Region, torch.Tensor] | None:
        """Where the region lies in a part of a layer, and its weights there; None for nowhere."""
        inner, own = [], []
        for side, whole in zip(self.box, part, strict=True):
            start, stop = max(side.start, whole.start), min(side.stop, whole.stop)
            if start >= stop:
                return None
            inner.append(slice(start - whole.start, stop - whole.start))
            own.append(slice(start - side.start, stop - side.start))
        return (inner[0], inner[1]), self.weights[..., own[0], own[1]]


Guides = dict[Layer, Guide]
"""Of one region; a layer that is too coarse for it to show is missing."""


def make_guides(coverage: torch.Tensor, layers: Iterable[Layer], dtype: torch.dtype) -> Guides:
    """Bring a region to the resolutions of some layers.

    Parameters
    ----------
    coverage : torch.Tensor
        (1, 1, H, W), the share of each pixel that the region covers.
    layers : iterable of Layer
        The layers.
    dtype : torch.dtype
        Of the encoder.
    """
    layers = tuple(layers)
    of_stride: dict[int, Guide] = {}
    for stride in {layer.stride for layer in layers}:
        weights = F.avg_pool2d(coverage, stride).to(dtype)
        box = _bounding_box(weights[0, 0] > 0)
        if box is not None:
            part = weights[(..., *box)].clone()
            size = float(part.to(coverage.dtype).square().sum())
            if size > 0:  # a tiny square may be none
                of_stride[stride] = Guide(box, part, size)
    return {layer: of_stride[layer.stride] for layer in layers if layer.stride in of_stride}


def _bounding_box(inside: torch.Tensor) -> Region | None:
    sides = [inside.any(1 - dim).nonzero() for dim in (0, 1)]
    if not len(sides[0]):
        return None
    rows, columns = (slice(int(side[0]), int(side[-1]) + 1) for side in sides)
    return rows, columns


class Mask:
    """Where a content is painted, at the sizes of a run.

    Parameters
    ----------
    settings : Settings
        ``mask``, ``style_masks`` and ``feather`` are used.
    shape : tuple of int
        Height and width of the result, in pixels.
    """

    def __init__(self, settings: Settings, shape: tuple[int, int]) -> None:
        assert settings.mask is not None
        self._mask = settings.mask
        self._shape = shape
        self.labels: tuple[Label, ...] = (None,)
        """Of the regions that are painted each with its own part of the styles."""
        if settings.style_masks:
            self.labels = labels_of(settings.mask)
        self._edge: torch.Tensor | None = None
        if settings.feather and settings.mask.dtype.kind != "f":
            inside = cover(_share(settings.mask, None), *shape)[0, 0] > 0
            self._edge = torch.from_numpy(soft_edge(inside.numpy(), settings.feather))
        self._alphas: dict[tuple[int, int, torch.device, torch.dtype], torch.Tensor] = {}

    def coverage(self, label: Label, like: torch.Tensor) -> torch.Tensor:
        """(1, 1, H, W): share of each pixel of an image that is painted, in a region or in all."""
        share = cover(_share(self._mask, label), *self._shape)
        if self._edge is not None:
            share = share * self._edge
        # Not on the device: not every one can average over parts of pixels.
        return cover(share, *like.shape[2:]).to(like)

    def alpha(self, like: torch.Tensor) -> torch.Tensor:
        """(1, 1, H, W): share of each pixel of an image that is painted, kept for the next time."""
        key = (like.shape[2], like.shape[3], like.device, like.dtype)
        if key not in self._alphas:
            self._alphas[key] = self.coverage(None, like)
        return self._alphas[key]


def style_coverage(mask: npt.NDArray[Any], label: Label, like: torch.Tensor) -> torch.Tensor:
    """(1, 1, H, W): share of each pixel of a style image that is in a region of its mask."""
    return cover(_share(mask, label), *like.shape[2:]).to(like)


def _share(mask: npt.NDArray[Any], label: Label) -> torch.Tensor:
    """(1, 1, H, W) of a mask's own shape."""
    share = mask if mask.dtype.kind == "f" else (mask > 0 if label is None else mask == label)
    return torch.from_numpy(share.astype(np.float32))[None, None]


def cover(share: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize (1, 1, H, W) such that a pixel is 0 only where nothing in it was more."""
    if share.shape[2:] == (height, width):
        return share
    return F.interpolate(share, (height, width), mode="area")


def soft_edge(inside: npt.NDArray[np.bool_], width: float) -> npt.NDArray[np.float32]:
    """Ramp that rises from the edge of a region inwards.

    Parameters
    ----------
    inside : array
        (H, W) booleans. The border of the image is no edge.
    width : float
        From 0 to 1 in so many pixels, smoothly.

    Returns
    -------
    array
        (H, W) in [0, 1]; 0 outside.
    """
    ramp = inside.astype(np.float32)
    reach = math.ceil(width) + 1  # farther from the edge it is 1
    corners = itertools.product(*(range(0, side, _BLOCK) for side in inside.shape))
    for top, left in corners:
        first = max(0, top - reach), max(0, left - reach)
        near = inside[first[0] : top + _BLOCK + reach, first[1] : left + _BLOCK + reach]
        if near.any() and not near.all():
            rows, columns = (
                slice(start - before, start - before + _BLOCK)
                for start, before in zip((top, left), first, strict=True)
            )
            block = ramp[top : top + _BLOCK, left : left + _BLOCK]
            block[...] = _ramp(ndimage.distance_transform_edt(near)[rows, columns], width)
    return ramp


def _ramp(distance: npt.NDArray[np.float64], width: float) -> npt.NDArray[np.float32]:
    # The edge lies half a pixel before the first one inside.
    ramp = np.clip((distance - 0.5) / max(width, 1e-6), 0, 1)
    smooth: npt.NDArray[np.float32] = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return smooth


def labels_of(mask: npt.NDArray[Any]) -> tuple[int, ...]:
    """Labels of a mask, rising; of one of floats, 1."""
    if mask.dtype.kind == "f":
        return (1,)
    if mask.max() < 1 << 16:  # much faster counted than sorted
        labels = np.flatnonzero(np.bincount(mask.ravel().astype(np.int32)))
    else:
        labels = np.unique(mask)
    return tuple(int(label) for label in labels if label)


def check_masks(
    settings: Settings, content: tuple[int, int], styles: Sequence[tuple[int, int]]
) -> None:
    """Raise a ValueError if the masks do not fit the images, or each other.

    Parameters
    ----------
    settings : Settings
        ``mask``, ``style_masks`` and ``style_weights`` are used.
    content, styles
        Height and width of each image.
    """
    mask, style_masks = settings.mask, settings.style_masks
    if mask is None:
        return
    if mask.shape != content:
        raise ValueError(
            f"mask has shape {mask.shape} and the content {content}: they must be the same."
        )
    if not style_masks:
        return
    if len(style_masks) != len(styles):
        raise ValueError(
            f"style_masks has {len(style_masks)} masks for {len(styles)} style images: "
            "give one mask per image."
        )
    for i, (style_mask, style) in enumerate(zip(style_masks, styles, strict=True)):
        if style_mask.shape != style:
            raise ValueError(
                f"style_masks[{i}] has shape {style_mask.shape} and its style image {style}: "
                "they must be the same."
            )
    weights = settings.style_weights or (1.0,) * len(styles)
    there = {
        label
        for style_mask, weight in zip(style_masks, weights, strict=True)
        for label in labels_of(style_mask)
        if weight
    }
    lacking = [label for label in labels_of(mask) if label not in there]
    if lacking:
        raise ValueError(
            f"The mask has label {lacking[0]}, and the style masks have only "
            f"{_listed(sorted(there))}: draw it there, too, or take it out of the mask."
        )


def _listed(labels: Sequence[int]) -> str:
    shown = ", ".join(map(str, labels[:10]))
    return f"{shown} …" if len(labels) > 10 else shown
