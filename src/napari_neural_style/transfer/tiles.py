"""Tiles: an image cut so that features over the tiles' cores are exact.

With edges on the positions of the deepest layer and a halo of all that these see,
the features over a tile's core are those of the whole image, zero padding at the
image's border included.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch

from napari_neural_style.layers import LAYERS, Layer


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels: the core, and the core with its halo."""

    start: int
    stop: int
    padded_start: int
    padded_stop: int
    last: bool

    def core_of(self, stride: int) -> slice:
        """Positions of the core within the padded tile's features."""
        start = (self.start - self.padded_start) // stride
        # The last tile ends where the features end: pooling drops odd rows.
        return slice(start, None if self.last else (self.stop - self.padded_start) // stride)


@dataclass(frozen=True)
class Tile:
    """A rectangle of the image that is evaluated at once."""

    rows: Span
    columns: Span

    def cut(self, image: torch.Tensor) -> torch.Tensor:
        """View of (1, C, H, W) on the core and its halo."""
        return image[
            ...,
            self.rows.padded_start : self.rows.padded_stop,
            self.columns.padded_start : self.columns.padded_stop,
        ]

    def core(self, layer: Layer, features: torch.Tensor) -> torch.Tensor:
        """View of the padded tile's features on the core."""
        return features[..., self.rows.core_of(layer.stride), self.columns.core_of(layer.stride)]


def halo_width(deepest: Layer) -> int:
    """Pixels around a tile that the features over it depend on, as whole positions."""
    # A convolution sees one position further; pooling stays within the position it makes.
    seen = sum(layer.stride for layer in LAYERS[: deepest.index + 1] if layer.kind == "conv")
    return math.ceil(seen / deepest.stride) * deepest.stride


def _spans(length: int, edge: int | None, stride: int, halo: int) -> list[Span]:
    count = 1 if edge is None else max(1, round(length / edge))
    cells = length // stride
    edges = [stride * (cells * i // count) for i in range(count)] + [length]
    return [
        Span(a, b, max(0, a - halo), min(length, b + halo), last=b == length)
        for a, b in pairwise(edges)
        if a < b
    ]


def cut_tiles(height: int, width: int, edge: int | None, deepest: Layer) -> list[Tile]:
    """Cut an image into tiles of about ``edge`` pixels, exact as deep as a layer.

    Parameters
    ----------
    height, width : int
        Of the image, in pixels.
    edge : int or None
        Edge of the tiles' cores, in pixels; None for a single tile.
    deepest : Layer
        The deepest layer whose features are wanted.
    """
    halo = halo_width(deepest)
    return [
        Tile(rows, columns)
        for rows in _spans(height, edge, deepest.stride, halo)
        for columns in _spans(width, edge, deepest.stride, halo)
    ]
