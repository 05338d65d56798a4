"""The objective of one scale: its targets, and loss and gradient of an image."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from napari_neural_style.layers import Layer, find_layer
from napari_neural_style.settings import LayerWeights, Method, Settings
from napari_neural_style.transfer.encoder import Encoder, Region
from napari_neural_style.transfer.losses import (
    add_gram_sum_gradient,
    add_total_variation,
    gram_sum,
)
from napari_neural_style.transfer.spaces import ImageSpace

Grams = dict[Layer, torch.Tensor]


class StyleTargets(NamedTuple):
    """What the objective needs to know of a style image."""

    grams: Grams
    """(C, C) Gram matrix of each style layer, as the method normalises them."""
    energies: dict[Layer, torch.Tensor]
    """Squared length of a position's features, on average, of each content layer."""


class Evaluation(NamedTuple):
    """Loss and gradient at an image."""

    losses: torch.Tensor
    """(4,): content, style, total variation, total; weighted; on the device."""
    gradient: torch.Tensor
    """(1, 3, H, W), of the total with respect to the optimised variable."""


def layer_weights(layers: LayerWeights) -> dict[Layer, float]:
    """Layers and their weights, by the layers themselves."""
    named = layers if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0)
    return {find_layer(name): weight for name, weight in named.items()}


def layers_of(settings: Settings) -> set[Layer]:
    """Every layer that a run needs."""
    return {*layer_weights(settings.content_layers), *layer_weights(settings.style_layers)}


def style_targets(
    encoder: Encoder, space: ImageSpace, settings: Settings, style: torch.Tensor
) -> StyleTargets:
    """Compute the targets of a style image.

    Parameters
    ----------
    encoder, space, settings
        Of the run.
    style : torch.Tensor
        (1, 3, H, W), the optimised variable's kind.
    """
    grams: Grams = {}
    squares: dict[Layer, torch.Tensor] = {}
    style_layers = layer_weights(settings.style_layers)
    content_layers = layer_weights(settings.content_layers)

    def look(layer: Layer, features: torch.Tensor, _: Region) -> None:
        if layer in style_layers:
            _add(grams, layer, gram_sum(features))
        if layer in content_layers:
            _add(squares, layer, _square(features))

    encoder.forward(style, look, keep=False, prepare=space.encoder_input)
    height, width = style.shape[2:]
    return StyleTargets(
        {
            layer: gram / _gram_divisor(settings.method, layer, _positions(layer, height, width))
            for layer, gram in grams.items()
        },
        {layer: sum_ / _positions(layer, height, width) for layer, sum_ in squares.items()},
    )


def _add(sums: dict[Layer, torch.Tensor], layer: Layer, part: torch.Tensor) -> None:
    sums[layer] = sums[layer] + part if layer in sums else part


