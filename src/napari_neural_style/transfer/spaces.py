"""The spaces that the optimised image may live in."""

from dataclasses import dataclass

import torch

from napari_neural_style.settings import Space
from napari_neural_style.transfer.weights import IMAGENET_MEAN, IMAGENET_STD, VGG_MEAN


@dataclass(frozen=True)
class ImageSpace:
    """Affine maps, channel by channel, from the optimised variable v.

    RGB in [0, 1] is ``v * scale + offset``; the encoder's input is
    ``v * input_scale + input_offset``. The space matters: L-BFGS's first step and
    Adam's every step depend on its scale.
    """

    scale: torch.Tensor
    offset: torch.Tensor
    input_scale: torch.Tensor
    input_offset: torch.Tensor

    def from_rgb(self, rgb: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) RGB in [0, 1] as the variable."""
        return (rgb - self.offset) / self.scale

    def to_rgb(self, variable: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) variable as RGB, not clamped."""
        return variable * self.scale + self.offset

    def encoder_input(self, variable: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) variable as the encoder takes it."""
        return torch.addcmul(self.input_offset, variable, self.input_scale)

    def along_gray(self, gradient: torch.Tensor) -> torch.Tensor:
        """Part of a (1, 3, H, W) gradient that changes all channels of the RGB alike."""
        direction = (1 / self.scale).expand(1, 3, 1, 1)
        along = (gradient * direction).sum(1, keepdim=True) / direction.square().sum()
        return along * direction


def in_rgb(name: Space, step: float) -> float:
    """Change of RGB in [0, 1], at most, by a step of the variable of a space."""
    return step * float(image_space(name, torch.device("cpu"), torch.float64).scale.max())


def image_space(name: Space, device: torch.device, dtype: torch.dtype) -> ImageSpace:
    """Build a space by the name that :class:`Method` gives it."""

    def channels(*values: float) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)

    one, zero = channels(1.0), channels(0.0)
    mean, std = channels(*IMAGENET_MEAN), channels(*IMAGENET_STD)
    scale, offset = {
        "rgb": (one, zero),
        "rgb-raw": (one, zero),
        "normalized": (std, mean),
        "caffe": (one / 255, channels(*VGG_MEAN) / 255),
        "series": (std / 255, mean),
    }[name]
    # The encoder takes (rgb - mean) / std …
    input_scale, input_offset = scale / std, (offset - mean) / std
    if name == "rgb-raw":  # … but the tutorial of 2017 did not normalise
        input_scale, input_offset = one, zero
    elif name == "series":  # … and the series divides by the deviation twice
        input_scale, input_offset = one / (255 * std), zero
    return ImageSpace(*(t.to(dtype).to(device) for t in (scale, offset, input_scale, input_offset)))
