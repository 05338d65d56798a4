"""Which precision is the fastest on this processor: measured once, then remembered."""

import contextlib
import hashlib
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import platformdirs
import torch

from napari_neural_style.transfer.convolution import Convolution

_CANDIDATES: Final = {"bfloat16": torch.bfloat16, "float32": torch.float32}
# What tells one processor from another in Linux' /proc/cpuinfo. A virtual machine's name
# for it can be anything; what it can do counts.
_CPUINFO: Final = ("model name", "flags", "CPU implementer", "CPU part", "Features")


def fastest_on_cpu() -> torch.dtype:
    """Precision that convolves fastest on this CPU, of those good enough for a picture.

    The outcome of the measurement is kept in :func:`memory_file`; without such a file, or
    with a damaged one, it is measured anew.
    """
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        remembered = memory_file().read_text("utf-8").strip()
        if remembered in _CANDIDATES:
            return _CANDIDATES[remembered]
    fastest = _measured()
    with contextlib.suppress(OSError, RuntimeError):  # it is measured again the next time
        _write(memory_file(), str(fastest).removeprefix("torch.") + "\n")
    return fastest


def memory_file() -> Path:
    """Where the outcome is kept for this torch on this processor, there or not.

    Raises
    ------
    RuntimeError
        If the user has no home directory.
    """
    # A home directory may be shared by machines with different processors.
    key = f"{torch.__version__}\n{torch.backends.cpu.get_cpu_capability()}\n{_processor()}"
    name = f"precision-{hashlib.sha256(key.encode()).hexdigest()[:16]}.txt"
    return platformdirs.user_cache_path("napari-neural-style", appauthor=False) / name


def _processor() -> str:
    lines = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        for line in cpuinfo:
            if not line.strip():  # the first core's part ends
                break
            if line.startswith(_CPUINFO):
                lines.append(line.strip())
    return "\n".join(lines)


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.part")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _measured() -> torch.dtype:
    # A CPU's bfloat16 is up to nine times faster with AMX, and slower without: measure what
    # the encoder does, since a list of processors would never be complete.
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
    # Not random numbers: those that a user draws must not depend on a measurement.
    image = torch.ones(1, 128, 64, 64).to(dtype, memory_format=torch.channels_last)
    convolution = Convolution(torch.ones(128, 128, 3, 3).to(dtype), None)
    return lambda: convolution(image)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
