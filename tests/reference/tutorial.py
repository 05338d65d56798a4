"""The PyTorch tutorial "Neural Transfer Using PyTorch" (A. Jacq), current edition.

Losses are modules threaded into the network, right behind the convolution they watch; the
network ends after the last of them. L-BFGS works on the RGB image itself, which every
evaluation first clamps to [0, 1].
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .common import (
    MEAN,
    STD,
    Losses,
    Run,
    Weights,
    per_channel,
    record,
    to_array,
    to_tensor,
    vgg19_features,
)

CONTENT_LAYERS = ("conv_4",)
STYLE_LAYERS = ("conv_1", "conv_2", "conv_3", "conv_4", "conv_5")
CONTENT_WEIGHT = 1
STYLE_WEIGHT = 1_000_000


class Normalization(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.mean = per_channel(MEAN, dtype)
        self.std = per_channel(STD, dtype)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image - self.mean) / self.std


def gram_matrix(features: torch.Tensor) -> torch.Tensor:
    batch, channels, height, width = features.size()
    rows = features.view(batch * channels, height * width)
    return torch.mm(rows, rows.t()).div(batch * channels * height * width)


class ContentLoss(nn.Module):
    def __init__(self, target: torch.Tensor) -> None:
        super().__init__()
        self.target = target.detach()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.loss = F.mse_loss(features, self.target)
        return features


class StyleLoss(nn.Module):
    def __init__(self, target_features: torch.Tensor) -> None:
        super().__init__()
        self.target = gram_matrix(target_features).detach()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.loss = F.mse_loss(gram_matrix(features), self.target)
        return features


class Model:
    """The network with its losses, and their scores after a forward pass."""

    def __init__(
        self,
        content: np.ndarray,
        style: np.ndarray,
        weights: Weights,
        dtype: torch.dtype,
        pooling: str,
    ) -> None:
        content_image, style_image = to_tensor(content, dtype), to_tensor(style, dtype)
        self.content_losses: list[ContentLoss] = []
        self.style_losses: list[StyleLoss] = []
        self.network = nn.Sequential(Normalization(dtype))
        number = 0
        for layer in vgg19_features(weights, dtype):
            if isinstance(layer, nn.Conv2d):
                number += 1
                name = f"conv_{number}"
            elif isinstance(layer, nn.ReLU):
                name = f"relu_{number}"
                layer = nn.ReLU(inplace=False)
            else:
                name = f"pool_{number}"
                if pooling == "avg":
                    layer = nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
            self.network.add_module(name, layer)
            if name in CONTENT_LAYERS:
                content_loss = ContentLoss(self.network(content_image))
                self.network.add_module(f"content_loss_{number}", content_loss)
                self.content_losses.append(content_loss)
            if name in STYLE_LAYERS:
                style_loss = StyleLoss(self.network(style_image))
                self.network.add_module(f"style_loss_{number}", style_loss)
                self.style_losses.append(style_loss)
        last = max(
            i
            for i, module in enumerate(self.network)
            if isinstance(module, ContentLoss | StyleLoss)
        )
        self.network = self.network[: last + 1]

    def evaluate(self, image: torch.Tensor) -> Losses:
        """Losses at `image`, whose gradient is left in ``image.grad``."""
        self.network(image)
        style_score = sum(module.loss for module in self.style_losses) * STYLE_WEIGHT
        content_score = sum(module.loss for module in self.content_losses) * CONTENT_WEIGHT
        total = style_score + content_score
        total.backward()
        return record(content_score, style_score, 0.0, total)


def run(
    content: np.ndarray,
    style: np.ndarray,
    weights: Weights,
    evaluations: int,
    dtype: torch.dtype = torch.float64,
    *,
    pooling: str = "max",
    max_iter: int = 20,
) -> Run:
    """Optimise until at least `evaluations` closures have run."""
    model = Model(content, style, weights, dtype, pooling)
    image = to_tensor(content, dtype).requires_grad_(True)
    optimizer = torch.optim.LBFGS([image], max_iter=max_iter)
    losses: list[Losses] = []

    def closure() -> float:
        with torch.no_grad():
            image.clamp_(0, 1)
        optimizer.zero_grad()
        losses.append(model.evaluate(image))
        return losses[-1]["total"]

    while len(losses) < evaluations:
        optimizer.step(closure)
    with torch.no_grad():
        image.clamp_(0, 1)
    return Run(losses, to_array(image))


def loss_and_gradient(
    image: np.ndarray,
    content: np.ndarray,
    style: np.ndarray,
    weights: Weights,
    dtype: torch.dtype = torch.float64,
    *,
    pooling: str = "max",
) -> tuple[Losses, np.ndarray]:
    """Losses at an RGB image and the total's gradient with respect to it, (H, W, 3)."""
    leaf = to_tensor(image, dtype).requires_grad_(True)
    losses = Model(content, style, weights, dtype, pooling).evaluate(leaf)
    return losses, to_array(leaf.grad)
