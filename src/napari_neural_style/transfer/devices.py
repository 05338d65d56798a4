"""Devices, precision and memory."""

import functools
import shutil
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

import psutil
import torch
from torch.nn import functional as F

from napari_neural_style.layers import Layer
from napari_neural_style.transfer.encoder import Segment, StripPlan, segments_of
from napari_neural_style.transfer.scales import fit

PRECISIONS = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}


class Device(NamedTuple):
    """A device that a run can use."""

    name: str
    """As the setting ``device`` takes it: ``cpu``, ``cuda:0``, ``mps``."""
    label: str
    """For a person to read."""


def available_devices() -> list[Device]:
    """List every device of this machine, the fastest first."""
    devices = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            memory = f"{properties.total_memory / 2**30:.0f} GB"
            devices.append(Device(f"cuda:{index}", f"{properties.name}, {memory}"))
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU"))
    cores = psutil.cpu_count(logical=False) or torch.get_num_threads()
    devices.append(Device("cpu", f"CPU, {cores} core{'s' if cores > 1 else ''}"))
    return devices


def advice() -> str | None:
    """Say how to get the GPU used, where there is one that this torch cannot use."""
    if torch.cuda.is_available() or not shutil.which("nvidia-smi"):
        return None
    if torch.version.cuda is None and torch.version.hip is None:
        return (
            "This machine has an NVIDIA card, but the installed torch is built for the CPU only: "
            "reinstall it with the command that https://pytorch.org/get-started/locally shows "
            "for CUDA, then restart napari."
        )
    return (
        "This machine has an NVIDIA card that torch cannot use: update NVIDIA's driver, "
        "or see https://pytorch.org/get-started/locally."
    )


def choose_device(name: str) -> torch.device:
    """Find the device of a setting.

    Raises
    ------
    ValueError
        If this machine has no such device; the message lists those it has.
    """
    devices = available_devices()
    if name == "auto":
        return torch.device(devices[0].name)
    names = [device.name for device in devices]
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in names:
        hint = f" {advice()}" if name.startswith("cuda") and advice() else ""
        raise ValueError(
            f"device={name!r} is not there: this machine offers torch {', '.join(names)}.{hint}"
        )
    return torch.device(wanted)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Precision of the encoder for a setting; ``auto`` takes the fastest that is good enough.

    Raises
    ------
    ValueError
        If the device cannot compute in that precision.
    """
    if name == "auto":
        return _fastest_precision(device)
    if name == "float64" and device.type == "mps":
        raise ValueError("precision='float64' does not exist on Apple GPUs: use device='cpu'.")
    return PRECISIONS[name]


@functools.cache
def _fastest_precision(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        # Since compute capability 8 (2020) bfloat16 runs at the speed of float16.
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if ampere else torch.float16
    if device.type == "mps":
        return torch.float16
    # A CPU's bfloat16 is two to nine times faster with AVX512-BF16 or AMX, slower
    # without: measure, since a list of processors would never be complete.
    half, single = (_convolution(dtype) for dtype in (torch.bfloat16, torch.float32))
    # On one thread, in turns and the best of many, so that other programs do not decide.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = [(_seconds(half), _seconds(single)) for _ in range(8)]
    finally:
        torch.set_num_threads(threads)
    fastest_half, fastest_single = (min(column) for column in zip(*times, strict=True))
    return torch.bfloat16 if fastest_half < 0.8 * fastest_single else torch.float32


def _convolution(dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    """Return a typical convolution to time."""
    image = torch.rand(1, 128, 64, 64).to(dtype, memory_format=torch.channels_last)
    weight = torch.rand(128, 128, 3, 3).to(dtype, memory_format=torch.channels_last)
    return lambda: F.conv2d(image, weight, padding=1)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def free_memory(device: torch.device) -> int:
    """Bytes that a run may take on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return int(psutil.virtual_memory().available)


# ----------------------------------------------------------------- strips and memory

# Bytes of one layer of a strip: of the two widest segments it stays in a core's cache, …
_CACHED = 2 << 20
# … the others are small enough for one piece up to here; a GPU wants large ones.
_PIECE = 48 << 20
_ON_A_GPU = 1 << 30
_LEAST_ROWS = 8
# Activations of a segment that are kept: computing them again costs a fifth of the time.
_KEPT = {"cpu": 256 << 20, "cuda": 8 << 30, "mps": 1 << 30}

# What a run holds of its image size: the image, its gradient, Adam's two moments, the
# best image, the content and what passing operations need, three float32 channels each.
_IMAGE_COPIES = 12
# A strip is computed and gone back through with about so many layers at once.
_LAYERS_AT_ONCE = 8
# Share of the free memory that a run may take.
_SHARE = 0.8


def plan_strips(tile: str | int, dtype: torch.dtype, device: torch.device) -> StripPlan:
    """Plan the strips of the encoder.

    Parameters
    ----------
    tile : "auto", "off" or int
        The setting: by cache and memory, in one piece, or so many rows of the image.
    dtype, device
        Of the encoder.
    """
    if tile == "off":
        return StripPlan()
    if isinstance(tile, int):
        return StripPlan(lambda segment, width: max(2, tile // segment.stride), 0)

    def rows(segment: Segment, width: int) -> int:
        row = segment.channels * width * dtype.itemsize
        size = _CACHED if segment.stride <= 2 else _PIECE
        return max(_LEAST_ROWS, (size if device.type == "cpu" else _ON_A_GPU) // row)

    return StripPlan(rows, _KEPT[device.type])


def memory_needed(
    layers: Collection[Layer],
    shape: tuple[int, int],
    tile: str | int,
    dtype: torch.dtype,
    device: torch.device,
) -> int:
    """Estimate the memory that a run takes at a size, in bytes."""
    height, width = shape
    plan = plan_strips(tile, dtype, device)
    held = _IMAGE_COPIES * 3 * 4.0 * height * width
    working = 0.0
    for segment in segments_of(layers):
        h, w = height // segment.stride, width // segment.stride
        in_strip = min(plan.rows(segment, w) or h, h)
        layer = segment.channels * w * dtype.itemsize
        kept = len(segment.layers) / 2 * layer * h
        # The input of a segment is kept, and its gradient as long.
        held += 2 * (segment.layers[0].channels / 2) * w * h * dtype.itemsize
        if kept <= plan.kept_bytes:
            held += kept
        working = max(working, _LAYERS_AT_ONCE * layer * in_strip)
    return int(held + working)


def check_memory(
    layers: Collection[Layer],
    shape: tuple[int, int],
    tile: str | int,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Raise a ValueError that says what size would fit, if a run cannot."""
    free = free_memory(device) * _SHARE

    def needed_at(side: int) -> int:
        return memory_needed(layers, fit(*shape, side), tile, dtype, device)

    needed = needed_at(max(shape))
    if needed > free:
        smaller = range(max(shape) // 16 * 16, 16, -16)
        fits = next((side for side in smaller if needed_at(side) <= free), 16)
        raise ValueError(
            f"An image of {shape[1]} x {shape[0]} pixels needs about {needed / 2**30:.1f} GB of "
            f"memory, and {free / 2**30:.1f} GB of {device} can be used: choose a size of at most "
            f"{fits} pixels."
        )
