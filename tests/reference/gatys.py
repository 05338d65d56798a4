"""Gatys' own PyTorch code for Gatys, Ecker & Bethge (CVPR 2016).

The image that L-BFGS moves is the network's input in Caffe's manner: BGR, 0-255, the mean
pixel subtracted, never clamped before the end.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .common import (
    CAFFE_MEAN,
    MEAN,
    STD,
    Losses,
    Run,
    Weights,
    per_channel,
    record,
    to_array,
    to_tensor,
)

STYLE_LAYERS = ("r11", "r21", "r31", "r41", "r51")
CONTENT_LAYERS = ("r42",)
STYLE_WEIGHTS = tuple(1e3 / n**2 for n in (64, 128, 256, 512, 512))
CONTENT_WEIGHTS = (1e0,)

#: Where torchvision has the convolutions of each block.
BLOCKS = ((0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28, 30, 32, 34))


class VGG(nn.Module):
    """The network in its named parts; `forward` returns the layers that it is asked for."""

    def __init__(self, weights: Weights, dtype: torch.dtype, pool: str) -> None:
        super().__init__()
        for block, indices in enumerate(BLOCKS, start=1):
            for number, index in enumerate(indices, start=1):
                weight = weights[f"features.{index}.weight"]
                conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, dtype=dtype)
                conv.load_state_dict({"weight": weight, "bias": weights[f"features.{index}.bias"]})
                self.add_module(f"conv{block}_{number}", conv)
            pooling = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}[pool]
            self.add_module(f"pool{block}", pooling(kernel_size=2, stride=2))
        self.requires_grad_(False)

    def forward(self, caffe: torch.Tensor, keys: tuple[str, ...]) -> list[torch.Tensor]:
        x = self.first_input(caffe)
        out: dict[str, torch.Tensor] = {}
        for block, indices in enumerate(BLOCKS, start=1):
            for number in range(1, len(indices) + 1):
                x = F.relu(self.get_submodule(f"conv{block}_{number}")(x))
                out[f"r{block}{number}"] = x
            x = self.get_submodule(f"pool{block}")(x)
        return [out[key] for key in keys]

    def first_input(self, caffe: torch.Tensor) -> torch.Tensor:
        """Caffe's input in the terms of these weights: normalised RGB."""
        dtype = caffe.dtype
        rgb = (caffe[:, [2, 1, 0]] + per_channel(CAFFE_MEAN, dtype)) / 255
        return (rgb - per_channel(MEAN, dtype)) / per_channel(STD, dtype)


class GramMatrix(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = features.size()
        rows = features.view(batch, channels, height * width)
        gram = torch.bmm(rows, rows.transpose(1, 2))
        return gram.div_(height * width)


class GramMSELoss(nn.Module):
    def forward(self, features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.MSELoss()(GramMatrix()(features), target)


def prepare(image: torch.Tensor) -> torch.Tensor:
    """RGB in [0, 1] to Caffe's BGR, 0-255, mean subtracted."""
    return (image * 255 - per_channel(CAFFE_MEAN, image.dtype))[:, [2, 1, 0]]


def undo(image: torch.Tensor) -> torch.Tensor:
    """The inverse of `prepare`, clamped to [0, 1]."""
    return ((image[:, [2, 1, 0]] + per_channel(CAFFE_MEAN, image.dtype)) / 255).clamp(0, 1)


class Task:
    """The targets of one content and style, and the losses of an image in Caffe space."""

    def __init__(
        self,
        content: np.ndarray,
        style: np.ndarray,
        weights: Weights,
        dtype: torch.dtype,
        pooling: str,
    ) -> None:
        self.vgg = VGG(weights, dtype, pooling)
        self.criteria = [GramMSELoss()] * len(STYLE_LAYERS) + [nn.MSELoss()] * len(CONTENT_LAYERS)
        styles = self.vgg(prepare(to_tensor(style, dtype)), STYLE_LAYERS)
        contents = self.vgg(prepare(to_tensor(content, dtype)), CONTENT_LAYERS)
        self.targets = [GramMatrix()(f).detach() for f in styles]
        self.targets += [f.detach() for f in contents]

    def evaluate(self, image: torch.Tensor) -> Losses:
        """Losses at `image`, whose gradient flows back to where `image` comes from."""
        features = self.vgg(image, STYLE_LAYERS + CONTENT_LAYERS)
        layer_losses = [
            weight * criterion(f, target)
            for weight, criterion, f, target in zip(
                STYLE_WEIGHTS + CONTENT_WEIGHTS, self.criteria, features, self.targets, strict=True
            )
        ]
        total = sum(layer_losses)
        total.backward()
        style, content = layer_losses[: len(STYLE_LAYERS)], layer_losses[len(STYLE_LAYERS) :]
        return record(sum(content), sum(style), 0.0, total)


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
    task = Task(content, style, weights, dtype, pooling)
    image = prepare(to_tensor(content, dtype)).clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([image], max_iter=max_iter)
    losses: list[Losses] = []

    def closure() -> float:
        optimizer.zero_grad()
        losses.append(task.evaluate(image))
        return losses[-1]["total"]

    while len(losses) < evaluations:
        optimizer.step(closure)
    return Run(losses, to_array(undo(image)))


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
    losses = Task(content, style, weights, dtype, pooling).evaluate(prepare(leaf))
    return losses, to_array(leaf.grad)
