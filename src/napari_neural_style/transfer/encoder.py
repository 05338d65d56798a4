"""The encoder: VGG19 up to the deepest layer in use, forward and back, in strips.

The network is cut behind some of its poolings into *segments*, and a segment into
*strips* of rows. A strip of a convolution's output lies one row higher than that of its
input: of what is not its own it needs only the last two rows of the strip above, which
are remembered. On the way back a gradient needs the first two rows of the strip below.
(Convolutions that are computed by tiles of four rows have all cuts at multiples of four:
four rows higher, and five are remembered.) So nothing is computed twice for being cut, and
every number is computed once, from the same numbers, wherever the cuts are. Two things
follow:

- memory: of a large image only some segments' inputs are kept, some of the features that
  are wanted, and a bit for each other feature, which is what the way back needs of a ReLU;
- speed: a strip stays in the processor's cache, where a whole layer would go through
  memory for every one of some thirty passes.
"""

import functools
import math
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple, TypeVar, cast

import torch
from torch.nn import functional as F

from napari_neural_style.heap import give_back, keep_freed
from napari_neural_style.layers import LAYERS, Layer
from napari_neural_style.transfer import rectify
from napari_neural_style.transfer.convolution import Convolution
from napari_neural_style.transfer.winograd import Workspace

_COLOURS: Final = 3
# Blocks that segments start with.
_THIRD, _FOURTH = 3, 4
# Of images of so many bytes, memory is given back as soon as may be.
_LARGE: Final = 64 << 20

Region = tuple[slice, slice]
"""Rows and columns of a layer."""
Look = Callable[[Layer, torch.Tensor, Region], None]
Prepare = Callable[[torch.Tensor], torch.Tensor]
_Room = TypeVar("_Room", torch.Tensor, rectify.Maxima, rectify.Arena)
AddGradient = Callable[[Layer, torch.Tensor, Region, torch.Tensor], None]


