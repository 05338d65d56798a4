"""How close a step comes to the machine: its share of the rate of one large convolution.

    python benchmarks/roofline.py [--sizes 256 512 1024] [--precision bfloat16]

The floating-point operations of a step are counted from the layers: convolutions and
Gram matrices, forward and back. What is computed again to save memory does not count.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from napari_neural_style import Settings, StyleTransfer
from napari_neural_style.layers import LAYERS
from napari_neural_style.transfer.devices import PRECISIONS, choose_device, choose_precision
from napari_neural_style.transfer.objective import layer_weights, layers_of


def operations(settings: Settings, height: int, width: int) -> float:
    """Floating-point operations of one evaluation of loss and gradient."""
    total, channels = 0.0, 3
    deepest = max(layer.index for layer in layers_of(settings))
    grams = layer_weights(settings.style_layers)
    for layer in LAYERS[: deepest + 1]:
        positions = (height // layer.stride) * (width // layer.stride)
        if layer.kind == "conv":
            total += 2 * 2 * 9 * channels * layer.channels * positions
            channels = layer.channels
        if layer in grams:
            total += 2 * 2 * layer.channels**2 * positions
    return total


def median_seconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median time of some work, after two runs to warm up."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def convolution_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a 256-channel 3 x 3 convolution on 128 x 128 positions."""
    image = torch.rand(1, 256, 128, 128, device=device).to(dtype, memory_format=torch.channels_last)
    weight = torch.rand(256, 256, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    with torch.no_grad():
        seconds = median_seconds(lambda: F.conv2d(image, weight, padding=1), 20, device)
    return 2 * 9 * 256 * 256 * 128 * 128 / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--precision", choices=["auto", *PRECISIONS], default="auto")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = choose_device(options.device)
    dtype = choose_precision(options.precision, device)
    rate = convolution_rate(dtype, device)
    print(f"{device}, {dtype}: one convolution runs at {rate / 1e9:.0f} GFLOP/s")
    print("size    GFLOP/step    s/step    GFLOP/s    share    Mpixel/s")
    rng = np.random.default_rng(0)
    for size in options.sizes:
        content, style = rng.random((size, size, 3)), rng.random((size, size, 3))
        transfer = StyleTransfer(
            content,
            style,
            scales=(size,),
            steps=30,
            precision=options.precision,
            device=options.device,
        )
        steps = iter(transfer)
        seconds = median_seconds(lambda: next(steps), 9, device)  # noqa: B023
        counted = operations(transfer.settings, size, size)
        print(
            f"{size:4d} {counted / 1e9:13.0f} {seconds:9.3f} {counted / seconds / 1e9:10.0f}"
            f" {counted / seconds / rate:8.0%} {size * size / seconds / 1e6:11.2f}"
        )


if __name__ == "__main__":
    main()
