"""The TensorFlow twin of the series: Keras' VGG19 and TensorFlow's Adam, on Caffe's input.

The image of the lowest loss is kept. The published program takes a step and then asks for
the loss, so the image it starts from never counts as the best; the losses returned here are
those at which the gradients were taken, one step earlier.
"""

import numpy as np
import torch
from torch import nn

from .common import (
    CAFFE_MEAN,
    MEAN,
    STD,
    TABLE,
    Losses,
    Run,
    Weights,
    per_channel,
    record,
    to_array,
    to_tensor,
)

CONTENT_LAYERS = ("block3_conv3",)
STYLE_LAYERS = ("block1_conv1", "block2_conv2", "block4_conv3")
STYLE_WEIGHT, CONTENT_WEIGHT = 0.9, 0.1


class KerasVGG19(nn.Module):
    """VGG19 up to the deepest layer in use, called as in Keras.

    There the ReLU belongs to the convolution.
    """

    def __init__(self, weights: Weights, dtype: torch.dtype) -> None:
        super().__init__()
        self.names: list[str] = []
        self.layers = nn.ModuleList()
        index, block, number = 0, 1, 1
        for width in TABLE:
            if width == "pool":
                self.names.append(f"block{block}_pool")
                self.layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
                index, block, number = index + 1, block + 1, 1
                continue
            weight, bias = (weights[f"features.{index}.{p}"] for p in ("weight", "bias"))
            conv = nn.Conv2d(weight.shape[1], width, kernel_size=3, padding=1, dtype=dtype)
            conv.load_state_dict({"weight": weight, "bias": bias})
            self.names.append(f"block{block}_conv{number}")
            self.layers.append(nn.Sequential(conv, nn.ReLU(inplace=True)))
            if self.names[-1] == STYLE_LAYERS[-1]:
                break
            index, number = index + 2, number + 1
        self.requires_grad_(False)

    def forward(self, caffe: torch.Tensor) -> dict[str, torch.Tensor]:
        dtype = caffe.dtype
        rgb = (caffe.flip(1) + per_channel(CAFFE_MEAN, dtype)) / 255
        x = (rgb - per_channel(MEAN, dtype)) / per_channel(STD, dtype)
        outputs = {}
        for name, layer in zip(self.names, self.layers, strict=True):
            x = layer(x)
            outputs[name] = x[0]
        return outputs


def preprocess_input(image: torch.Tensor) -> torch.Tensor:
    """RGB in [0, 1] to Caffe's BGR, 0-255, mean subtracted."""
    return (255 * image - per_channel(CAFFE_MEAN, image.dtype)).flip(1)


def deprocess(caffe: torch.Tensor) -> np.ndarray:
    """The inverse of `preprocess_input`, clipped to [0, 1]."""
    rgb = (caffe.flip(1) + per_channel(CAFFE_MEAN, caffe.dtype)) / 255
    return to_array(rgb.clamp(0, 1))


def gram_matrix(features: torch.Tensor) -> torch.Tensor:
    rows = features.flatten(1)
    return rows @ rows.T


def content_loss(features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (features - target).square().mean() / 2


def style_loss(features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    channels, height, width = features.shape
    return (gram_matrix(features) - target).square().mean() / (channels**2 * width * height)


class Task:
    """The targets of one content and style, and the losses of an image in Caffe space."""

    def __init__(
        self, content: np.ndarray, style: np.ndarray, weights: Weights, dtype: torch.dtype
    ) -> None:
        self.model = KerasVGG19(weights, dtype)
        contents = self.model(preprocess_input(to_tensor(content, dtype)))
        styles = self.model(preprocess_input(to_tensor(style, dtype)))
        self.contents = {name: contents[name] for name in CONTENT_LAYERS}
        self.styles = {name: gram_matrix(styles[name]) for name in STYLE_LAYERS}

    def evaluate(self, image: torch.Tensor) -> tuple[Losses, torch.Tensor]:
        """Losses at `image`, as numbers, and the total to differentiate."""
        out = self.model(image)
        style = sum(style_loss(out[n], t) / len(STYLE_LAYERS) for n, t in self.styles.items())
        content = sum(
            content_loss(out[n], t) / len(CONTENT_LAYERS) for n, t in self.contents.items()
        )
        total = STYLE_WEIGHT * style + CONTENT_WEIGHT * content
        return record(CONTENT_WEIGHT * content, STYLE_WEIGHT * style, 0.0, total), total


class TensorFlowAdam:
    """Adam with the bias correction in the step and epsilon beside the uncorrected root.

    Kingma & Ba give this order as the efficient form, at the end of their section 2; its
    epsilon is another one ("epsilon hat").
    """

    def __init__(self, lr: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8):
        self.lr, self.beta1, self.beta2, self.epsilon = lr, beta1, beta2, epsilon
        self.t = 0
        self.m: torch.Tensor | float = 0.0
        self.v: torch.Tensor | float = 0.0

    def apply(self, gradient: torch.Tensor, variable: torch.Tensor) -> None:
        self.t += 1
        step = self.lr * (1 - self.beta2**self.t) ** 0.5 / (1 - self.beta1**self.t)
        self.m = self.beta1 * self.m + (1 - self.beta1) * gradient
        self.v = self.beta2 * self.v + (1 - self.beta2) * gradient**2
        variable -= step * self.m / (self.v**0.5 + self.epsilon)


def run(
    content: np.ndarray,
    style: np.ndarray,
    weights: Weights,
    evaluations: int,
    dtype: torch.dtype = torch.float64,
) -> Run:
    """Take `evaluations` steps; the image is the best one that a step led to."""
    task = Task(content, style, weights, dtype)
    image = preprocess_input(to_tensor(content, dtype)).requires_grad_(True)
    optimizer = TensorFlowAdam(lr=9, beta1=0.9, epsilon=0.1)
    losses: list[Losses] = []
    best_total, best_image = float("inf"), image
    values, total = task.evaluate(image)
    for _ in range(evaluations):
        losses.append(values)
        (gradient,) = torch.autograd.grad(total, image)
        with torch.no_grad():
            optimizer.apply(gradient, image)
        values, total = task.evaluate(image)
        if values["total"] < best_total:
            best_total, best_image = values["total"], image.detach().clone()
    return Run(losses, deprocess(best_image))


def loss_and_gradient(
    image: np.ndarray,
    content: np.ndarray,
    style: np.ndarray,
    weights: Weights,
    dtype: torch.dtype = torch.float64,
) -> tuple[Losses, np.ndarray]:
    """Losses at an RGB image and the total's gradient with respect to it, (H, W, 3)."""
    leaf = to_tensor(image, dtype).requires_grad_(True)
    losses, total = Task(content, style, weights, dtype).evaluate(preprocess_input(leaf))
    return losses, to_array(torch.autograd.grad(total, leaf)[0])
