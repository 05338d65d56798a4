"""Memory: how the encoder is cut into tiles, and what a run needs in all."""

import math
from typing import Final

import torch

from napari_neural_style.settings import Settings
from napari_neural_style.transfer.devices import free_memory
from napari_neural_style.transfer.encoder import Plan, Segment, segments_of
from napari_neural_style.transfer.objective import layer_weights, layers_of
from napari_neural_style.transfer.optimizers import images_held
from napari_neural_style.transfer.scales import fit

# Bytes of one layer of a tile: by measurement; less is more halo, more leaves the caches.
_TILE: Final = {"cpu": (8 << 20, 16 << 20), "cuda": (1 << 30,) * 2, "mps": (1 << 30,) * 2}
# Strips of fewer rows than these become tiles.
_LEAST_ROWS: Final = 24
# Activations of a segment that are kept: computing them again costs a fifth of the time.
_KEPT: Final = {"cpu": 320 << 20, "cuda": 8 << 30, "mps": 1 << 30}
# Between the first two segments, more bytes than these are computed again.
_JOINED: Final = {"cpu": 256 << 20, "cuda": 8 << 30, "mps": 1 << 30}

# The measured peaks of runs from 256 to 4096 pixels lie within a quarter of what follows.
_FIXED: Final = 450 << 20  # Python, torch, and the weights as loaded and as laid out
_IMAGES: Final = 3.5  # content, image, its gradient and, in half precision, the best one
_LAYERS_AT_ONCE: Final = 5  # of a tile
_FRAGMENTED: Final = 1.15
# Share of the free memory that a run may take.
_SHARE: Final = 0.8


def plan_tiles(tile: str | int, dtype: torch.dtype, device: torch.device) -> Plan:
    """Plan the tiles of the encoder.

    Parameters
    ----------
    tile : "auto", "off" or int
        The setting: by cache and memory, in one piece, or of so many pixels each way.
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
    settings: Settings, shape: tuple[int, int], plan: Plan, dtype: torch.dtype
) -> int:
    """Estimate the peak memory of a program that makes a run and nothing else, in bytes.

    Parameters
    ----------
    settings : Settings
        Of the run.
    shape : tuple of int
        Height and width of the image at its largest, in pixels.
    plan, dtype
        Of the encoder.
    """
    height, width = shape
    image = 3 * max(4, dtype.itemsize) * height * width
    held = image * (_IMAGES + images_held(settings, image))
    for layer in layer_weights(settings.content_layers):
        held += dtype.itemsize * layer.channels * (height // layer.stride) * (width // layer.stride)
    return int(_FIXED + held + _FRAGMENTED * _encoder_peak(settings, shape, plan, dtype))


def _encoder_peak(
    settings: Settings, shape: tuple[int, int], plan: Plan, dtype: torch.dtype
) -> float:
    """Bytes of inputs, kept features, gradients and the tile at work, when they are most."""
    wanted = layers_of(settings)
    segments = segments_of(wanted, plan.joins(*shape, dtype))
    peak = kept = source = 0.0
    for segment in segments:
        height, width = (side // segment.stride for side in shape)
        kept += source
        features = segment.numbers(height, width) * dtype.itemsize
        whole = plan.keeps(segment, height, width, dtype)
        kept += features if whole else features / (8 * dtype.itemsize)
        last = segment.layers[-1]
        ratio = segment.relative(last)
        output = dtype.itemsize * last.channels * (height // ratio) * (width // ratio)
        rows, columns = plan.tile(segment, height, width) or (height, width)
        positions = min(rows, height) * min(columns, width)
        working = _LAYERS_AT_ONCE * dtype.itemsize * segment.channels * positions
        # On the way back, the gradients of output and input live beside them.
        peak = max(peak, kept + output + source + working)
        source = output
    return peak


def check_memory(
    settings: Settings,
    shape: tuple[int, int],
    plan: Plan,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Raise a ValueError that says what size would fit, if a run cannot."""
    free = free_memory(device) * _SHARE

    def needed_at(side: int) -> int:
        return memory_needed(settings, fit(*shape, side), plan, dtype)

    needed = needed_at(max(shape))
    if needed > free:
        smaller = range(max(shape) // 16 * 16, 16, -16)
        fits = next((side for side in smaller if needed_at(side) <= free), 16)
        raise ValueError(
            f"An image of {shape[1]} x {shape[0]} pixels needs about {needed / 2**30:.1f} GB of "
            f"memory, and {free / 2**30:.1f} GB are free on {device}: choose a size of at most "
            f"{fits} pixels."
        )
