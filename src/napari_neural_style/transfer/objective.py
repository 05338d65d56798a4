"""The objective of one scale: its targets, and loss and gradient of an image."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import torch

from napari_neural_style.layers import Layer
from napari_neural_style.settings import Method, Settings, layer_weights
from napari_neural_style.transfer.encoder import Encoder, Region, Trace
from napari_neural_style.transfer.guides import Guides
from napari_neural_style.transfer.losses import (
    add_gram_sum_gradient,
    add_total_variation,
    gram_sum,
)
from napari_neural_style.transfer.spaces import ImageSpace
from napari_neural_style.transfer.weighing import weigh

# Features that are squared at once, so that they stay in the cache.
_SQUARED: Final = 1 << 20
# Targets in float32 of more bytes are kept in half of them, as bfloat16 runs have them.
_LARGE: Final = 320 << 20

Check = Callable[[], None]
Features = dict[Layer, torch.Tensor]
Grams = dict[Layer, torch.Tensor]
Sums = dict[tuple[Layer, int], torch.Tensor]
K = TypeVar("K")


class StyleTargets(NamedTuple):
    """What the objective needs to know of a style image, or of a region of it."""

    grams: Grams
    """(C, C) Gram matrix of each style layer, as the method normalises them."""
    energies: dict[Layer, torch.Tensor]
    """Squared length of a position's features, on average, of each content layer."""


class StyledRegion(NamedTuple):
    """A region of the content, and what it is painted with."""

    styles: Sequence[StyleTargets | None]
    """Targets from each style image; None for one that has no part in it."""
    guides: Guides | None = None
    """Where it is; None for everywhere."""
    share: float = 1.0
    """Of the image that it covers."""


class Evaluation(NamedTuple):
    """Loss and gradient at an image."""

    losses: torch.Tensor
    """(4,): content, style, total variation, total; weighted, in the unit of
    :func:`~.weighing.weigh`; on the device. The total is not finite if the image or the
    gradient is not."""
    gradient: torch.Tensor
    """(1, 3, H, W), of the total with respect to the optimised variable."""


class _Pass(NamedTuple):
    """The way forward of an evaluation: what the losses weigh is of no matter to it."""

    of: torch.Tensor
    """The variable, …"""
    version: int
    """… and how often it had been changed."""
    image: torch.Tensor
    """That is judged."""
    trace: Trace
    steps: Iterator[None]
    """What is left of the way."""
    sums: Sums
    """F Fᵀ of each style layer and region, so far."""


def layers_of(settings: Settings) -> set[Layer]:
    """Every layer that a run needs."""
    return {*layer_weights(settings.content_layers), *layer_weights(settings.style_layers)}


def least_side(settings: Settings) -> int:
    """Least side of an image that shows in every layer, in pixels."""
    return max(layer.stride for layer in layers_of(settings))


def style_targets(
    encoder: Encoder,
    space: ImageSpace,
    settings: Settings,
    style: torch.Tensor,
    guides: Guides | None = None,
) -> StyleTargets:
    """Compute the targets of a style image, or of a region of it.

    Parameters
    ----------
    encoder, space, settings
        Of the run.
    style : torch.Tensor
        (1, 3, H, W), the optimised variable's kind.
    guides : Guides, optional
        The region; without, the whole image. In layers that are too coarse for it there
        is no target.
    """
    grams: Grams = {}
    squares: dict[Layer, torch.Tensor] = {}
    style_layers = layer_weights(settings.style_layers)
    content_layers = layer_weights(settings.content_layers)

    def look(layer: Layer, features: torch.Tensor, part: Region) -> None:
        for guided in _guided(layer, features, part, guides):
            if layer in style_layers:
                _add(grams, layer, gram_sum(guided))
            if layer in content_layers:
                _add(squares, layer, _square(guided))

    encoder.forward(style, look, keep=False, prepare=space.encoder_input)
    height, width = style.shape[2:]
    positions = {layer: _positions(layer, height, width) for layer in encoder.layers}
    return StyleTargets(
        {
            layer: gram.to(style.dtype)
            / _gram_divisor(settings.method, layer, positions[layer], guides)
            for layer, gram in grams.items()
        },
        {
            layer: square / (positions[layer] * _fill(layer, positions[layer], guides))
            for layer, square in squares.items()
        },
    )


