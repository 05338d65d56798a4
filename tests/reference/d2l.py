"""The section on neural style transfer of "Dive into Deep Learning", PyTorch edition.

Features are gathered by walking the network module by module and keeping a reference to
what some modules return. The ReLU that follows a kept convolution overwrites that very
tensor, so by the time the losses are computed all of them but the last module's have become
their own ReLU. That is not imitated here: it happens, because the network is torchvision's.

The image lives in normalised space and is nowhere clamped.
"""

import numpy as np
import torch
from PIL import Image
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

STYLE_LAYERS = (0, 5, 10, 19, 28)
CONTENT_LAYERS = (25,)
CONTENT_WEIGHT, STYLE_WEIGHT, TV_WEIGHT = 1, 1e3, 10


def preprocess(image: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return (to_tensor(image, dtype) - per_channel(MEAN, dtype)) / per_channel(STD, dtype)


def postprocess(image: torch.Tensor) -> np.ndarray:
    rgb = image.detach() * per_channel(STD, image.dtype) + per_channel(MEAN, image.dtype)
    return to_array(rgb.clamp(0, 1))


def build_net(weights: Weights, dtype: torch.dtype) -> nn.Sequential:
    features = vgg19_features(weights, dtype)
    return nn.Sequential(*(features[i] for i in range(max(CONTENT_LAYERS + STYLE_LAYERS) + 1)))


def extract_features(
    net: nn.Sequential, x: torch.Tensor
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    contents, styles = [], []
    for index, module in enumerate(net):
        x = module(x)
        if index in STYLE_LAYERS:
            styles.append(x)
        if index in CONTENT_LAYERS:
            contents.append(x)
    return contents, styles


def content_loss(features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(features, target.detach())


def gram(features: torch.Tensor) -> torch.Tensor:
    channels, positions = features.shape[1], features.shape[2] * features.shape[3]
    rows = features.view(channels, positions)
    return torch.matmul(rows, rows.t()) / (channels * positions)


def style_loss(features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(gram(features), target.detach())


def tv_loss(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * (
        F.l1_loss(x[:, :, 1:, :], x[:, :, :-1, :]) + F.l1_loss(x[:, :, :, 1:], x[:, :, :, :-1])
    )


class Task:
    """The targets of one content and style, and the losses of an image in normalised space."""

    def __init__(
        self, content: np.ndarray, style: np.ndarray, weights: Weights, dtype: torch.dtype
    ) -> None:
        self.net = build_net(weights, dtype)
        self.contents, _ = extract_features(self.net, preprocess(content, dtype))
        _, styles = extract_features(self.net, preprocess(style, dtype))
        self.styles = [gram(features) for features in styles]

    def evaluate(self, x: torch.Tensor) -> Losses:
        """Losses at `x`, whose gradient flows back to where `x` comes from."""
        contents, styles = extract_features(self.net, x)
        content = sum(
            content_loss(f, t) * CONTENT_WEIGHT
            for f, t in zip(contents, self.contents, strict=True)
        )
        style = sum(
            style_loss(f, t) * STYLE_WEIGHT for f, t in zip(styles, self.styles, strict=True)
        )
        tv = tv_loss(x) * TV_WEIGHT
        total = style + content + tv
        total.backward()
        return record(content, style, tv.item(), total)


def run(
    content: np.ndarray,
    style: np.ndarray,
    weights: Weights,
    evaluations: int,
    dtype: torch.dtype = torch.float64,
    *,
    start: np.ndarray | None = None,
    lr: float = 0.01,
    lr_decay_epoch: int = 200,
) -> Run:
    """Train for `evaluations` epochs, from `start` if given, else from the content."""
    task = Task(content, style, weights, dtype)
    x = nn.Parameter(preprocess(content if start is None else start, dtype))
    optimizer = torch.optim.Adam([x], lr=lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, lr_decay_epoch, gamma=0.1)
    losses: list[Losses] = []
    for _ in range(evaluations):
        optimizer.zero_grad()
        losses.append(task.evaluate(x))
        optimizer.step()
        scheduler.step()
    return Run(losses, postprocess(x))


def next_start(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An RGB image in [0, 1] as the start at another (height, width).

    It becomes a picture of 8 bits (torchvision's conversion cuts the fraction off), which
    Pillow resizes with its bilinear filter to a picture of 8 bits.
    """
    picture = Image.fromarray((image * 255).astype(np.uint8))
    height, width = size
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)) / 255


def loss_and_gradient(
    image: np.ndarray,
    content: np.ndarray,
    style: np.ndarray,
    weights: Weights,
    dtype: torch.dtype = torch.float64,
) -> tuple[Losses, np.ndarray]:
    """Losses at an RGB image and the total's gradient with respect to it, (H, W, 3)."""
    leaf = to_tensor(image, dtype).requires_grad_(True)
    x = (leaf - per_channel(MEAN, dtype)) / per_channel(STD, dtype)
    losses = Task(content, style, weights, dtype).evaluate(x)
    return losses, to_array(leaf.grad)
