"""The encoder: VGG19 up to the deepest layer in use."""

from collections.abc import Iterable, Mapping

import torch
from torch.nn import functional as F

from napari_neural_style.layers import LAYERS, Layer


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

    References
    ----------
    Simonyan & Zisserman, "Very deep convolutional networks for large-scale image
    recognition", 2014, configuration E.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        layers: Iterable[Layer],
        pooling: str = "max",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.layers = frozenset(layers)
        self.deepest = max(self.layers, key=lambda layer: layer.index)
        self.dtype = dtype
        self._pool = F.max_pool2d if pooling == "max" else F.avg_pool2d
        self._convolutions = {
            layer.index: (
                weights[f"features.{layer.index}.weight"].to(
                    device, dtype, memory_format=torch.channels_last
                ),
                weights[f"features.{layer.index}.bias"].to(device, dtype),
            )
            for layer in LAYERS[: self.deepest.index + 1]
            if layer.kind == "conv"
        }

    @property
    def stride(self) -> int:
        """Pixels to one position of the deepest layer: the least side of an image."""
        return self.deepest.stride

    def __call__(self, image: torch.Tensor) -> dict[Layer, torch.Tensor]:
        """Compute the wanted features of an image.

        Parameters
        ----------
        image : torch.Tensor
            (1, 3, H, W), normalised RGB.

        Returns
        -------
        dict of Layer to torch.Tensor
            (1, C, H / stride, W / stride) each, in the encoder's precision.
        """
        x = image.to(self.dtype, memory_format=torch.channels_last)
        features = {}
        for layer in LAYERS[: self.deepest.index + 1]:
            if layer.kind == "conv":
                x = F.conv2d(x, *self._convolutions[layer.index], padding=1)
            elif layer.kind == "pool":
                x = self._pool(x, 2)
            elif LAYERS[layer.index - 1] in self.layers:
                x = x.relu()  # the features before it are wanted as they are
            else:
                x = x.relu_()
            if layer in self.layers:
                features[layer] = x
        return features
