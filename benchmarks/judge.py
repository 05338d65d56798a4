"""One judge for every picture: the published losses, in plain float32, on the clamped image.

Nothing here is shared with the engine but the weights themselves: neither layers nor losses.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from napari_neural_style.transfer.weights import load_weights

Image = npt.NDArray[np.floating[Any]]
Weights = Mapping[str, torch.Tensor]

_CONVOLUTIONS = (2, 2, 4, 4, 4)  # of each block of VGG19
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class Judge:
    """Content loss + style losses of an image, relative to one content and one style.

    Parameters
    ----------
    content, style : array
        (H, W, 3) in [0, 1]; the sizes are taken as they are.
    weights : mapping
        With torchvision's keys, for RGB normalised with the ImageNet mean and deviation.
    content_layer : str
        Such as ``conv2_2``, before its ReLU, or ``relu2_2``.
    style_layers : mapping of str to float
        Layers and their weights.
    per_channel : bool
        Divide Gram matrices by channels x positions instead of positions.
    """

    def __init__(
        self,
        content: Image,
        style: Image,
        weights: Weights,
        content_layer: str,
        style_layers: Mapping[str, float],
        per_channel: bool,
    ) -> None:
        self.shape = content.shape[:2]
        self._weights = weights
        self._content_layer = content_layer
        self._style_layers = style_layers
        self._per_channel = per_channel
        with torch.inference_mode():
            self._content = features(_tensor(content), weights, [content_layer])[content_layer]
            of_style = features(_tensor(style), weights, style_layers)
            self._grams = {name: self._gram(found) for name, found in of_style.items()}

    def __call__(self, image: Image) -> float:
        """Total loss of an image, (H, W, 3); one of another size is first resized."""
        with torch.inference_mode():
            tensor = _tensor(image)
            if image.shape[:2] != self.shape:
                tensor = F.interpolate(tensor, self.shape, mode="bilinear", antialias=True)
            wanted = {self._content_layer, *self._style_layers}
            found = features(tensor.clamp(0, 1), self._weights, wanted)
            loss = float(F.mse_loss(found[self._content_layer], self._content))
            for name, weight in self._style_layers.items():
                loss += weight * float(F.mse_loss(self._gram(found[name]), self._grams[name]))
            return loss

    def _gram(self, found: torch.Tensor) -> torch.Tensor:
        rows = found[0].flatten(1)
        return rows @ rows.T / (rows.numel() if self._per_channel else rows.shape[1])


def tutorial_judge(content: Image, style: Image, style_weight: float = 1e6) -> Judge:
    """Judge by the PyTorch tutorial's objective, with its layers and weights."""
    layers = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
    weights = load_weights("original", normalize=True)
    return Judge(content, style, weights, "conv2_2", dict.fromkeys(layers, style_weight), True)


def gatys_judge(content: Image, style: Image) -> Judge:
    """Judge by the objective of Gatys' code, with the original weights at their own scale."""
    widths = {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512, "relu5_1": 512}
    layers = {name: 1e3 / width**2 for name, width in widths.items()}
    return Judge(content, style, load_weights("original"), "relu4_2", layers, False)


def features(
    image: torch.Tensor, weights: Weights, wanted: Collection[str]
) -> dict[str, torch.Tensor]:
    """Features of a (1, 3, H, W) image in [0, 1] at the wanted layers of VGG19."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
    x = (image - mean) / std
    found: dict[str, torch.Tensor] = {}
    index = 0  # in torchvision's vgg19().features
    for block, count in enumerate(_CONVOLUTIONS, start=1):
        for number in range(1, count + 1):
            weight, bias = (weights[f"features.{index}.{part}"] for part in ("weight", "bias"))
            x = F.conv2d(x, weight, bias, padding=1)
            found[f"conv{block}_{number}"] = x
            x = F.relu(x)
            found[f"relu{block}_{number}"] = x
            found = {name: kept for name, kept in found.items() if name in wanted}
            if len(found) == len(wanted):
                return found
            index += 2
        x = F.max_pool2d(x, 2)
        index += 1
    raise ValueError(f"VGG19 lacks some of the layers {sorted(wanted)}.")


def _tensor(image: Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)[None].contiguous()