def content_targets(
    encoder: Encoder, space: ImageSpace, settings: Settings, content: torch.Tensor
) -> Features:
    """Compute the features of a content in its layers.

    Parameters
    ----------
    encoder, space, settings
        Of the run.
    content : torch.Tensor
        (1, 3, H, W), the optimised variable's kind.
    """
    layers = layer_weights(settings.content_layers)
    targets: Features = {}

    def look(layer: Layer, features: torch.Tensor, region: Region) -> None:
        if layer in layers:
            if layer not in targets:
                height, width = (n // layer.stride for n in content.shape[2:])
                shape = 1, height, width, layer.channels
                dtype = kept_dtype(features.dtype, math.prod(shape))
                targets[layer] = features.new_empty(shape, dtype=dtype).permute(0, 3, 1, 2)
            targets[layer][(..., *region)] = features

    deepest = max(layers, key=lambda layer: layer.index)
    encoder.forward(content, look, keep=False, prepare=space.encoder_input, deepest=deepest)
    return targets


def kept_dtype(dtype: torch.dtype, numbers: int) -> torch.dtype:
    """Precision that so many features of a content, computed in another, are kept in."""
    large = dtype == torch.float32 and numbers * dtype.itemsize > _LARGE
    return torch.bfloat16 if large else dtype


def _guided(
    layer: Layer, features: torch.Tensor, part: Region, guides: Guides | None
) -> Iterator[torch.Tensor]:
    """Features of a part of a layer times the weights of a region, if it is there."""
    if guides is None:
        yield features
    elif layer in guides and (cut := guides[layer].cut(part)):
        inner, weights = cut
        yield features[(..., *inner)] * weights


def _add(sums: dict[K, torch.Tensor], key: K, part: torch.Tensor) -> None:
    sums[key] = sums[key] + part if key in sums else part


def _positions(layer: Layer, height: int, width: int) -> int:
    return (height // layer.stride) * (width // layer.stride)


def _gram_divisor(method: Method, layer: Layer, positions: int, guides: Guides | None) -> float:
    divisor = {"chw": layer.channels * positions, "hw": positions, "one": 1}[method.gram_divisor]
    return divisor * _fill(layer, positions, guides)


def _fill(layer: Layer, positions: int, guides: Guides | None) -> float:
    """Share of a layer's positions that are a region's."""
    return 1.0 if guides is None else guides[layer].size / positions


class Objective:
    """Content loss, style loss and total variation of an image at one scale.

    With a mask, the image that is judged is the content with the variable laid over it,
    and the style loss is the sum of those of the regions, by their share of the image:
    what a pixel is asked for does not depend on how much is painted.

    Parameters
    ----------
    encoder : Encoder
        With every layer of the settings.
    space : ImageSpace
        Where the optimised variable lives.
    settings : Settings
        Layers, weights and method.
    content : torch.Tensor
        (1, 3, H, W), the content as an optimised variable.
    regions : sequence of StyledRegion
        What is painted with what; of a run without a mask, a single one.
    alpha : torch.Tensor, optional
        (1, 1, H, W) in [0, 1]: how much of the variable is laid over the content.
    targets : mapping, optional
        The :func:`content_targets`, if they are known.

    References
    ----------
    Gatys, Ecker & Bethge, "Image style transfer using convolutional neural
    networks", CVPR 2016, equations 1 to 7; guided Gram matrices: Gatys et al.,
    "Controlling perceptual factors in neural style transfer", CVPR 2017, section 4.
    """

    def __init__(
        self,
        encoder: Encoder,
        space: ImageSpace,
        settings: Settings,
        content: torch.Tensor,
        regions: Sequence[StyledRegion],
        alpha: torch.Tensor | None = None,
        targets: Features | None = None,
    ) -> None:
        self._encoder = encoder
        self._space = space
        self._regions = regions
        self._laid_over = None if alpha is None else (content, alpha)
        height, width = content.shape[2:]
        self._positions = {layer: _positions(layer, height, width) for layer in encoder.layers}
        # Half the range of float16 lies below 1; gradients there are a share of 1 / positions.
        self._gradient_scale = float(height * width) if encoder.dtype == torch.float16 else 1.0
        self._targets = targets or content_targets(encoder, space, settings, content)
        self._energies = {
            layer: _square(target) / self._positions[layer]
            for layer, target in self._targets.items()
        }
        self._given_up: _Pass | None = None
        self.settings = settings  # also weighs the layers and mixes the styles

    @property
    def settings(self) -> Settings:
        """The settings whose weights are in force; the layers may not change."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        self._weights = weigh(settings)
        shares = settings.style_weights or (1.0,) * len(self._regions[0].styles)
        grams = {
            (layer, index): _mixed([t and t.grams.get(layer) for t in region.styles], shares)
            for index, region in enumerate(self._regions)
            for layer in self._weights.style
            if region.guides is None or layer in region.guides
        }
        self._grams = {key: gram for key, gram in grams.items() if gram is not None}
        self._content_factors = {
            layer: self._content_factor(layer, self._style_energy(layer, shares))
            for layer in self._weights.content
        }

    def __call__(self, variable: torch.Tensor, check: Check = lambda: None) -> Evaluation:
        """Evaluate loss and gradient.

        Parameters
        ----------
        variable : torch.Tensor
            (1, 3, H, W), in the objective's space.
        check : callable
            Called many times meanwhile; it may raise an exception to end it. If the variable
            is the same at the next evaluation, that goes on with what is done by then, also
            with other weights.
        """
        way, self._given_up = self._begun(variable), None

        def checked() -> None:
            try:
                check()
            except Exception:  # of nothing else it is known where it came to an end
                self._given_up = way
                raise

        for _ in way.steps:
            checked()
        style, gram_gradients = self._style({k: s.to(variable.dtype) for k, s in way.sums.items()})
        content: list[torch.Tensor] = []

        def add_gradient(
            layer: Layer, features: torch.Tensor, part: Region, gradient: torch.Tensor
        ) -> None:
            checked()
            for index, region in enumerate(self._regions):
                if (layer, index) in gram_gradients:
                    _add_style_gradient(
                        layer, features, part, gradient, region, gram_gradients[layer, index]
                    )
            if layer in self._targets:
                difference = features - self._targets[layer][(..., *part)]
                factor = self._content_factors[layer]
                content.append(factor * _square(difference))
                step = (2 * self._gradient_scale * factor).to(features.dtype)
                gradient.addcmul_(difference, step)

        gradient = self._encoder.backward(way.trace, add_gradient)
        gradient = gradient.to(variable.dtype, memory_format=torch.contiguous_format)
        gradient.mul_(self._space.input_scale / self._gradient_scale)
        tv_weight = self._weights.tv
        tv = (
            add_total_variation(gradient, way.image, tv_weight)
            if tv_weight
            else variable.new_zeros(())
        )
        if self._laid_over is not None:
            gradient.mul_(self._laid_over[1])
        if self.settings.color == "luminance":  # what is gray stays so
            gradient = self._space.along_gray(gradient)
        content_loss = torch.stack(content).sum()
        # An image that is not finite has no finite loss, whatever became of it in the encoder;
        # nor has one with a gradient that is not.
        total = content_loss + style + tv + 0 * variable.sum() + 0 * gradient.sum()
        losses = torch.stack([content_loss, style, tv, total])
        return Evaluation(losses, gradient)

    def _begun(self, variable: torch.Tensor) -> "_Pass":
        """The way forward through the network, from where it was given up, if it was."""
        way, version = self._given_up, variable._version
        if way and way.of is variable and way.version == version and self._encoder.holds(way.trace):
            return way
        image = variable
        if self._laid_over is not None:
            below, alpha = self._laid_over
            image = torch.lerp(below, variable, alpha)
        sums: Sums = {}
        layers, regions = self._weights.style.keys(), self._regions

        def look(layer: Layer, features: torch.Tensor, part: Region) -> None:
            if layer not in layers:
                return
            for index, region in enumerate(regions):
                for guided in _guided(layer, features, part, region.guides):
                    _add(sums, (layer, index), gram_sum(guided))

        trace = self._encoder.trace(image, self._space.encoder_input)
        return _Pass(variable, version, image, trace, self._encoder.walk(trace, look), sums)

    def _style(
        self, sums: Mapping[tuple[Layer, int], torch.Tensor]
    ) -> tuple[torch.Tensor, dict[tuple[Layer, int], torch.Tensor]]:
        """Style loss, and its gradient with respect to each sum F Fᵀ."""
        method = self.settings.method
        losses, gradients = [], {}
        for (layer, index), target in self._grams.items():
            region, weight = self._regions[index], self._weights.style[layer]
            positions = self._positions[layer]
            divisor = _gram_divisor(method, layer, positions, region.guides)
            difference = sums[layer, index] / divisor - target
            weight *= region.share
            if method.style_loss == "relative":
                factor = weight / _square(target).clamp_min(1e-12)
            else:
                factor = difference.new_tensor(weight / layer.channels**2)
                if method.style_loss == "size":
                    factor = factor / (layer.channels**2 * positions)
            losses.append(factor * _square(difference))
            gradients[layer, index] = difference * (2 * self._gradient_scale * factor / divisor)
        if not losses:  # no region shows in any of the layers
            return next(iter(self._energies.values())).new_zeros(()), {}
        return torch.stack(losses).sum(), gradients

    def _style_energy(self, layer: Layer, shares: Sequence[float]) -> torch.Tensor:
        """Squared length of a style's features, on average over the regions."""
        energies = [
            _mixed([t and t.energies.get(layer) for t in region.styles], shares)
            for region in self._regions
        ]
        mixed = _mixed(energies, [region.share for region in self._regions])
        return self._energies[layer] if mixed is None else mixed

    def _content_factor(self, layer: Layer, style_energy: torch.Tensor) -> torch.Tensor:
        """Weight of a squared difference between a feature and its target."""
        weight, positions = self._weights.content[layer], self._positions[layer]
        if self.settings.method.content_loss == "relative":
            # Relative to content and style: a flat content painted in a rich style must
            # change by more than its own size.
            energy = (self._energies[layer] + style_energy) / 2
            return weight / (positions * energy).clamp_min(1e-12)
        half = 0.5 if self.settings.method.content_loss == "half-mean" else 1.0
        return style_energy.new_tensor(half * weight / (layer.channels * positions))


def _add_style_gradient(
    layer: Layer,
    features: torch.Tensor,
    part: Region,
    gradient: torch.Tensor,
    region: StyledRegion,
    gram_gradient: torch.Tensor,
) -> None:
    """Add the gradient of a region's style loss, with respect to a part of a layer."""
    if region.guides is None:
        add_gram_sum_gradient(gradient, features, gram_gradient)
    elif cut := region.guides[layer].cut(part):
        inner, weights = cut
        guided = features[(..., *inner)] * weights
        own = torch.zeros_like(guided)
        add_gram_sum_gradient(own, guided, gram_gradient)
        gradient[(..., *inner)].addcmul_(own, weights)


def _mixed(tensors: Sequence[torch.Tensor | None], shares: Sequence[float]) -> torch.Tensor | None:
    """Weighted mean of those that are there."""
    there = [(t, share) for t, share in zip(tensors, shares, strict=True) if t is not None]
    whole = sum(share for _, share in there)
    return torch.stack([t * (share / whole) for t, share in there]).sum(0) if whole else None


def _square(tensor: torch.Tensor) -> torch.Tensor:
    """Sum of the squares, in float32 at least."""
    # By rows that stay in the cache, and not by vector_norm: it sums without pairing, which
    # costs a digit in float32.
    wide = torch.promote_types(tensor.dtype, torch.float32)
    rows = tensor.permute(0, 2, 3, 1).flatten(0, 1) if tensor.dim() == 4 else tensor
    parts = torch.split(rows, max(1, _SQUARED // max(1, rows[0].numel())))
    return torch.stack([part.to(wide).square().sum() for part in parts]).sum()
