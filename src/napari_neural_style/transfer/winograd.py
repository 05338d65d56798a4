"""3 × 3 convolutions with a quarter of the products, for float32 on a CPU.

A tile of 4 × 4 results depends on 6 × 6 numbers of each input channel. Of these, 36 sums are
made, each is multiplied by one matrix (out × in), and of what comes of it the 16 results are
sums again: 36 products for each pair of channels, where a convolution has 144. The sums cost
memory traffic, so that it pays from 64 channels on, and they round: the error is some ten times
that of float32, far below that of half precision.

Where tiles begin at multiples of four of the whole image, the results do not depend on the
strips in which they are computed.

References
----------
Winograd, "Arithmetic complexity of computations", 1980; for convolutional networks: Lavin &
Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, F(4 × 4, 3 × 3).
"""

import math
from collections.abc import Sequence
from typing import Final

import torch

from napari_neural_style.transfer import rectify

TILE: Final = 4
"""Rows and columns of results that are computed together."""

_INPUT: Final = TILE + 2
# Fewer channels are not worth the sums.
_LEAST_CHANNELS: Final = 64
# Numbers of an input channel's tiles at once, over the channels: what is made of them stays in
# the cache, and the products are still large.
_AT_ONCE: Final = 1 << 16

# Lavin & Gray, section 4.1, for the points 0, 1, -1, 2, -2: what is done to six numbers of the
# input, to three of the weight, and to the six products; then for rows and columns at once.
_FROM_INPUT: Final = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_FROM_WEIGHT: Final = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_TO_OUTPUT: Final = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)


def _squared(rows: Sequence[Sequence[float]]) -> torch.Tensor:
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


_SUMS: Final = _squared(_FROM_INPUT)
_WEIGHTS: Final = _squared(_FROM_WEIGHT)
_RESULTS: Final = _squared(_TO_OUTPUT)
# The product that every result is a sum with, once.
_IN_ALL: Final = _INPUT + 1


class Workspace:
    """Memory for a moment, which all convolutions of an encoder take by turns."""

    def __init__(self) -> None:
        self._rooms: dict[str, torch.Tensor] = {}
        self.frugal = False
        """Whether weights are prepared at every call, for want of memory to keep them."""

    def room(self, name: str, *shape: int) -> torch.Tensor:
        """Memory of a shape; what was in it before is lost."""
        size = math.prod(shape)
        if name not in self._rooms or self._rooms[name].numel() < size:
            self._rooms[name] = torch.empty(size)
        return self._rooms[name][:size].view(shape)


def suits(weight: torch.Tensor) -> bool:
    """Whether a convolution by some weight, (out, in, 3, 3), is faster so."""
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    return on_cpu and min(weight.shape[:2]) >= _LEAST_CHANNELS


class Winograd:
    """A 3 × 3 convolution by sums and fewer products.

    Parameters
    ----------
    weight : torch.Tensor
        (out, in, 3, 3), one that :func:`suits`.
    bias : torch.Tensor or None
        (out,).
    workspace : Workspace
        Shared with others that do not compute at the same time.
    """

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, workspace: Workspace
    ) -> None:
        self._outputs, self._inputs = weight.shape[:2]
        self._weight = weight.permute(2, 3, 1, 0).reshape(9, -1)
        self._prepared: torch.Tensor | None = None
        self._bias = bias
        self._workspace = workspace

    def __call__(self, x: torch.Tensor, above: bool, below: bool, rectified: bool) -> torch.Tensor:
        """Convolve, as :class:`~.convolution.Convolution` does."""
        lines = x[0].permute(1, 2, 0)
        width = lines.shape[1]
        height = lines.shape[0] - 2 + above + below
        y = lines.new_empty(height, width, self._outputs)
        across, down = math.ceil(width / TILE), math.ceil(height / TILE)
        step = max(1, _AT_ONCE // (max(self._inputs, self._outputs) * across))
        weight = self._prepare()
        for first in range(0, down, step):
            tiles = self._cut(lines, TILE * first - above, min(step, down - first), across)
            part = y[TILE * first : TILE * (first + step)]
            self._put(self._products(tiles, weight), across, part)
            if rectified:  # while it is in the cache
                features = part.permute(2, 0, 1)[None]
                rectify.relu(features, features)
        return y.permute(2, 0, 1)[None]

    def _prepare(self) -> torch.Tensor:
        """Make the matrices of the weight, (36, in, out), or take those made before."""
        made, frugal = self._prepared, self._workspace.frugal
        if made is None or frugal:
            shape = _WEIGHTS.shape[0], self._weight.shape[1]
            made = self._workspace.room("weight", *shape) if frugal else torch.empty(shape)
            torch.mm(_WEIGHTS, self._weight, out=made)
            self._prepared = None if frugal else made
        return made.view(-1, self._inputs, self._outputs)

    def _cut(self, lines: torch.Tensor, start: int, down: int, across: int) -> torch.Tensor:
        """Cut tiles, (tiles, 36, in), from lines from one on; beyond the edges there are zeros."""
        width = lines.shape[1]
        shape = TILE * down + 2, TILE * across + 2, self._inputs
        part = self._workspace.room("part", *shape)
        stop = min(start + shape[0], lines.shape[0])
        part[: max(0, -start)] = 0
        part[stop - start :] = 0
        part[:, 0] = 0
        part[:, width + 1 :] = 0
        part[max(0, -start) : stop - start, 1 : width + 1] = lines[max(0, start) : stop]
        row, column, _ = part.stride()
        tiles = part.as_strided(
            (down, across, _INPUT, _INPUT, self._inputs),
            (TILE * row, TILE * column, row, column, 1),
        )
        return self._workspace.room("tiles", *tiles.shape).copy_(tiles).flatten(2, 3).flatten(0, 1)

    def _products(self, tiles: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Results of tiles, (16, tiles · out)."""
        room, count = self._workspace.room, tiles.shape[0]
        summed = torch.bmm(_SUMS.expand(count, -1, -1), tiles, out=room("summed", *tiles.shape))
        products = room("products", weight.shape[0], count, self._outputs)
        torch.bmm(summed.transpose(0, 1), weight, out=products)
        if self._bias is not None:
            products[_IN_ALL].add_(self._bias)
        results = room("tiles", _RESULTS.shape[0], count * self._outputs)
        return torch.mm(_RESULTS, products.flatten(1), out=results)

    def _put(self, results: torch.Tensor, across: int, y: torch.Tensor) -> None:
        """Put results where they belong; some lie beyond the edges."""
        tiles = results.view(TILE, TILE, -1, across, self._outputs).permute(2, 0, 3, 1, 4)
        height, width, _ = y.shape
        fits = y.shape[:2] == (TILE * tiles.shape[0], TILE * across)
        whole = y.view(tiles.shape) if fits else self._workspace.room("part", *tiles.shape)
        whole.copy_(tiles)
        if not fits:
            y.copy_(whole.flatten(2, 3).flatten(0, 1)[:height, :width])