def _positions(layer: Layer, height: int, width: int) -> int:
    return (height // layer.stride) * (width // layer.stride)


def _gram_divisor(method: Method, layer: Layer, positions: int) -> float:
    return {"chw": layer.channels * positions, "hw": positions, "one": 1}[method.gram_divisor]


class Objective:
    """Content loss, style loss and total variation of an image at one scale.

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
    styles : sequence of StyleTargets
        :func:`style_targets` of each style image.

    References
    ----------
    Gatys, Ecker & Bethge, "Image style transfer using convolutional neural
    networks", CVPR 2016, equations 1 to 7.
    """

    def __init__(
        self,
        encoder: Encoder,
        space: ImageSpace,
        settings: Settings,
        content: torch.Tensor,
        styles: Sequence[StyleTargets],
    ) -> None:
        self._encoder = encoder
        self._space = space
        self._styles = styles
        height, width = content.shape[2:]
        self._positions = {layer: _positions(layer, height, width) for layer in encoder.layers}
        # Half the range of float16 lies below 1; gradients there are a share of 1 / positions.
        self._gradient_scale = float(height * width) if encoder.dtype == torch.float16 else 1.0
        self._targets = self._content_targets(content, set(layer_weights(settings.content_layers)))
        self._energies = {
            layer: _square(target) / self._positions[layer]
            for layer, target in self._targets.items()
        }
        self.settings = settings  # also weighs the layers and mixes the styles

    @property
    def settings(self) -> Settings:
        """The settings whose weights are in force; the layers may not change."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        power = 2 if settings.method.squared_weights else 1
        content, style = (
            layer_weights(layers) for layers in (settings.content_layers, settings.style_layers)
        )
        self._content_weights = {
            layer: (settings.content_weight * w) ** power for layer, w in content.items()
        }
        share = sum(style.values()) if settings.method.style_loss == "relative" else 1.0
        self._style_weights = {
            layer: (settings.style_weight * w) ** power / (share or 1.0)
            for layer, w in style.items()
        }
        shares = settings.style_weights or (1.0,) * len(self._styles)
        mix = [share / sum(shares) for share in shares]
        self._grams = {
            layer: _mixed([targets.grams[layer] for targets in self._styles], mix)
            for layer in style
        }
        self._content_factors = {
            layer: self._content_factor(
                layer, _mixed([targets.energies[layer] for targets in self._styles], mix)
            )
            for layer in content
        }

    def __call__(self, variable: torch.Tensor) -> Evaluation:
        """Evaluate loss and gradient.

        Parameters
        ----------
        variable : torch.Tensor
            (1, 3, H, W), in the objective's space.
        """
        sums: Grams = {}

        def look(layer: Layer, features: torch.Tensor, _: Region) -> None:
            if layer in self._style_weights:
                _add(sums, layer, gram_sum(features))

        trace = self._encoder.forward(variable, look, prepare=self._space.encoder_input)
        style, gram_gradients = self._style(sums)
        content: list[torch.Tensor] = []

        def add_gradient(
            layer: Layer, features: torch.Tensor, region: Region, gradient: torch.Tensor
        ) -> None:
            if layer in gram_gradients:
                add_gram_sum_gradient(gradient, features, gram_gradients[layer])
            if layer in self._targets:
                difference = features - self._targets[layer][(..., *region)]
                factor = self._content_factors[layer]
                content.append(factor * _square(difference))
                step = (2 * self._gradient_scale * factor).to(features.dtype)
                gradient.addcmul_(difference, step)

        gradient = self._encoder.backward(trace, add_gradient)
        gradient = gradient.to(variable.dtype, memory_format=torch.contiguous_format)
        gradient.mul_(self._space.input_scale / self._gradient_scale)
        tv_weight = self.settings.tv_weight
        tv = (
            add_total_variation(gradient, variable, tv_weight)
            if tv_weight
            else variable.new_zeros(())
        )
        content_loss = torch.stack(content).sum()
        # An image that is not finite has no finite loss, whatever became of it in the encoder.
        total = content_loss + style + tv + 0 * variable.sum()
        losses = torch.stack([content_loss, style, tv, total])
        return Evaluation(losses, gradient)

    def _content_targets(self, content: torch.Tensor, layers: set[Layer]) -> Grams:
        targets: Grams = {}

        def look(layer: Layer, features: torch.Tensor, region: Region) -> None:
            if layer in layers:
                if layer not in targets:
                    height, width = (n // layer.stride for n in content.shape[2:])
                    shape = 1, height, width, layer.channels
                    targets[layer] = features.new_empty(shape).permute(0, 3, 1, 2)
                targets[layer][(..., *region)] = features

        self._encoder.forward(content, look, keep=False, prepare=self._space.encoder_input)
        return targets

    def _style(self, sums: Grams) -> tuple[torch.Tensor, Grams]:
        """Style loss, and its gradient with respect to each sum F Fᵀ."""
        method = self.settings.method
        losses, gradients = [], {}
        for layer, weight in self._style_weights.items():
            positions = self._positions[layer]
            divisor = _gram_divisor(method, layer, positions)
            target = self._grams[layer]
            difference = sums[layer] / divisor - target
            if method.style_loss == "relative":
                factor = weight / _square(target).clamp_min(1e-12)
            else:
                factor = difference.new_tensor(weight / layer.channels**2)
                if method.style_loss == "size":
                    factor = factor / (layer.channels**2 * positions)
            losses.append(factor * _square(difference))
            gradients[layer] = difference * (2 * self._gradient_scale * factor / divisor)
        return torch.stack(losses).sum(), gradients

    def _content_factor(self, layer: Layer, style_energy: torch.Tensor) -> torch.Tensor:
        """Weight of a squared difference between a feature and its target."""
        weight, positions = self._content_weights[layer], self._positions[layer]
        if self.settings.method.content_loss == "relative":
            # Relative to content and style: a flat content painted in a rich style must
            # change by more than its own size.
            energy = (self._energies[layer] + style_energy) / 2
            return weight / (positions * energy).clamp_min(1e-12)
        half = 0.5 if self.settings.method.content_loss == "half-mean" else 1.0
        return style_energy.new_tensor(half * weight / (layer.channels * positions))


def _mixed(tensors: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    return torch.stack([t * share for t, share in zip(tensors, shares, strict=True)]).sum(0)


def _square(tensor: torch.Tensor) -> torch.Tensor:
    """Sum of the squares, in float32 at least."""
    if tensor.itemsize < 4:  # by rows that stay in the cache when widened
        parts = torch.split(tensor.permute(0, 2, 3, 1), 32, 1)
        return torch.stack([part.float().square_().sum() for part in parts]).sum()
    # Not vector_norm: it sums without pairing, which costs a digit in float32.
    return tensor.square().sum()
