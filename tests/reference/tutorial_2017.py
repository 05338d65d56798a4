"""The PyTorch tutorial's edition of 2017.

It differs from the current one in three ways that matter to the numbers: the network sees
the RGB image as it is, each loss multiplies features *and* target by its weight before the
squared error (so that a weight acts by its square), and every loss calls ``backward`` by
itself. ReLUs stay in place, which the losses allow for by handing on clones, and the network
goes on to its end, past the last loss.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from .common import Losses, Run, Weights, record, to_array, to_tensor, vgg19_features

CONTENT_LAYERS = ("conv_4",)
STYLE_LAYERS = ("conv_1", "conv_2", "conv_3", "conv_4", "conv_5")
CONTENT_WEIGHT = 1
STYLE_WEIGHT = 1000


class GramMatrix(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = features.size()
        rows = features.view(batch * channels, height * width)
        return torch.mm(rows, rows.t()).div(batch * channels * height * width)


class ContentLoss(nn.Module):
    def __init__(self, target: torch.Tensor, weight: float) -> None:
        super().__init__()
        self.target = target.detach() * weight
        self.weight = weight
        self.criterion = nn.MSELoss()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.loss = self.criterion(features * self.weight, self.target)
        return features

    def backward(self) -> torch.Tensor:
        self.loss.backward(retain_graph=True)
        return self.loss.detach()


class StyleLoss(nn.Module):
    def __init__(self, target_gram: torch.Tensor, weight: float) -> None:
        super().__init__()
        self.target = target_gram.detach() * weight
        self.weight = weight
        self.gram = GramMatrix()
        self.criterion = nn.MSELoss()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        output = features.clone()
        gram = self.gram(features)
        gram.mul_(self.weight)
        self.loss = self.criterion(gram, self.target)
        return output

    def backward(self) -> torch.Tensor:
        self.loss.backward(retain_graph=True)
        return self.loss.detach()


class Model:
    """The network with its losses, which bring their own backward pass."""

    def __init__(
        self,
        content: np.ndarray,
        style: np.ndarray,
        weights: Weights,
        dtype: torch.dtype,
        content_layers: Sequence[str],
        style_layers: Sequence[str],
    ) -> None:
        content_image, style_image = to_tensor(content, dtype), to_tensor(style, dtype)
        self.content_losses: list[ContentLoss] = []
        self.style_losses: list[StyleLoss] = []
        self.network = nn.Sequential()
        gram = GramMatrix()
        number = 1
        for layer in vgg19_features(weights, dtype):
            kind = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}[type(layer)]
            name = f"{kind}_{number}"
            self.network.add_module(name, layer)
            if name in content_layers:
                target = self.network(content_image).clone()
                content_loss = ContentLoss(target, CONTENT_WEIGHT)
                self.network.add_module(f"content_loss_{name}", content_loss)
                self.content_losses.append(content_loss)
            if name in style_layers:
                target = gram(self.network(style_image).clone())
                style_loss = StyleLoss(target, STYLE_WEIGHT)
                self.network.add_module(f"style_loss_{name}", style_loss)
                self.style_losses.append(style_loss)
            if kind == "relu":
                number += 1

    def evaluate(self, image: torch.Tensor) -> Losses:
        """Losses at `image`, whose gradient is added to ``image.grad``."""
        self.network(image)
        style_score = sum(loss.backward() for loss in self.style_losses)
        content_score = sum(loss.backward() for loss in self.content_losses)
        return record(content_score, style_score, 0.0, style_score + content_score)


def run(
    content: np.ndarray,
    style: np.ndarray,
    weights: Weights,
    evaluations: int,
    dtype: torch.dtype = torch.float64,
    *,
    content_layers: Sequence[str] = CONTENT_LAYERS,
    style_layers: Sequence[str] = STYLE_LAYERS,
    max_iter: int = 20,
) -> Run:
    """Optimise until at least `evaluations` closures have run."""
    model = Model(content, style, weights, dtype, content_layers, style_layers)
    parameter = nn.Parameter(to_tensor(content, dtype))
    optimizer = torch.optim.LBFGS([parameter], max_iter=max_iter)
    losses: list[Losses] = []

    def closure() -> float:
        parameter.data.clamp_(0, 1)
        optimizer.zero_grad()
        losses.append(model.evaluate(parameter))
        return losses[-1]["total"]

    while len(losses) < evaluations:
        optimizer.step(closure)
    parameter.data.clamp_(0, 1)
    return Run(losses, to_array(parameter))


def loss_and_gradient(
    image: np.ndarray,
    content: np.ndarray,
    style: np.ndarray,
    weights: Weights,
    dtype: torch.dtype = torch.float64,
    *,
    content_layers: Sequence[str] = CONTENT_LAYERS,
    style_layers: Sequence[str] = STYLE_LAYERS,
) -> tuple[Losses, np.ndarray]:
    """Losses at an RGB image and the total's gradient with respect to it, (H, W, 3)."""
    leaf = nn.Parameter(to_tensor(image, dtype))
    model = Model(content, style, weights, dtype, content_layers, style_layers)
    losses = model.evaluate(leaf)
    return losses, to_array(leaf.grad)