class Rows(NamedTuple):
    """Some rows of a layer."""

    start: int
    stop: int
    height: int
    """Rows of the whole layer."""

    @property
    def first(self) -> bool:
        """Whether there is nothing above them."""
        return self.start == 0

    @property
    def last(self) -> bool:
        """Whether there is nothing below them."""
        return self.stop == self.height

    def before(self, layer: Layer, height: int) -> "Rows":
        """Rows of the input, of some height, that these of a layer's output are computed from."""
        if layer.kind == "conv":
            return Rows(max(0, self.start - 1), min(height, self.stop + 1), height)
        if layer.kind == "pool":  # of an odd number the last is left out
            return Rows(2 * self.start, height if self.last else 2 * self.stop, height)
        return self

    def whole_tiles(self, tile: int) -> "Rows":
        """These rows, and others that make them whole tiles of some height."""
        stop = -(-self.stop // tile) * tile
        return Rows(self.start // tile * tile, min(self.height, stop), self.height)

    def and_those(self, other: "Rows") -> "Rows":
        """These rows, others of the same layer, and what is between."""
        return Rows(min(self.start, other.start), max(self.stop, other.stop), self.height)

    def of(self, x: torch.Tensor, earlier: int = 0) -> torch.Tensor:
        """These rows, and so many above them, of a whole layer."""
        return x[:, :, max(0, self.start - earlier) : self.stop]

    def within(self, rows: "Rows") -> slice:
        """Where these are among others."""
        return slice(self.start - rows.start, self.stop - rows.start)


def lift(layer: Layer, tile: int) -> int:
    """Rows that a strip of a convolution's output lies higher than that of its input.

    Behind the first block, where convolutions may be computed by tiles of some rows, cuts are
    at multiples of it. (Those of the first block have too few channels for tiles to pay.)
    """
    return tile if layer.block > 1 else 1


class Strip(NamedTuple):
    """Rows of a segment that are computed at once."""

    number: int
    """From above."""
    source: Rows
    """Of the segment's input; their gradient is computed at once."""
    rows: dict[Layer, Rows]
    """Of the outputs of its layers."""


@dataclass(frozen=True)
class Segment:
    """The layers from a pooling to one of those after it."""

    layers: tuple[Layer, ...]
    tile: int = 1
    """As :attr:`Plan.tile`."""

    @property
    def stride(self) -> int:
        """Pixels of the image to one position of its input, each way."""
        return self.layers[0].stride

    @property
    def channels(self) -> int:
        """Feature maps of its widest layers but for the pooling's."""
        return self.layers[0].channels

    @property
    def reach(self) -> int:
        """Rows that a strip of its output lies higher than that of its input."""
        layers = (layer for layer in self.layers if layer.kind == "conv")
        return sum(self.relative(layer) * lift(layer, self.tile) for layer in layers)

    def relative(self, layer: Layer) -> int:
        """Positions of the segment's input to one of a layer, each way."""
        return layer.stride // self.stride

    def numbers(self, height: int, width: int) -> int:
        """Features of its convolutions for an input of so many rows and columns."""
        convolutions = (layer for layer in self.layers if layer.kind == "conv")
        return sum(layer.channels * self.positions(layer, height, width) for layer in convolutions)

    def positions(self, layer: Layer, height: int, width: int) -> int:
        """Positions of a layer for an input of so many rows and columns."""
        ratio = self.relative(layer)
        return (height // ratio) * (width // ratio)

    def strips(self, height: int, rows: int | None) -> list[Strip]:
        """Cut an input of some height into strips of about so many rows; None for one strip."""
        ratio = self.relative(self.layers[-1])
        count = max(1, round(height / (rows or height)))
        # Edges of the last layer. Those of its input lie lower; some rows must be left there.
        unit = lift(self.layers[-1], self.tile)
        edges = {(height * i // count - self.reach) // (unit * ratio) * unit for i in range(count)}
        lowest = height - (unit + 1) * ratio - self.reach
        inner = sorted(e for e in edges if 0 < e * ratio <= lowest)
        found: dict[Layer | None, list[Rows]] = {}
        for layer in reversed(self.layers):
            found[layer] = _cut(inner, height // self.relative(layer))
            if layer.kind != "relu":
                higher = lift(layer, self.tile)
                inner = [e + higher if layer.kind == "conv" else 2 * e for e in inner]
        return [
            Strip(i, source, {layer: found[layer][i] for layer in self.layers})
            for i, source in enumerate(_cut(inner, height))
        ]


def _cut(edges: Sequence[int], height: int) -> list[Rows]:
    return [Rows(start, stop, height) for start, stop in pairwise([0, *edges, height])]


@dataclass(frozen=True)
class Plan:
    """How the encoder saves memory and time."""

    rows: Callable[[Segment, int, int], int | None] = lambda *_: None
    """Rows of a strip, for a segment and the size of its input; None for one strip."""
    kept_bytes: float = math.inf
    """Features of a segment up to so many bytes are kept. Of more, only what a ReLU and a
    pooling need on the way back is, in a bit each, …"""
    wanted_bytes: float = math.inf
    """… and the features that are wanted, up to so many bytes a layer; larger ones are
    computed again."""
    tile: int = 1
    """Rows that convolutions behind the first block compute together."""

    def keeps(self, segment: Segment, height: int, width: int, dtype: torch.dtype) -> bool:
        """Whether all of a segment's features are kept, for an input of some size."""
        return segment.numbers(height, width) * dtype.itemsize <= self.kept_bytes

    def segments(
        self, wanted: Iterable[Layer], height: int, width: int, dtype: torch.dtype
    ) -> tuple[Segment, ...]:
        """Cut the network up to the deepest wanted layer, for an image of some size."""
        # Few segments, for what is between them takes memory; but no more to compute again
        # for the wanted features of the fourth block than need be.
        layer = next(layer for layer in LAYERS if layer.block == _FOURTH)
        positions = (height // layer.stride) * (width // layer.stride)
        cut = layer.channels * positions * dtype.itemsize > self.wanted_bytes
        starts = (_THIRD, _FOURTH) if cut else (_THIRD,)
        found: list[list[Layer]] = [[]]
        for layer in LAYERS[: max(layer.index for layer in wanted) + 1]:
            if found[-1] and found[-1][-1].kind == "pool" and layer.block in starts:
                found.append([])
            found[-1].append(layer)
        return tuple(Segment(tuple(layers), self.tile) for layers in found)

    def again(
        self,
        segment: Segment,
        wanted: Iterable[Layer],
        height: int,
        width: int,
        dtype: torch.dtype,
    ) -> tuple[Layer, ...]:
        """Layers of a segment that are computed again, for an input of some size."""
        if self.keeps(segment, height, width, dtype):
            return ()
        large = [
            i
            for i, layer in enumerate(segment.layers)
            if layer in wanted
            and layer.channels * segment.positions(layer, height, width) * dtype.itemsize
            > self.wanted_bytes
        ]
        return segment.layers[: large[-1] + 1] if large else ()


@dataclass
class Activations:
    """What is kept of a strip for the way back."""

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

    image: torch.Tensor
    prepare: Prepare
    segments: tuple[Segment, ...]
    large: bool
    lasts: bool
    """Whether there is memory to keep it until the next pass, or it is used up on the way back."""
    number: int
    """Of the pass, among all of the encoder."""
    inputs: list[torch.Tensor] = field(default_factory=list)
    strips: list[list[tuple[Strip, Activations]]] = field(default_factory=list)


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
        Strips, and what is kept; the default is one strip, everything kept.

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
        self._rooms: dict[Hashable, torch.Tensor | rectify.Maxima | rectify.Arena] = {}
        self._moments: dict[tuple[int, int], torch.Tensor] = {}
        self._shape: torch.Size | None = None
        self._passes = 0
        self._workspace = Workspace()
        self._forward: dict[Layer, Convolution] = {}
        self._backward: dict[Layer, Convolution] = {}
        keep_freed()
        for layer in LAYERS[: max(layer.index for layer in self.layers) + 1]:
            if layer.kind == "conv":
                key = f"features.{layer.index}"
                weight = weights[f"{key}.weight"].to(device, dtype)
                bias = weights[f"{key}.bias"].to(device, dtype)
                self._forward[layer] = Convolution(weight, bias, self._workspace)
                self._backward[layer] = self._forward[layer].turned()

    @property
    def stride(self) -> int:
        """Pixels to one position of the deepest layer: the least side of an image."""
        return max(layer.stride for layer in self.layers)

    def forward(
        self,
        image: torch.Tensor,
        look: Look,
        keep: bool = True,
        prepare: Prepare = lambda part: part,
        deepest: Layer | None = None,
    ) -> Trace:
        """Compute the features of an image and show those wanted, strip by strip.

        Parameters
        ----------
        image, prepare, deepest
            As for :meth:`trace`.
        look, keep
            As for :meth:`walk`.

        Returns
        -------
        Trace
            For :meth:`backward`.
        """
        trace = self.trace(image, prepare, deepest)
        for _ in self.walk(trace, look, keep):
            pass
        return trace

    def trace(
        self,
        image: torch.Tensor,
        prepare: Prepare = lambda part: part,
        deepest: Layer | None = None,
    ) -> Trace:
        """Begin a pass; those before it cannot go on, or back, any more.

        Parameters
        ----------
        image : torch.Tensor
            (1, 3, H, W); not to be changed before :meth:`backward`.
        prepare : callable
            Makes normalised RGB of a part of the image; of a whole one it would be several
            images more.
        deepest : Layer, optional
            The wanted layer to end with; by default the last of them.
        """
        if image.shape != self._shape:
            self._rooms, self._moments, self._shape = {}, {}, image.shape
        height, width = image.shape[2:]
        wanted = self.layers if deepest is None else {deepest}
        segments = self._plan.segments(wanted, height, width, self.dtype)
        large = image.numel() * self.dtype.itemsize > _LARGE
        lasts = all(
            self._plan.keeps(part, height // part.stride, width // part.stride, self.dtype)
            for part in segments
        )
        self._passes += 1
        return Trace(image, prepare, segments, large, lasts and not large, self._passes)

    def holds(self, trace: Trace) -> bool:
        """Whether a pass can go on, or back."""
        return trace.number == self._passes

    @torch.no_grad()
    def walk(self, trace: Trace, look: Look, keep: bool = True) -> Iterator[None]:
        """Go through the network with an image, from layer to layer of a strip.

        Parameters
        ----------
        trace : Trace
            Of a pass that begins.
        look : callable
            Called with each wanted layer, a part of its features (1, C, rows, columns)
            and the rows and columns of the layer that these are.
        keep : bool
            Keep what :meth:`backward` needs.
        """
        self._workspace.frugal = trace.large
        x = trace.image
        for segment in trace.segments:
            trace.inputs.append(x)
            kept: list[tuple[Strip, Activations]] = []
            x = yield from self._walk_segment(segment, x, look, keep, trace, kept)
            trace.strips.append(kept)
            if trace.large:
                self._tidy()

    @torch.no_grad()
    def backward(self, trace: Trace, add_gradient: AddGradient) -> torch.Tensor:
        """Gradient with respect to the image, from gradients with respect to features.

        Parameters
        ----------
        trace : Trace
            Of the last pass, which kept it; used up unless it lasts.
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
        inputs, kept = trace.inputs, trace.strips
        if trace.lasts:
            inputs, kept = inputs.copy(), [strips.copy() for strips in kept]
        else:
            self._passes += 1  # for it is used up
        for segment in reversed(trace.segments):
            x, strips = inputs.pop(), kept.pop()
            again = self._computed_again(segment, x.shape)
            alone = len(strips) == 1
            if alone or (kept and len(kept[-1]) > 1):
                inner = x  # of which a strip needs nothing below its own rows
            else:
                make = functools.partial(_empty, x, tuple(x.shape[1:]), self.dtype)
                inner = make() if trace.large else self._room("gradient", make)
            below: dict[Layer, torch.Tensor] = {}
            while strips:  # from the last to the first
                strip, activations = strips.pop()
                if again:
                    self._compute_again(again, x, strip, activations, trace.prepare)
                gradient = self._run_back(
                    strip, x.shape[3], activations, outer, below, add_gradient
                )
                if alone:
                    inner = gradient
                else:
                    strip.source.of(inner).copy_(gradient)
            outer = inner
            if trace.large:
                self._tidy()
        assert outer is not None
        return outer

    def _room(self, key: Hashable, make: Callable[[], _Room]) -> _Room:
        """Memory of an earlier pass: that of the system costs more than what is done in it."""
        if key not in self._rooms:
            self._rooms[key] = make()
        return cast(_Room, self._rooms[key])

    def _tidy(self) -> None:
        """Let go of what the strips of a segment were computed in."""
        self._moments.clear()
        self._workspace.clear()
        give_back()

    def _computed_again(self, segment: Segment, shape: torch.Size) -> tuple[Layer, ...]:
        """Layers of a segment that the way back begins with computing again."""
        return self._plan.again(segment, self.layers, shape[2], shape[3], self.dtype)

    def _part(self, x: torch.Tensor, rows: Rows, prepare: Prepare) -> torch.Tensor:
        """Some rows of a segment's input."""
        part = rows.of(x)
        if x.shape[1] == _COLOURS:
            part = prepare(part).to(self.dtype)
        return part.contiguous(memory_format=torch.channels_last)

    def _walk_segment(
        self,
        segment: Segment,
        x: torch.Tensor,
        look: Look,
        keep: bool,
        trace: Trace,
        kept: list[tuple[Strip, Activations]],
    ) -> Generator[None, None, torch.Tensor]:
        """Compute a segment's output, and add what is kept of each strip."""
        height, width = x.shape[2:]
        strips = segment.strips(height, self._plan.rows(segment, height, width))
        everything = self._plan.keeps(segment, height, width, self.dtype)
        arena = None if everything else self._room((segment, "bits"), rectify.Arena)
        if arena is not None:
            arena.clear()
        kept_layers = set(segment.layers) if keep else set()
        kept_layers -= set(self._computed_again(segment, x.shape))

        def make(layer: Layer) -> torch.Tensor:
            ratio = segment.relative(layer)
            return _empty(x, (layer.channels, height // ratio, width // ratio), self.dtype)

        # Features that are kept lie together: what a strip needs of the one above is there.
        # A single strip needs nothing, and those that are rectified at once are its own.
        features = {
            layer: make(layer) if trace.large else self._room(layer, functools.partial(make, layer))
            for layer in kept_layers
            if layer.kind == "relu"
            and (len(strips) > 1 or LAYERS[layer.index - 1] in self.layers)
            and (layer in self.layers or (everything and self._needs_mask(layer)))
        }
        first, last = segment.layers[0], segment.layers[-1]
        output = None
        if len(strips) > 1 and last.kind == "pool":
            output = self._room(last, functools.partial(make, last))
        above: dict[Layer, torch.Tensor] = {}
        y = x
        for strip in strips:
            activations = Activations()
            number = strip.number if keep and everything else None
            there = strip.rows[first].before(first, height)
            part = self._part(x, there, trace.prepare)
            run = self._run(strip.rows, part, there, features, above, number)
            for layer, y, maxima in run:
                if layer in self.layers:
                    look(layer, y, _region(strip.rows[layer], y))
                if layer in kept_layers:
                    self._keep(activations, layer, y, maxima, arena)
                yield
            if output is not None:
                strip.rows[last].of(output).copy_(y)
            kept.append((strip, activations))
        return y if output is None else output

    def _run(
        self,
        rows: Mapping[Layer, Rows],
        y: torch.Tensor,
        there: Rows,
        whole: Mapping[Layer, torch.Tensor] | None = None,
        above: dict[Layer, torch.Tensor] | None = None,
        number: int | None = None,
    ) -> Iterator[tuple[Layer, torch.Tensor, rectify.Maxima | None]]:
        """Compute one layer after the other.

        Parameters
        ----------
        rows : mapping
            Of each layer, in order, those to be computed.
        y : torch.Tensor
            The input that they depend on, …
        there : Rows
            … and its rows.
        whole : mapping, optional
            Layers whose features are kept, and where.
        above : dict, optional
            Of each layer before a convolution, the last rows of the strip above; changed to
            those of this strip. Without it, ``rows`` overlap as much as they need.
        number : int, optional
            Of the strip, to keep its maxima by.
        """
        layers = list(rows)
        wanted_before = False
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            here, maxima = rows[layer], None
            carries = above is not None and following is not None and following.kind == "conv"
            carried = above.get(layer) if above is not None and carries else None
            carry = 0 if following is None else self._carry(following)
            extended: torch.Tensor | None = None
            if layer.kind == "conv":
                rectified = layer not in self.layers
                y = y[:, :, here.before(layer, there.height).within(there)]
                y = self._forward[layer](y, here.first, here.last, rectified)
            elif layer.kind == "relu":
                out = y
                if whole and layer in whole:
                    out, extended = here.of(whole[layer]), here.of(whole[layer], carry)
                elif carried is not None:
                    extended = self._moment(y, y.shape[2] + carry)
                    extended[:, :, :carry] = carried
                    out = extended[:, :, carry:]
                elif wanted_before:  # features that are wanted as they are before it stay so
                    out = torch.empty_like(y) if above is None else self._moment(y, y.shape[2])
                if wanted_before:
                    rectify.relu(y, out)
                elif out is not y:
                    out.copy_(y)
                y = out
            elif self._pooling == "max":
                make = functools.partial(rectify.empty_maxima, y)
                room = make() if number is None else self._room((layer, number), make)
                maxima = rectify.compare(y, room)
                y = rectify.pooled(maxima, y.dtype)
            else:
                y = F.avg_pool2d(y, 2)
            yield layer, y, maxima
            if above is not None and carries:
                if extended is None and carried is not None:
                    extended = self._moment(y, y.shape[2] + carry)
                    extended[:, :, :carry] = carried
                    extended[:, :, carry:] = y
                y = y if extended is None else extended
                above[layer] = y[:, :, -carry:].clone()
            there = Rows(here.stop - y.shape[2], here.stop, here.height)
            wanted_before = layer in self.layers

    def _carry(self, layer: Layer) -> int:
        """Rows at the edge of two strips that both need, of what a convolution is made of."""
        return lift(layer, self._plan.tile) + 1

    def _moment(self, like: torch.Tensor, height: int) -> torch.Tensor:
        """Memory for a moment, of some height and otherwise like a tensor."""
        _, channels, _, width = like.shape
        room = self._moments.get((channels, width))
        if room is None or room.shape[2] < height:
            room = _empty(like, (channels, height, width), self.dtype)
            self._moments[channels, width] = room
        return room[:, :, :height]

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

    def _compute_again(
        self,
        layers: tuple[Layer, ...],
        x: torch.Tensor,
        strip: Strip,
        activations: Activations,
        prepare: Prepare,
    ) -> None:
        """Compute again what was not kept of a segment's first layers."""
        computed = {}
        needed = strip.rows[layers[-1]]
        for layer, before in zip(layers[::-1], [*layers[-2::-1], None], strict=True):
            needed = needed.whole_tiles(lift(layer, self._plan.tile)).and_those(strip.rows[layer])
            computed[layer] = needed
            height = x.shape[2] if before is None else strip.rows[before].height
            needed = needed.before(layer, height)
        part = self._part(x, needed, prepare)
        rows = {layer: computed[layer] for layer in layers}
        for layer, y, maxima in self._run(rows, part, needed):
            inner = strip.rows[layer].within(computed[layer])
            if maxima is not None:
                maxima = maxima.rows(inner)
            self._keep(activations, layer, y[:, :, inner], maxima)

    def _run_back(
        self,
        strip: Strip,
        columns: int,
        activations: Activations,
        outer: torch.Tensor | None,
        below: dict[Layer, torch.Tensor],
        add_gradient: AddGradient,
    ) -> torch.Tensor:
        """Gradient with respect to a strip of a segment's input.

        Parameters
        ----------
        strip : Strip
            The lowest whose gradient is not known yet.
        columns : int
            Of the segment's input.
        activations : Activations
            Of the strip.
        outer : torch.Tensor or None
            Gradient with respect to the segment's output; changed.
        below : dict
            Of each convolution, the first rows of the gradient with respect to the strip
            below; changed to those of this strip.
        add_gradient : callable
            As of :meth:`backward`.
        """
        layers = list(strip.rows)
        stride = layers[0].stride
        gradient = None if outer is None else strip.rows[layers[-1]].of(outer)
        extended: torch.Tensor | None = None  # what the gradient is the upper part of
        for layer, before in zip(layers[::-1], [*layers[-2::-1], None], strict=True):
            here, carry = strip.rows[layer], self._carry(layer)
            if layer in self.layers:
                features = activations.features[layer]
                if gradient is None:
                    gradient = torch.zeros_like(features)
                add_gradient(layer, features, _region(here, features), gradient)
            if gradient is None:
                continue  # nothing behind it is wanted
            if layer.kind == "conv":
                if extended is None:
                    extended = torch.cat([gradient, *([] if here.last else [below[layer]])], 2)
                elif not here.last:
                    extended[:, :, -carry:] = below[layer]
                if not here.first:
                    below[layer] = extended[:, :, :carry].clone()
                    extended = extended[:, :, carry - 2 :]
                gradient = self._backward[layer](extended, here.first, here.last)
                extended = None
            elif layer.kind == "relu":
                if not self._pool_masks(layer):
                    height = gradient.shape[2]
                    extended = gradient if here.last else self._moment(gradient, height + carry)
                    out = extended[:, :, :height]
                    rectify.relu_backward(gradient, activations.positive(layer), out)
                    gradient = out
            else:
                assert before is not None
                rows = strip.rows[before]
                height, width = rows.stop - rows.start, columns // (layer.stride // 2 // stride)
                unpooled = _empty(gradient, (layer.channels, height, width), self.dtype)
                if layer in activations.maxima:
                    extended = unpooled if rows.last else self._moment(unpooled, height + carry)
                    out = extended[:, :, :height]
                    rectify.max_pool_backward(gradient, activations.maxima[layer], out)
                    gradient = out
                else:
                    gradient = torch.ops.aten.avg_pool2d_backward(
                        gradient, unpooled, [2, 2], [2, 2], [0, 0], False, True, None
                    ).contiguous(memory_format=torch.channels_last)
        assert gradient is not None
        return gradient


def _region(rows: Rows, x: torch.Tensor) -> Region:
    return slice(rows.start, rows.stop), slice(0, x.shape[3])


def _empty(like: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Memory of channels, rows and columns beside a tensor."""
    channels, height, width = shape
    x = torch.empty((1, height, width, channels), dtype=dtype, device=like.device)
    return x.permute(0, 3, 1, 2)
