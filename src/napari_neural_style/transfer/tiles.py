"""Tiles: an image cut so that features over the tiles' cores are exact.

A position of relu5_1 sees 78 pixels around it. With a halo of 80 pixels and edges
on multiples of 16, the strides of all layers, the features over a tile's core are
those of the whole image, zero padding at the image's border included.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch

from napari_neural_style.layers import Layer

HALO: Final = 80
_GRID: Final = 16


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


def _spans(length: int, edge: int | None, halo: int) -> list[Span]:
    count = 1 if edge is None else max(1, round(length / edge))
    cells = length // _GRID
    edges = [_GRID * (cells * i // count) for i in range(count)] + [length]
    return [
        Span(a, b, max(0, a - halo), min(length, b + halo), last=b == length)
        for a, b in pairwise(edges)
        if a < b
    ]


def cut_tiles(height: int, width: int, edge: int | None) -> list[Tile]:
    """Cut an image into tiles of about ``edge`` pixels; None for a single one."""
    return [
        Tile(rows, columns)
        for rows in _spans(height, edge, HALO)
        for columns in _spans(width, edge, HALO)
    ]
