"""3 × 3 convolutions with a quarter of the products, for float32 on a CPU.

A tile of 4 × 4 results depends on 6 × 6 numbers of each input channel. Of these, 36 sums are
made, each is multiplied by one matrix (out × in), and of what comes of it the 16 results are
sums again: 36 products for each pair of channels, where a convolution has 144. The sums cost
memory traffic, so that it pays from 128 channels on, and they round: the error is some ten
times that of float32, far below that of half precision.

Where tiles begin at multiples of four of the whole image, the results do not depend on the
strips in which they are computed.

References
----------
Winograd, "Arithmetic complexity of computations", 1980; for convolutional networks: Lavin &
Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, F(4 × 4, 3 × 3); the
points: Barabasz, Anderson, Soodhalter & Gregg, "Error analysis and improving the accuracy of
Winograd convolution for deep neural networks", 2020.
"""

import copy
import math
from typing import Final

import torch

from napari_neural_style.transfer import rectify

TILE: Final = 4
"""Rows and columns of results that are computed together."""

_KERNEL: Final = 3
_INPUT: Final = TILE + _KERNEL - 1
# Fewer channels, of input and output, are not worth the sums.
_LEAST_CHANNELS: Final = 64, 128
# Tiles at once, times the channels: what is made of them stays in the cache, and the products
# are still large.
_AT_ONCE: Final = 1 << 16
# Where polynomials are evaluated, beside infinity: those that round the least.
_POINTS: Final = (0.0, 1.0, -1.0, 0.5, -2.0)
# The product, of those of rows and those of columns, that is in every result, once: of 1 and 1.
_IN_ALL: Final = _INPUT + 1


def _of_rows_and_columns(single: torch.Tensor) -> torch.Tensor:
    return torch.kron(single, single).float()


def _of_input() -> torch.Tensor:
    """What is done to the input: at each point, the product of what is zero at the others."""
    rows = []
    for point in (*_POINTS, None):
        polynomial = torch.ones(1, dtype=torch.float64)
        for other in _POINTS:
            if other != point:  # times x - other, by rising powers
                grown = torch.zeros(len(polynomial) + 1, dtype=torch.float64)
                grown[1:] += polynomial
                grown[:-1] -= other * polynomial
                polynomial = grown
        rows.append(torch.nn.functional.pad(polynomial, (0, _INPUT - len(polynomial))))
    return torch.stack(rows)


def _powers(count: int) -> torch.Tensor:
    """Powers of the points, and at infinity the highest."""
    points = torch.tensor(_POINTS, dtype=torch.float64)
    infinity = torch.eye(count, dtype=torch.float64)[-1:]
    return torch.cat([points[:, None] ** torch.arange(count), infinity])


def _of_weight() -> torch.Tensor:
    """What is done to the weight: its polynomial at the points, over that of the input there."""
    divisors = [math.prod(p - other for other in _POINTS if other != p) for p in _POINTS]
    return _powers(_KERNEL) / torch.tensor([*divisors, 1.0], dtype=torch.float64)[:, None]


_SUMS: Final = _of_rows_and_columns(_of_input())
_WEIGHTS: Final = _of_rows_and_columns(_of_weight())
_RESULTS: Final = _of_rows_and_columns(_powers(TILE).T)


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

    def clear(self) -> None:
        """Let go of it."""
        self._rooms.clear()


def suits(weight: torch.Tensor) -> bool:
    """Whether a convolution by some weight, (out, in, 3, 3), is faster so."""
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    fewer, more = sorted(weight.shape[:2])
    return on_cpu and fewer >= _LEAST_CHANNELS[0] and more >= _LEAST_CHANNELS[1]


class Matrices:
    """What the products are made with, of a weight (out, in, 3, 3): (36, in, out).

    They are four times as large as the weight.
    """

    def __init__(self, weight: torch.Tensor, workspace: Workspace) -> None:
        self._weight, self._workspace = weight, workspace
        self._kept: torch.Tensor | None = None

    def __call__(self) -> torch.Tensor:
        """Make them, or take those made before."""
        made, frugal = self._kept, self._workspace.frugal
        if made is None or frugal:
            outputs, inputs = self._weight.shape[:2]
            shape = _WEIGHTS.shape[0], inputs, outputs
            made = self._workspace.room("weight", *shape) if frugal else torch.empty(shape)
            plain = self._weight.permute(2, 3, 1, 0).flatten(2).flatten(0, 1)
            torch.mm(_WEIGHTS, plain, out=made.view(shape[0], -1))
            self._kept = None if frugal else made
        return made


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
        self._matrices = Matrices(weight, workspace)
        self._sums, self._results = _SUMS, _RESULTS
        self._bias, self._workspace = bias, workspace
        self._is_turned = False

    def turned(self) -> "Winograd":
        """Return the convolution that leads a gradient back, which needs no other matrices.

        Its weight is this one's turned round. Turning the tile round instead, and the results
        back, is the same.
        """
        turned = copy.copy(self)
        turned._outputs, turned._inputs = self._inputs, self._outputs
        turned._sums, turned._results = self._sums.flip(1), self._results.flip(0)
        turned._bias, turned._is_turned = None, not self._is_turned
        return turned

    def __call__(self, x: torch.Tensor, above: bool, below: bool, rectified: bool) -> torch.Tensor:
        """Convolve, as :class:`~.convolution.Convolution` does."""
        lines = x[0].permute(1, 2, 0)
        width = lines.shape[1]
        height = lines.shape[0] - 2 + above + below
        y = lines.new_empty(height, width, self._outputs)
        across, down = math.ceil(width / TILE), math.ceil(height / TILE)
        step = max(1, _AT_ONCE // (max(self._inputs, self._outputs) * across))
        weight = self._matrices()
        weight = weight.mT if self._is_turned else weight
        for first in range(0, down, step):
            tiles = self._cut(lines, TILE * first - above, min(step, down - first), across)
            part = y[TILE * first : TILE * (first + step)]
            self._put(self._products(tiles, weight), across, part)
            if rectified:  # while it is in the cache
                features = part.permute(2, 0, 1)[None]
                rectify.relu(features, features)
        return y.permute(2, 0, 1)[None]

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
        summed = torch.bmm(
            self._sums.expand(count, -1, -1), tiles, out=room("summed", *tiles.shape)
        )
        products = room("products", weight.shape[0], count, self._outputs)
        torch.bmm(summed.transpose(0, 1), weight, out=products)
        if self._bias is not None:
            products[_IN_ALL].add_(self._bias)
        results = room("tiles", len(self._results), count * self._outputs)
        return torch.mm(self._results, products.flatten(1), out=results)

    def _put(self, results: torch.Tensor, across: int, y: torch.Tensor) -> None:
        """Put results where they belong; some lie beyond the edges."""
        tiles = results.view(TILE, TILE, -1, across, self._outputs).permute(2, 0, 3, 1, 4)
        height, width, _ = y.shape
        fits = y.shape[:2] == (TILE * tiles.shape[0], TILE * across)
        whole = y.view(tiles.shape) if fits else self._workspace.room("part", *tiles.shape)
        whole.copy_(tiles)
        if not fits:
            y.copy_(whole.flatten(2, 3).flatten(0, 1)[:height, :width])
