"""Memory: how the encoder is cut into strips, and what a run needs in all."""

import math
from bisect import bisect_right
from typing import Final

import torch

from napari_neural_style.settings import Settings, layer_weights
from napari_neural_style.transfer import winograd
from napari_neural_style.transfer.devices import free_memory
from napari_neural_style.transfer.encoder import Plan, Segment
from napari_neural_style.transfer.objective import kept_dtype, layers_of
from napari_neural_style.transfer.optimizers import images_held
from napari_neural_style.transfer.scales import fit

# Bytes of the first layer of a strip: by measurement; many rows leave the caches.
_STRIP: Final = {"cpu": 8 << 20, "cuda": 1 << 30, "mps": 1 << 30}
# Positions of a strip's deepest layer in float32: for fewer, oneDNN takes other ways to
# convolve, with other last digits, of which L-BFGS makes much.
_LEAST_POSITIONS: Final = 512
# Features of a segment that are kept, and of a layer that are wanted.
_KEPT: Final = {"cpu": 800 << 20, "cuda": 8 << 30, "mps": 1 << 30}
_WANTED: Final = {"cpu": 320 << 20, "cuda": 8 << 30, "mps": 1 << 30}

# The measured peaks of runs from 256 to 4096 pixels lie within a quarter of what follows.
_FIXED: Final = 450 << 20  # Python, torch, and the weights as loaded and as laid out
_IMAGES: Final = 3.5  # content, image, its gradient and, in half precision, the best one
_LAYERS_AT_ONCE: Final = 5  # of a strip
_FRAGMENTED: Final = 1.15
_MASKED: Final = 2.5  # the content below, the two laid over each other, and the guides
# Share of the free memory that a run may take.
_SHARE: Final = 0.8


def plan_tiles(tile: str | int, dtype: torch.dtype, device: torch.device) -> Plan:
    """Plan the strips of the encoder.

    Parameters
    ----------
    tile : "auto", "off" or int
        The setting: by cache and memory, in one piece, or of as many pixels as a square tile.
    dtype, device
        Of the encoder.
    """
    # In float32 on a CPU, convolutions are computed by tiles.
    by_tiles = device.type == "cpu" and dtype == torch.float32
    rows_together = winograd.TILE if by_tiles else 1
    if tile == "off":
        return Plan(tile=rows_together)

    def rows(segment: Segment, height: int, width: int) -> int:
        if isinstance(tile, int):
            side = tile // segment.stride
            rows = side * side // max(side, width)
        else:
            rows = _STRIP[device.type] // (segment.channels * dtype.itemsize * width)
        if dtype.itemsize < 4:
            return max(1, rows)
        deepest = max(segment.relative(layer) for layer in segment.layers if layer.kind == "conv")
        least = math.ceil(_LEAST_POSITIONS / max(1, width // deepest))
        return max(rows, segment.reach + deepest * least)

    if isinstance(tile, int):
        return Plan(rows, 0, 0, rows_together)
    return Plan(rows, _KEPT[device.type], _WANTED[device.type], rows_together)


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
    held += 0 if settings.mask is None else image * _MASKED
    for layer in layer_weights(settings.content_layers):
        numbers = layer.channels * (height // layer.stride) * (width // layer.stride)
        held += kept_dtype(dtype, numbers).itemsize * numbers
    return int(_FIXED + held + _FRAGMENTED * _encoder_peak(settings, shape, plan, dtype))


def _encoder_peak(
    settings: Settings, shape: tuple[int, int], plan: Plan, dtype: torch.dtype
) -> float:
    """Bytes of what is kept between the way there and back, and of the strip at work."""
    wanted = layers_of(settings)
    kept = working = 0.0
    for segment in plan.segments(wanted, *shape, dtype):
        height, width = (side // segment.stride for side in shape)
        rows = min(plan.rows(segment, height, width) or height, height)
        strip = dtype.itemsize * segment.channels * rows * width
        working = max(working, _LAYERS_AT_ONCE * strip)
        everything = plan.keeps(segment, height, width, dtype)
        again = plan.again(segment, wanted, height, width, dtype)
        for layer in segment.layers:
            size = dtype.itemsize * layer.channels * segment.positions(layer, height, width)
            if layer.kind == "pool":  # the next segment's input, and then its gradient
                kept += size if layer is segment.layers[-1] else 0
            elif layer in again:
                continue
            elif layer.kind == "relu" and not everything and layer not in wanted:
                kept += size / (8 * dtype.itemsize)
            elif layer.kind == "relu" or layer in wanted:
                kept += size
    return kept + working


def room(settings: Settings, device: torch.device, held: int = 0) -> int:
    """Bytes that a run may take on a device, where it holds some of them already."""
    free = int((free_memory(device) + held) * _SHARE)
    limit = settings.memory_limit
    return free if limit is None else int(min(free, limit * 2**30))


def check_memory(
    settings: Settings,
    shape: tuple[int, int],
    plan: Plan,
    dtype: torch.dtype,
    device: torch.device,
    held: int = 0,
) -> None:
    """Raise a ValueError that says what size would fit, if a run cannot.

    Parameters
    ----------
    settings, shape, plan, dtype
        As :func:`memory_needed` takes them.
    device : torch.device
        Of the run.
    held : int
        Bytes that it holds there already.
    """
    there = room(settings, device, held)

    def needed_at(side: int) -> int:
        return memory_needed(settings, fit(*shape, side), plan, dtype)

    needed = needed_at(max(shape))
    if needed > there:
        sides = range(16, max(shape) + 1, 16)
        fits = sides[max(0, bisect_right(sides, there, key=needed_at) - 1)]
        limit = settings.memory_limit
        if limit is not None and there <= limit * 2**30 < there + 1:
            lack, way_out = f"memory_limit allows {limit:g} GB", ", or a higher limit"
        else:
            lack, way_out = f"{there / 2**30:.1f} GB are free on {device}", ""
        raise ValueError(
            f"An image of {shape[1]} x {shape[0]} pixels needs about {needed / 2**30:.1f} GB of "
            f"memory, and {lack}: choose a size of at most {fits} pixels{way_out}."
        )
