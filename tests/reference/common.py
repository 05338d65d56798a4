"""What the six programs share: the table of VGG19 and the way in and out of torch."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

Weights = Mapping[str, torch.Tensor]
Losses = dict[str, float]

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)

TABLE = (
    *(64, 64, "pool"),
    *(128, 128, "pool"),
    *(256, 256, 256, 256, "pool"),
    *(512, 512, 512, 512, "pool"),
    *(512, 512, 512, 512, "pool"),
)


class Run(NamedTuple):
    """The losses at each evaluation, in order, and the image at the end."""

    losses: list[Losses]
    image: np.ndarray


def vgg19_features(weights: Weights, dtype: torch.dtype) -> nn.Sequential:
    """VGG19's convolutional part as torchvision builds it: its indices, in-place ReLUs."""
    layers: list[nn.Module] = []
    channels = 3
    for width in TABLE:
        if width == "pool":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        key = f"features.{len(layers)}"
        conv = nn.Conv2d(channels, width, kernel_size=3, padding=1, dtype=dtype)
        conv.load_state_dict({p: weights[f"{key}.{p}"] for p in ("weight", "bias")})
        layers += [conv, nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers).requires_grad_(False).eval()


def to_tensor(image: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """(H, W, 3) array to a (1, 3, H, W) tensor of the same values."""
    return torch.tensor(image, dtype=dtype).permute(2, 0, 1)[None].contiguous()


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """(1, 3, H, W) tensor to a (H, W, 3) array of the same values."""
    return tensor.detach()[0].permute(1, 2, 0).numpy().copy()


def per_channel(values: tuple[float, float, float], dtype: torch.dtype) -> torch.Tensor:
    """Three numbers in a shape that broadcasts over (1, 3, H, W)."""
    return torch.tensor(values, dtype=dtype).view(1, 3, 1, 1)


def record(content: torch.Tensor, style: torch.Tensor, tv: float, total: torch.Tensor) -> Losses:
    """One evaluation's weighted losses as plain numbers."""
    return {
        "content": content.item(),
        "style": style.item(),
        "tv": tv,
        "total": total.item(),
    }
