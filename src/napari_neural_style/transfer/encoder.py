"""The encoder: VGG19 up to the deepest layer in use, forward and back, in strips.

The network is cut behind each pooling into *segments*, and a segment's rows into
*strips*. A strip is computed with a halo of one row for each of its convolutions
(two or four), so what its core holds is exact, and so is the gradient. Two things follow:

- memory: of a large image only the segments' inputs are kept; what lies between them
  is computed again, strip by strip, on the way back;
- speed: a strip stays in the processor's cache, where a whole layer would go through
  memory for every one of some thirty passes.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn import functional as F

from napari_neural_style.layers import LAYERS, Layer

Look = Callable[[Layer, torch.Tensor, slice], None]
AddGradient = Callable[[Layer, torch.Tensor, slice, torch.Tensor], None]


@dataclass(frozen=True)
class Strip:
    """Rows of a segment's input: the core, and the core with its halo."""

    core: slice
    padded: slice

    @property
    def inner(self) -> slice:
        """The core's rows within the padded strip."""
        start = self.core.start - self.padded.start
        return slice(start, start + self.core.stop - self.core.start)

    @property
    def pooled(self) -> slice:
        """The core's rows behind the pooling, which drops an odd last row."""
        return slice(self.core.start // 2, self.core.stop // 2)


@dataclass(frozen=True)
class Segment:
    """The layers from one pooling to the next."""

    layers: tuple[Layer, ...]

    @property
    def stride(self) -> int:
        """Pixels of the image to one row of the segment's convolutions."""
        return self.layers[0].stride

    @property
    def channels(self) -> int:
        """Feature maps of its widest layer."""
        return self.layers[-1].channels

    def numbers(self, height: int, width: int) -> int:
        """Activations of the segment for an input of so many rows and columns."""
        convolutions = sum(layer.kind == "conv" for layer in self.layers)
        return convolutions * self.channels * height * width

    def strips(self, height: int, rows: int | None) -> list[Strip]:
        """Cut so many rows of the segment's input into strips of about ``rows``."""
        if rows is None or rows >= height:
            return [Strip(slice(0, height), slice(0, height))]
        halo = sum(layer.kind == "conv" for layer in self.layers)
        halo += halo % 2  # poolings start at even rows
        count = max(1, round(height / rows))
        edges = [2 * (height * i // count // 2) for i in range(count)] + [height]
        return [
            Strip(slice(a, b), slice(max(0, a - halo), min(height, b + halo)))
            for a, b in pairwise(edges)
            if a < b
        ]


@dataclass(frozen=True)
class StripPlan:
    """How segments are cut into strips."""

    rows: Callable[[Segment, int], int | None] = lambda segment, width: None
    """Rows of a strip, for a segment and the width of its input; None for one piece."""
    kept_bytes: float = math.inf
    """Activations of a segment up to so many bytes are kept, not computed again."""


class Activations(dict[Layer, torch.Tensor]):
    """Activations of a strip, layer by layer."""

    places: torch.Tensor | None = None
    """Where the maxima of the pooling were."""


@dataclass
class Trace:
    """What a forward pass keeps for the way back."""

    inputs: list[torch.Tensor]
    kept: list[list[Activations]]


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
    plan : StripPlan, optional
        How to cut the segments into strips; the default is one piece, kept.

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
        plan: StripPlan | None = None,
    ) -> None:
        self.layers = frozenset(layers)
        self.dtype = dtype
        self.segments = segments_of(self.layers)
        self._pooling = pooling
        self._plan = plan or StripPlan()
        self._weights: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        for segment in self.segments:
            for layer in segment.layers:
                if layer.kind == "conv":
                    key = f"features.{layer.index}"
                    weight = weights[f"{key}.weight"].to(device, dtype)
                    self._weights[layer.index] = (
                        _channels_last(weight),
                        weights[f"{key}.bias"].to(device, dtype),
                        # The gradient of a convolution is one with the weight turned round.
                        _channels_last(weight.flip(2, 3).transpose(0, 1)),
                    )

    @property
    def stride(self) -> int:
        """Pixels to one position of the deepest layer: the least side of an image."""
        return max(layer.stride for layer in self.layers)

    @torch.no_grad()
    def forward(self, image: torch.Tensor, look: Look, keep: bool = True) -> Trace:
        """Compute the features of an image and show those wanted, strip by strip.

        Parameters
        ----------
        image : torch.Tensor
            (1, 3, H, W), normalised RGB.
        look : callable
            Called with each wanted layer, its features (1, C, rows, W / stride) and
            the rows of the layer that these are.
        keep : bool
            Keep what :meth:`backward` needs.

        Returns
        -------
        Trace
            For :meth:`backward`.
        """
        x = _channels_last(image.to(self.dtype))
        trace = Trace([], [])
        for segment in self.segments:
            strips = self._strips(segment, x)
            trace.inputs.append(x if keep else x.new_empty(0))
            kept: list[Activations] = []
            outputs = []
            for strip in strips:
                activations = self._run(segment, x, strip)
                if keep and segment.numbers(*x.shape[2:]) * x.itemsize <= self._plan.kept_bytes:
                    kept.append(activations)
                for layer in segment.layers:
                    if layer in self.layers:
                        look(layer, *_core(layer, activations[layer], strip))
                outputs.append(activations[segment.layers[-1]])
            trace.kept.append(kept)
            x = outputs[0] if len(outputs) == 1 else _channels_last(torch.cat(outputs, 2))
        return trace

    @torch.no_grad()
    def backward(self, trace: Trace, add_gradient: AddGradient) -> torch.Tensor:
        """Gradient with respect to the image, from gradients with respect to features.

        Parameters
        ----------
        trace : Trace
            Of :meth:`forward`; used up.
        add_gradient : callable
            Called with each wanted layer, its features, their rows and the gradient
            with respect to them so far, (1, C, rows, W / stride) both; adds its own
            to the gradient, in place.

        Returns
        -------
        torch.Tensor
            (1, 3, H, W), in the encoder's precision.
        """
        outer: torch.Tensor | None = None
        for segment in reversed(self.segments):
            x, kept = trace.inputs.pop(), trace.kept.pop()
            strips = self._strips(segment, x)
            inner = torch.zeros_like(x) if len(strips) > 1 else x.new_empty(0)
            for strip in strips:
                activations = kept.pop(0) if kept else self._run(segment, x, strip)
                gradient = self._run_back(segment, activations, strip, outer, add_gradient)
                if len(strips) > 1:
                    inner[:, :, strip.padded].add_(gradient)
                else:
                    inner = gradient
            outer = inner
        assert outer is not None
        return outer

    def _strips(self, segment: Segment, x: torch.Tensor) -> list[Strip]:
        return segment.strips(x.shape[2], self._plan.rows(segment, x.shape[3]))

    def _run(self, segment: Segment, x: torch.Tensor, strip: Strip) -> Activations:
        """Activations over a padded strip; of a pooling, over the core."""
        activations = Activations()
        x = x[:, :, strip.padded]
        for layer in segment.layers:
            if layer.kind == "conv":
                weight, bias, _ = self._weights[layer.index]
                x = _channels_last(F.conv2d(x, weight, bias, padding=1))
            elif layer.kind == "pool":
                before = x[:, :, strip.inner]
                if self._pooling == "max":
                    x, activations.places = F.max_pool2d(before, 2, return_indices=True)
                else:
                    x = F.avg_pool2d(before, 2)
            elif LAYERS[layer.index - 1] in self.layers:
                x = x.relu()  # the features before it are wanted as they are
            else:
                x = x.relu_()
            activations[layer] = x
        return activations

    def _run_back(
        self,
        segment: Segment,
        activations: Activations,
        strip: Strip,
        outer: torch.Tensor | None,
        add_gradient: AddGradient,
    ) -> torch.Tensor:
        """Gradient with respect to a strip of the segment's input."""
        gradient: torch.Tensor | None = None
        for layer in reversed(segment.layers):
            x = activations[layer]
            if layer.kind == "pool" and outer is not None:
                gradient = outer[:, :, strip.pooled]
            elif gradient is None:
                gradient = torch.zeros_like(x)
            if layer in self.layers:
                core, rows = _core(layer, x, strip)
                mine = gradient if layer.kind == "pool" else gradient[:, :, strip.inner]
                add_gradient(layer, core, rows, mine)
            if layer.kind == "pool":
                gradient = self._pool_back(gradient, layer, activations, strip)
            elif layer.kind == "relu":
                torch.ops.aten.threshold_backward.grad_input(gradient, x, 0, grad_input=gradient)
            else:
                weight = self._weights[layer.index][2]
                gradient = _channels_last(F.conv2d(gradient, weight, padding=1))
        assert gradient is not None
        return gradient

    def _pool_back(
        self, gradient: torch.Tensor, pool: Layer, activations: Activations, strip: Strip
    ) -> torch.Tensor:
        before = activations[LAYERS[pool.index - 1]]
        core = before[:, :, strip.inner]
        size, none = [2, 2], [0, 0]
        aten = torch.ops.aten
        if activations.places is not None:
            inner = aten.max_pool2d_with_indices_backward(
                gradient, core, size, size, none, [1, 1], False, activations.places
            )
        else:
            inner = aten.avg_pool2d_backward(gradient, core, size, size, none, False, True, None)
        if core.shape == before.shape:
            return _channels_last(inner)
        whole = torch.zeros_like(before)
        whole[:, :, strip.inner] = inner
        return whole


def segments_of(layers: Iterable[Layer]) -> tuple[Segment, ...]:
    """Cut the network up to the deepest of some layers behind each pooling."""
    segments: list[list[Layer]] = [[]]
    for layer in LAYERS[: max(layer.index for layer in layers) + 1]:
        if segments[-1] and segments[-1][-1].kind == "pool":
            segments.append([])
        segments[-1].append(layer)
    return tuple(Segment(tuple(segment)) for segment in segments)


def _core(layer: Layer, x: torch.Tensor, strip: Strip) -> tuple[torch.Tensor, slice]:
    """Features on a strip's core, and which rows of the layer they are."""
    if layer.kind == "pool":
        return x, strip.pooled
    return x[:, :, strip.inner], strip.core


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)
