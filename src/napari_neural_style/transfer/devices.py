"""Devices, precision and memory."""

import functools
import shutil
from typing import NamedTuple

import psutil
import torch

from napari_neural_style.transfer.precision import fastest_on_cpu

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


def same_or_best(before: str) -> str:
    """Return the device that a run had, if there is one of this name, and else ``auto``."""
    return before if before in [device.name for device in available_devices()] else "auto"


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
    return fastest_on_cpu()


def free_memory(device: torch.device) -> int:
    """Bytes that a run may take on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return int(psutil.virtual_memory().available)
