"""Memory: how the encoder is cut into strips, and what a run needs in all."""

import math
from collections.abc import Collection
from typing import Final

import torch

from napari_neural_style.layers import Layer
from napari_neural_style.transfer.devices import free_memory
from napari_neural_style.transfer.encoder import Plan, Segment, segments_of
from napari_neural_style.transfer.scales import fit

# Bytes of one layer of a tile: by measurement; less is more halo, more leaves the caches.
_TILE: Final = {"cpu": (8 << 20, 16 << 20), "cuda": (1 << 30,) * 2, "mps": (1 << 30,) * 2}
# Strips of fewer rows than these become tiles.
_LEAST_ROWS: Final = 24
# Activations of a segment that are kept: computing them again costs a fifth of the time.
_KEPT: Final = {"cpu": 256 << 20, "cuda": 8 << 30, "mps": 1 << 30}
# Between the first two segments, more bytes than these are computed again.
_JOINED: Final = {"cpu": 256 << 20, "cuda": 8 << 30, "mps": 1 << 30}

# The measured peaks of runs from 256 to 4096 pixels, float32 and bfloat16, lie within a
# quarter of what follows from these.
_FIXED: Final = 280 << 20  # the weights, as loaded and as cast
_IMAGE_COPIES: Final = 9  # image, gradient, moments, best, content: three float32 each
_LAYERS_AT_ONCE: Final = 6  # of a strip
_FRAGMENTED: Final = {2: 1.7, 4: 1.2, 8: 1.2}  # kept activations, by the bytes of a number
# Share of the free memory that a run may take.
_SHARE: Final = 0.8


def plan_strips(tile: str | int, dtype: torch.dtype, device: torch.device) -> Plan:
    """Plan the strips of the encoder.

    Parameters
    ----------
    tile : "auto", "off" or int
        The setting: by cache and memory, in one piece, or so many rows of the image.
    dtype, device
        Of the encoder.
    """
    if tile == "off":
        return Plan()
    if isinstance(tile, int):
        return Plan(lambda segment, *_: (max(2, tile // segment.stride),) * 2, 0)

    def shape(segment: Segment, height: int, width: int) -> tuple[int, int]:
        wide, deep = _TILE[device.type]
        positions = (wide if segment.stride <= 2 else deep) // (segment.channels * dtype.itemsize)
        if positions // width >= min(_LEAST_ROWS, height):
            return positions // width, width
        return math.isqrt(positions), math.isqrt(positions)

    return Plan(shape, _KEPT[device.type], _JOINED[device.type])


def memory_needed(
    layers: Collection[Layer], shape: tuple[int, int], plan: Plan, dtype: torch.dtype
) -> int:
    """Estimate the peak memory of a run at its largest size, in bytes.

    Parameters
    ----------
    layers : collection of Layer
        Every layer of the run.
    shape : tuple of int
        Height and width of the image, in pixels.
    plan, dtype
        Of the encoder.
    """
    height, width = shape
    inputs, kept, working = 0.0, 0.0, 0.0
    channels = 3
    for segment in segments_of(layers):
        h, w = height // segment.stride, width // segment.stride
        inputs += channels * h * w * dtype.itemsize
        channels = segment.channels
        activations = segment.numbers(h, w) * dtype.itemsize
        if activations <= plan.kept_bytes:
            kept += activations + channels * h * w / 4 * 8  # and where the maxima were
        rows, columns = plan.tile(segment, h, w) or (h, w)
        tile = channels * min(rows, h) * min(columns, w) * dtype.itemsize
        working = max(working, _LAYERS_AT_ONCE * tile)
    images = _IMAGE_COPIES * 3 * 4 * height * width
    # On the way back, gradients of the inputs live beside them, and the content's targets.
    held = images + 1.8 * inputs
    return int(_FIXED + held + kept * _FRAGMENTED[dtype.itemsize] + working)


def check_memory(
    layers: Collection[Layer],
    shape: tuple[int, int],
    plan: Plan,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Raise a ValueError that says what size would fit, if a run cannot."""
    free = free_memory(device) * _SHARE

    def needed_at(side: int) -> int:
        return memory_needed(layers, fit(*shape, side), plan, dtype)

    needed = needed_at(max(shape))
    if needed > free:
        smaller = range(max(shape) // 16 * 16, 16, -16)
        fits = next((side for side in smaller if needed_at(side) <= free), 16)
        raise ValueError(
            f"An image of {shape[1]} x {shape[0]} pixels needs about {needed / 2**30:.1f} GB of "
            f"memory, and {free / 2**30:.1f} GB are free on {device}: choose a size of at most "
            f"{fits} pixels."
        )
