"""The encoder: VGG19 up to the deepest layer in use, forward and back, in tiles.

The network is cut behind its poolings into *segments*, and a segment's input into
*tiles*. A tile is computed with a halo of one position for each of its convolutions, so
what its core holds is exact, and so is the gradient. Two things follow:

- memory: of a large image only the segments' inputs are kept, and a bit for each
  feature, which is what the way back needs of a ReLU;
- speed: a tile stays in the processor's cache, where a whole layer would go through
  memory for every one of some thirty passes.
"""

import functools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple, TypeVar, cast

import torch
from torch.nn import functional as F

from napari_neural_style.layers import BLOCKS, LAYERS, Layer
from napari_neural_style.transfer import rectify
from napari_neural_style.transfer.convolution import Convolution
from napari_neural_style.transfer.devices import give_memory_back

_COLOURS: Final = 3
# Memory of so many bytes is given back between the steps.
_LARGE: Final = 64 << 20

Region = tuple[slice, slice]
"""Rows and columns of a layer."""
Look = Callable[[Layer, torch.Tensor, Region], None]
Prepare = Callable[[torch.Tensor], torch.Tensor]
_Room = TypeVar("_Room", torch.Tensor, rectify.Maxima)
AddGradient = Callable[[Layer, torch.Tensor, Region, torch.Tensor], None]


