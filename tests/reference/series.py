"""The repository of "Neural Style Transfer Series, Part 2" (PyTorch).

Its network pools by the average. Its preprocessing divides by the ImageNet deviation *and*
multiplies by 255, in front of weights that want the latter only: the image that L-BFGS moves
is 255 times the normalised one, and the network, told in normalised RGB, sees each channel
once more divided by its deviation.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .common import MEAN, STD, Losses, Run, Weights, per_channel, record, to_array, to_tensor

STYLE_LAYERS = ("re11", "re21", "re31", "re41", "re51")
CONTENT_LAYERS = ("re42",)
STYLE_WEIGHT, CONTENT_WEIGHT = 1000, 5

#: Output of each ReLU, its convolution's index in torchvision's numbering, poolings between.
LAYERS = (
    *(("re11", 0), ("re12", 2), ("p1", None)),
    *(("re21", 5), ("re22", 7), ("p2", None)),
    *(("re31", 10), ("re32", 12), ("re33", 14), ("re34", 16), ("p3", None)),
    *(("re41", 19), ("re42", 21), ("re43", 23), ("re44", 25), ("p4", None)),
    *(("re51", 28), ("re52", 30), ("re53", 32), ("re54", 34), ("p5", None)),
)


class VGG(nn.Module):
    """VGG19 with average pooling; `forward` returns the outputs asked for by name."""

    def __init__(self, weights: Weights, dtype: torch.dtype) -> None:
        super().__init__()
        self.steps = nn.ModuleDict()
        for name, index in LAYERS:
            if index is None:
                self.steps[name] = nn.AvgPool2d(kernel_size=2, stride=2)
            else:
                weight, bias = (weights[f"features.{index}.{p}"] for p in ("weight", "bias"))
                conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, dtype=dtype)
                conv.load_state_dict({"weight": weight, "bias": bias})
                self.steps[name] = conv
        self.requires_grad_(False)

    def forward(self, image: torch.Tensor, names: tuple[str, ...]) -> list[torch.Tensor]:
        x = image / 255 / per_channel(STD, image.dtype)
        out: dict[str, torch.Tensor] = {}
        for name, step in self.steps.items():
            x = step(x) if name.startswith("p") else F.relu(step(x))
            out[name] = x
        return [out[name] for name in names]


class GramMatrix(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = features.size()
        rows = features.view(batch, channels, height * width)
        return torch.bmm(rows, rows.transpose(1, 2)).div_(height * width)


class StyleLoss(nn.Module):
    def forward(self, features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.MSELoss()(GramMatrix()(features), target)


def prepare(image: torch.Tensor) -> torch.Tensor:
    """RGB in [0, 1] to the image variable, 255 times the normalised image."""
    return (image - per_channel(MEAN, image.dtype)) / per_channel(STD, image.dtype) * 255


def undo(image: torch.Tensor) -> torch.Tensor:
    """The inverse of `prepare`, clamped to [0, 1]."""
    dtype = image.dtype
    return (image / 255 * per_channel(STD, dtype) + per_channel(MEAN, dtype)).clamp(0, 1)


class Task:
    """The targets of one content and style, and the losses of an image variable."""

    def __init__(
        self, content: np.ndarray, style: np.ndarray, weights: Weights, dtype: torch.dtype
    ) -> None:
        self.vgg = VGG(weights, dtype)
        styles = self.vgg(prepare(to_tensor(style, dtype)), STYLE_LAYERS)
        contents = self.vgg(prepare(to_tensor(content, dtype)), CONTENT_LAYERS)
        self.targets = [GramMatrix()(f.detach()) for f in styles] + [f.detach() for f in contents]
        self.criteria = [StyleLoss()] * len(STYLE_LAYERS) + [nn.MSELoss()] * len(CONTENT_LAYERS)
        self.weights = [STYLE_WEIGHT] * len(STYLE_LAYERS) + [CONTENT_WEIGHT] * len(CONTENT_LAYERS)

    def evaluate(self, image: torch.Tensor) -> Losses:
        """Losses at `image`, whose gradient flows back to where `image` comes from."""
        out = self.vgg(image, STYLE_LAYERS + CONTENT_LAYERS)
        parts = [
            criterion(features, target) * weight
            for criterion, features, target, weight in zip(
                self.criteria, out, self.targets, self.weights, strict=True
            )
        ]
        total = sum(parts)
        total.backward()
        return record(sum(parts[len(STYLE_LAYERS) :]), sum(parts[: len(STYLE_LAYERS)]), 0.0, total)


def run(
    content: np.ndarray,
    style: np.ndarray,
    weights: Weights,
    evaluations: int,
    dtype: torch.dtype = torch.float64,
    *,
    max_iter: int = 20,
) -> Run:
    """Call ``step`` until at least `evaluations` closures have run (it calls it 99 times)."""
    task = Task(content, style, weights, dtype)
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
) -> tuple[Losses, np.ndarray]:
    """Losses at an RGB image and the total's gradient with respect to it, (H, W, 3)."""
    leaf = to_tensor(image, dtype).requires_grad_(True)
    losses = Task(content, style, weights, dtype).evaluate(prepare(leaf))
    return losses, to_array(leaf.grad)
