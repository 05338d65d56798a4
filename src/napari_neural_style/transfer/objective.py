"""The objective of one scale: its targets, and loss and gradient of an image."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from napari_neural_style.layers import Layer, find_layer
from napari_neural_style.settings import LayerWeights, Method, Settings
from napari_neural_style.transfer.encoder import Encoder
from napari_neural_style.transfer.losses import gram_sum, gram_sum_gradient, total_variation
from napari_neural_style.transfer.spaces import ImageSpace
from napari_neural_style.transfer.tiles import Tile, cut_tiles

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
    encoder: Encoder,
    space: ImageSpace,
    settings: Settings,
    style: torch.Tensor,
    tile: int | None = None,
) -> StyleTargets:
    """Compute the targets of a style image.

    Parameters
    ----------
    encoder, space, settings
        Of the run.
    style : torch.Tensor
        (1, 3, H, W), the optimised variable's kind.
    tile : int, optional
        Edge of the tiles to compute in, in pixels.
    """
    grams: Grams = {}
    squares: dict[Layer, torch.Tensor] = {}
    height, width = style.shape[2:]
    with torch.no_grad():
        for part in cut_tiles(height, width, tile, encoder.deepest):
            features = encoder(space.encoder_input(part.cut(style)))
            for layer in layer_weights(settings.style_layers):
                _add(grams, layer, gram_sum(part.core(layer, features[layer])))
            for layer in layer_weights(settings.content_layers):
                _add(squares, layer, _square(part.core(layer, features[layer])))
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
    tile : int, optional
        Edge of the tiles that the gradient is computed in; None for one piece.
        The gradient is exact either way: the Gram matrix is a sum over positions,
        so its gradient is, too, once the sum over all tiles is known.

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
        tile: int | None = None,
    ) -> None:
        self._encoder = encoder
        self._space = space
        self._styles = styles
        height, width = content.shape[2:]
        self._tiles = cut_tiles(height, width, tile, encoder.deepest)
        self._positions = {layer: _positions(layer, height, width) for layer in encoder.layers}
        self._content_layers = set(layer_weights(settings.content_layers))
        # Half the range of float16 lies below 1; gradients there are a share of 1 / positions.
        self._gradient_scale = float(height * width) if encoder.dtype == torch.float16 else 1.0
        with torch.no_grad():
            self._targets = [
                {layer: part.core(layer, features[layer]).clone() for layer in self._content_layers}
                for part in self._tiles
                for features in [encoder(space.encoder_input(part.cut(content)))]
            ]
        self._energies = {
            layer: sum(_square(target[layer]) for target in self._targets) / self._positions[layer]
            for layer in self._content_layers
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
        whole = len(self._tiles) == 1
        if whole:
            leaf, features = self._features(variable, self._tiles[0])
            sums = {layer: gram_sum(features[layer].detach()) for layer in self._style_weights}
        else:
            sums = self._gram_sums(variable)
        style, gram_gradients = self._style(sums)
        content = variable.new_zeros(())
        gradient = torch.zeros_like(variable)
        for index, tile in enumerate(self._tiles):
            if not whole:
                leaf, features = self._features(variable, tile)
            loss, gradients = self._feature_gradients(index, features, gram_gradients)
            content = content + loss
            (part,) = torch.autograd.grad(
                [features[layer] for layer in gradients], leaf, list(gradients.values())
            )
            tile.cut(gradient).add_(part, alpha=1 / self._gradient_scale)
        tv = self._add_total_variation(variable, gradient)
        losses = torch.stack([content, style, tv, content + style + tv])
        return Evaluation(losses, gradient)

    def _features(
        self, variable: torch.Tensor, tile: Tile
    ) -> tuple[torch.Tensor, dict[Layer, torch.Tensor]]:
        leaf = tile.cut(variable).detach().requires_grad_()
        return leaf, self._encoder(self._space.encoder_input(leaf))

    def _gram_sums(self, variable: torch.Tensor) -> Grams:
        sums: Grams = {}
        with torch.no_grad():
            for tile in self._tiles:
                features = self._encoder(self._space.encoder_input(tile.cut(variable)))
                for layer in self._style_weights:
                    _add(sums, layer, gram_sum(tile.core(layer, features[layer])))
        return sums

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
            gradients[layer] = difference * (2 * factor / divisor)
        return torch.stack(losses).sum(), gradients

    def _feature_gradients(
        self, index: int, features: Mapping[Layer, torch.Tensor], gram_gradients: Grams
    ) -> tuple[torch.Tensor, Grams]:
        """Content loss over a tile, and the gradient with respect to its features."""
        tile, targets = self._tiles[index], self._targets[index]
        scale = self._gradient_scale
        loss = torch.zeros((), device=features[next(iter(features))].device)
        gradients: Grams = {}
        for layer in features:
            core = tile.core(layer, features[layer].detach())
            if layer in gram_gradients:
                inner = gram_sum_gradient(core, gram_gradients[layer] * scale)
            else:
                inner = torch.zeros_like(core)
            if layer in targets:
                difference = core - targets[layer]
                factor = self._content_factors[layer]
                loss = loss + factor * _square(difference)
                inner = torch.addcmul(inner, difference, (2 * scale * factor).to(core.dtype))
            if core.shape == features[layer].shape:
                gradients[layer] = inner
            else:  # the halo has no loss of its own
                gradients[layer] = torch.zeros_like(features[layer])
                tile.core(layer, gradients[layer]).copy_(inner)
        return loss, gradients

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

    def _add_total_variation(self, variable: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        weight = self.settings.tv_weight
        if not weight:
            return variable.new_zeros(())
        leaf = variable.detach().requires_grad_()
        with torch.enable_grad():
            loss = weight * total_variation(leaf)
        (part,) = torch.autograd.grad(loss, leaf)
        gradient.add_(part)
        return loss.detach()


def _mixed(tensors: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    return torch.stack([t * share for t, share in zip(tensors, shares, strict=True)]).sum(0)


def _square(tensor: torch.Tensor) -> torch.Tensor:
    """Sum of the squares, in float32 at least."""
    wide = tensor if tensor.dtype == torch.float64 else tensor.float()
    return wide.square().sum()