class Span(NamedTuple):
    """Rows or columns of a segment's input: the core, and the core with its halo."""

    start: int
    stop: int
    first: int
    last: int

    def core(self, stride: int) -> slice:
        """The core in a layer that has one position for so many of the input's."""
        return slice(self.start // stride, self.stop // stride)

    def inner(self, stride: int) -> slice:
        """The core within the part of that layer that is computed."""
        first = self.first // stride
        return slice(self.start // stride - first, self.stop // stride - first)


class Tile(NamedTuple):
    """A part of a segment's input that is computed at once."""

    rows: Span
    columns: Span

    @property
    def whole(self) -> Region:
        """Core and halo."""
        rows, columns = self
        return slice(rows.first, rows.last), slice(columns.first, columns.last)

    def core(self, stride: int) -> Region:
        """The core in a layer of some stride, relative to the segment's input."""
        return self.rows.core(stride), self.columns.core(stride)

    def inner(self, stride: int) -> Region:
        """The core within the part of that layer that is computed."""
        return self.rows.inner(stride), self.columns.inner(stride)


class Covered:
    """Sums overlapping tiles, from the last to the first, without zeros to begin with.

    Parameters
    ----------
    height, width : int
        Of all tiles together.
    """

    def __init__(self, height: int, width: int) -> None:
        self._below = self._next_below = height
        self._right = self._width = width

    def add(self, total: torch.Tensor, part: torch.Tensor, tile: Tile) -> None:
        """Add a tile with its halo."""
        if tile.columns.last == self._width:  # the first of a row of tiles
            self._below, self._right = self._next_below, self._width
        here = total[(..., *tile.whole)]
        height, width = self._below - tile.rows.first, self._right - tile.columns.first
        here[:, :, :height, :width] = part[:, :, :height, :width]
        here[:, :, :height, width:] += part[:, :, :height, width:]
        here[:, :, height:] += part[:, :, height:]
        self._next_below, self._right = tile.rows.first, tile.columns.first


@dataclass(frozen=True)
class Segment:
    """The layers from one pooling to the next, or to the one after that."""

    layers: tuple[Layer, ...]

    @property
    def stride(self) -> int:
        """Pixels of the image to one position of its input, each way."""
        return self.layers[0].stride

    @property
    def channels(self) -> int:
        """Feature maps of its widest layers but for the pooling's."""
        return self.layers[0].channels

    def relative(self, layer: Layer) -> int:
        """Positions of the segment's input to one of a layer, each way."""
        return layer.stride // self.stride

    def numbers(self, height: int, width: int) -> int:
        """Features of its convolutions for an input of so many rows and columns."""
        convolutions = (layer for layer in self.layers if layer.kind == "conv")
        return sum(
            layer.channels * (height * width) // self.relative(layer) ** 2 for layer in convolutions
        )

    def tiles(self, height: int, width: int, shape: tuple[int, int] | None) -> list[Tile]:
        """Cut an input of some size into tiles of about a shape; None for one tile."""
        multiple = self.relative(self.layers[-1])  # where its poolings may start
        halo = sum(self.relative(layer) for layer in self.layers if layer.kind == "conv")
        halo = math.ceil(halo / multiple) * multiple
        sides = shape or (height, width)
        rows, columns = (
            _spans(length, side, halo, multiple)
            for length, side in zip((height, width), sides, strict=True)
        )
        return [Tile(row, column) for row in rows for column in columns]


def _spans(length: int, side: int, halo: int, multiple: int) -> list[Span]:
    count = max(1, round(length / side))
    starts = sorted({multiple * (length * i // count // multiple) for i in range(count)})
    return [
        Span(start, stop, max(0, start - halo), min(length, stop + halo))
        for start, stop in pairwise([*starts, length])
    ]


@dataclass(frozen=True)
class Plan:
    """How the encoder saves memory and time."""

    tile: Callable[[Segment, int, int], tuple[int, int] | None] = lambda *_: None
    """Rows and columns of a tile, for a segment and the size of its input; None for one tile."""
    kept_bytes: float = math.inf
    """Features of a segment up to so many bytes are kept. Of more, only what a ReLU and a
    pooling need on the way back is, in a bit each, and those wanted are computed again."""
    joined_bytes: float = math.inf
    """The first two segments are one if more bytes would be kept between them."""

    def joins(self, height: int, width: int, dtype: torch.dtype) -> bool:
        """Whether the first two segments are one for an image of so many pixels."""
        between = (height // 2) * (width // 2) * BLOCKS[0][-1] * dtype.itemsize
        return between > self.joined_bytes

    def keeps(self, segment: Segment, height: int, width: int, dtype: torch.dtype) -> bool:
        """Whether a segment's features are kept, for an input of some size."""
        return segment.numbers(height, width) * dtype.itemsize <= self.kept_bytes


@dataclass
class Activations:
    """What is kept of a tile for the way back."""

    features: dict[Layer, torch.Tensor] = field(default_factory=dict)
    rectified: dict[Layer, rectify.Numbers] = field(default_factory=dict)
    maxima: dict[Layer, rectify.Maxima] = field(default_factory=dict)

    def positive(self, relu: Layer) -> rectify.Numbers:
        """Numbers above zero where a ReLU is: its own features, those before it, or bits."""
        for layer in (relu, LAYERS[relu.index - 1]):
            if layer in self.features:
                return self.features[layer]
        return self.rectified[relu]


@dataclass
class Trace:
    """What a forward pass keeps for the way back."""

    segments: tuple[Segment, ...]
    prepare: Prepare
    large: bool
    inputs: list[torch.Tensor] = field(default_factory=list)
    tiles: list[list[tuple[Tile, Activations]]] = field(default_factory=list)


class Encoder:
    """VGG19's features, frozen, cast once, and no deeper than needed.

    Parameters
    ----------
    weights : mapping of str to torch.Tensor
        As :func:`~napari_neural_style.transfer.weights.load_weights` returns them.
    layers : iterable of Layer
        The layers whose features are wanted.
    pooling : {"max", "avg"}
        The pooling between the blocks.
    device : torch.device
        Where the encoder runs.
    dtype : torch.dtype
        Precision of weights and features.
    plan : Plan, optional
        Tiles, and what is kept; the default is one tile, everything kept.

    References
    ----------
    Simonyan & Zisserman, "Very deep convolutional networks for large-scale image
    recognition", 2014, configuration E. Recomputing instead of storing: Chen, Xu,
    Zhang & Guestrin, "Training deep nets with sublinear memory cost", 2016.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        layers: Iterable[Layer],
        pooling: str = "max",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        plan: Plan | None = None,
    ) -> None:
        self.layers = frozenset(layers)
        self.dtype = dtype
        self._pooling = pooling
        self._plan = plan or Plan()
        self._rooms: dict[Hashable, torch.Tensor | rectify.Maxima] = {}
        self._shape: torch.Size | None = None
        self._forward: dict[Layer, Convolution] = {}
        self._backward: dict[Layer, Convolution] = {}
        for segment in segments_of(self.layers):
            for layer in segment.layers:
                if layer.kind == "conv":
                    key = f"features.{layer.index}"
                    weight = weights[f"{key}.weight"].to(device, dtype)
                    bias = weights[f"{key}.bias"].to(device, dtype)
                    self._forward[layer] = Convolution(weight, bias)
                    # The gradient of a convolution is one with the weight turned round.
                    self._backward[layer] = Convolution(weight.flip(2, 3).transpose(0, 1), None)

    @property
    def stride(self) -> int:
        """Pixels to one position of the deepest layer: the least side of an image."""
        return max(layer.stride for layer in self.layers)

    @torch.no_grad()
    def forward(
        self,
        image: torch.Tensor,
        look: Look,
        keep: bool = True,
        prepare: Prepare = lambda part: part,
    ) -> Trace:
        """Compute the features of an image and show those wanted, tile by tile.

        Parameters
        ----------
        image : torch.Tensor
            (1, 3, H, W); not to be changed before :meth:`backward`.
        look : callable
            Called with each wanted layer, a part of its features (1, C, rows, columns)
            and the rows and columns of the layer that these are.
        keep : bool
            Keep what :meth:`backward` needs.
        prepare : callable
            Makes normalised RGB of a part of the image; of a whole one it would be several
            images more.

        Returns
        -------
        Trace
            For :meth:`backward`.
        """
        if keep and image.shape != self._shape:
            self._rooms, self._shape = {}, image.shape
        large = self._plan.joins(image.shape[2], image.shape[3], self.dtype)
        trace = Trace(segments_of(self.layers, large), prepare, large)
        x = image
        for segment in trace.segments:
            trace.inputs.append(x if keep else x.new_empty(0))
            x, kept = self._run_segment(segment, x, look, keep, prepare)
            trace.tiles.append(kept)
            if large:
                give_memory_back()
        return trace

    @torch.no_grad()
    def backward(self, trace: Trace, add_gradient: AddGradient) -> torch.Tensor:
        """Gradient with respect to the image, from gradients with respect to features.

        Parameters
        ----------
        trace : Trace
            Of the last :meth:`forward`, which kept it; used up.
        add_gradient : callable
            Called with each wanted layer, a part of its features, the rows and columns
            that these are, and the gradient with respect to them so far, (1, C, rows,
            columns) both; adds its own to the gradient, in place.

        Returns
        -------
        torch.Tensor
            (1, 3, H, W), in the encoder's precision.
        """
        outer: torch.Tensor | None = None
        for segment in reversed(trace.segments):
            x, tiles = trace.inputs.pop(), trace.tiles.pop()
            alone = len(tiles) == 1
            inner = x
            if not alone:
                make = functools.partial(_empty, x, x.shape[1:], self.dtype)
                inner = self._room((segment, "gradient"), make)
            covered = Covered(*x.shape[2:])
            while tiles:  # from the last to the first
                tile, activations = tiles.pop()
                self._complete(segment, x, tile, activations, trace.prepare)
                gradient = self._run_back(segment, tile, activations, outer, add_gradient)
                if alone:
                    inner = gradient
                else:
                    covered.add(inner, gradient, tile)
            outer = inner
            if trace.large:
                give_memory_back()
        assert outer is not None
        return outer

    def _room(self, key: Hashable, make: Callable[[], _Room]) -> _Room:
        """Memory of an earlier pass: that of the system costs more than what is done in it."""
        if key in self._rooms:
            return cast(_Room, self._rooms[key])
        made = make()
        if isinstance(made, rectify.Maxima) or made.nbytes <= _LARGE:
            self._rooms[key] = made
        return made

    def _part(self, x: torch.Tensor, tile: Tile, prepare: Prepare) -> torch.Tensor:
        """A tile of a segment's input."""
        part = x[(..., *tile.whole)]
        if x.shape[1] == _COLOURS:
            part = prepare(part).to(self.dtype)
        return _channels_last(part)

    def _run_segment(
        self, segment: Segment, x: torch.Tensor, look: Look, keep: bool, prepare: Prepare
    ) -> tuple[torch.Tensor, list[tuple[Tile, Activations]]]:
        """Compute a segment; its output, and what is kept of each tile."""
        height, width = x.shape[2:]
        tiles = segment.tiles(height, width, self._plan.tile(segment, height, width))
        whole = self._plan.keeps(segment, height, width, self.dtype)
        arena = None if whole else rectify.Arena()
        kept_layers = set(segment.layers) if keep else set()
        if not whole:
            kept_layers -= set(self._computed_again(segment))
        last = segment.layers[-1]
        output, kept = x, []
        if len(tiles) > 1:
            shape = last.channels, *(side // segment.relative(last) for side in (height, width))
            make = functools.partial(_empty, x, shape, self.dtype)
            output = self._room(segment, make) if keep else make()
        for tile in tiles:
            activations = Activations()
            room = tile if keep and whole else None
            part = self._part(x, tile, prepare)
            for layer, y, maxima in self._run(segment.layers, part, room):
                stride = segment.relative(layer)
                inner, core = (..., *tile.inner(stride)), tile.core(stride)
                if layer in self.layers:
                    look(layer, y[inner], core)
                if layer in kept_layers:
                    self._keep(activations, layer, y, maxima, arena)
                if layer is last:
                    if len(tiles) > 1:
                        output[(..., *core)] = y[inner]
                    else:
                        output = y
            kept.append((tile, activations))
        return output, kept

    def _run(
        self, layers: Iterable[Layer], y: torch.Tensor, tile: Tile | None = None
    ) -> Iterator[tuple[Layer, torch.Tensor, rectify.Maxima | None]]:
        """Compute one layer after the other, for a tile into the memory that it has."""
        wanted_before = False
        for layer in layers:
            maxima = None
            if layer.kind == "conv":
                y = self._forward[layer](y)
            elif layer.kind == "relu":
                alike = functools.partial(torch.empty_like, y)
                if tile is not None and (layer in self.layers or self._needs_mask(layer)):
                    out = self._room((layer, tile), alike)
                else:  # features that are wanted as they are before it stay so
                    out = self._room((layer, y.shape), alike) if wanted_before else y
                y = rectify.relu(y, out)
            elif self._pooling == "max":
                make = functools.partial(rectify.empty_maxima, y)
                maxima = rectify.compare(y, self._room((layer, tile), make) if tile else make())
                y = rectify.pooled(maxima, y.dtype)
            else:
                y = F.avg_pool2d(y, 2)
            yield layer, y, maxima
            wanted_before = layer in self.layers

    def _keep(
        self,
        activations: Activations,
        layer: Layer,
        y: torch.Tensor,
        maxima: rectify.Maxima | None,
        arena: rectify.Arena | None = None,
    ) -> None:
        """Keep of a layer what the way back needs; in bits, if there is an arena for them."""
        if layer in self.layers:
            activations.features[layer] = y
        if maxima is not None:
            activations.maxima[layer] = rectify.pack_maxima(maxima, arena) if arena else maxima
        elif layer.kind == "relu" and self._needs_mask(layer):
            activations.rectified[layer] = rectify.pack(y, arena) if arena else y

    def _needs_mask(self, relu: Layer) -> bool:
        """Whether something must be kept to know where a ReLU was positive."""
        # Its own features tell or those before it do, where they are wanted.
        wanted = not self.layers.isdisjoint((relu, LAYERS[relu.index - 1]))
        return not wanted and not self._pool_masks(relu)

    def _pool_masks(self, relu: Layer) -> bool:
        """Whether the way back through the max pooling behind a ReLU does its part."""
        pooled = self._pooling == "max" and LAYERS[relu.index + 1].kind == "pool"
        return pooled and relu not in self.layers

    def _complete(
        self,
        segment: Segment,
        x: torch.Tensor,
        tile: Tile,
        activations: Activations,
        prepare: Prepare,
    ) -> None:
        """Compute again what was not kept."""
        again = self._computed_again(segment)
        if again and not activations.features:
            for layer, y, maxima in self._run(again, self._part(x, tile, prepare)):
                self._keep(activations, layer, y, maxima)

    def _computed_again(self, segment: Segment) -> tuple[Layer, ...]:
        """Of a segment of which only bits are kept, the layers up to the last one wanted."""
        wanted = [i for i, layer in enumerate(segment.layers) if layer in self.layers]
        return segment.layers[: wanted[-1] + 1] if wanted else ()

    def _run_back(
        self,
        segment: Segment,
        tile: Tile,
        activations: Activations,
        outer: torch.Tensor | None,
        add_gradient: AddGradient,
    ) -> torch.Tensor:
        """Gradient with respect to a tile of the segment's input."""
        gradient: torch.Tensor | None = None
        if outer is not None:
            last = segment.layers[-1]
            stride = segment.relative(last)
            core = outer[(..., *tile.core(stride))]
            height, width = (span.last // stride - span.first // stride for span in tile)
            if core.shape[2:] == (height, width):
                gradient = core
            else:
                gradient = _empty(core, (last.channels, height, width), self.dtype).zero_()
                gradient[(..., *tile.inner(stride))] = core
        for layer in reversed(segment.layers):
            stride = segment.relative(layer)
            if layer in self.layers:
                features = activations.features[layer]
                if gradient is None:
                    gradient = torch.zeros_like(features)
                inner = (..., *tile.inner(stride))
                add_gradient(layer, features[inner], tile.core(stride), gradient[inner])
            if gradient is None:
                continue  # nothing behind it is wanted
            if layer.kind == "conv":
                gradient = self._backward[layer](gradient)
            elif layer.kind == "relu":
                if not self._pool_masks(layer):
                    rectify.relu_backward_(gradient, activations.positive(layer))
            else:
                stride //= 2
                height, width = (span.last // stride - span.first // stride for span in tile)
                before = _empty(gradient, (layer.channels, height, width), self.dtype)
                if layer in activations.maxima:
                    rectify.max_pool_backward(gradient, activations.maxima[layer], before)
                    gradient = before
                else:
                    gradient = _channels_last(
                        torch.ops.aten.avg_pool2d_backward(
                            gradient, before, [2, 2], [2, 2], [0, 0], False, True, None
                        )
                    )
        assert gradient is not None
        return gradient


def segments_of(layers: Iterable[Layer], joined: bool = False) -> tuple[Segment, ...]:
    """Cut the network up to the deepest of some layers behind its poolings.

    Parameters
    ----------
    layers : iterable of Layer
        The layers that are wanted.
    joined : bool
        Leave the first two segments in one.
    """
    segments: list[list[Layer]] = [[]]
    for layer in LAYERS[: max(layer.index for layer in layers) + 1]:
        if segments[-1] and segments[-1][-1].kind == "pool" and not (joined and layer.block == 2):
            segments.append([])
        segments[-1].append(layer)
    return tuple(Segment(tuple(segment)) for segment in segments)


def _empty(like: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Memory of channels, rows and columns beside a tensor."""
    channels, height, width = shape
    x = torch.empty((1, height, width, channels), dtype=dtype, device=like.device)
    return x.permute(0, 3, 1, 2)


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)
