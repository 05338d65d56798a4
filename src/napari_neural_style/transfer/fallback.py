"""When the memory runs out: with what less a run can go on."""

import functools
import re
from collections.abc import Callable
from typing import Final, NamedTuple, ParamSpec, TypeVar

import torch

from napari_neural_style.machine import NOT_ENOUGH_MEMORY
from napari_neural_style.settings import Settings
from napari_neural_style.transfer.devices import choose_precision

# Smaller ones save nothing more.
_TILES: Final = (1024, 512, 256, 128, 64)

# How torch, its parts for CUDA and MPS, C++ and oneDNN say it, in a RuntimeError.
_SIGNS: Final = re.compile(
    "allocate memory|out of memory|ALLOC_FAILED|bad_alloc"
    "|could not (create|execute) a (primitive|memory object)$"
)

P = ParamSpec("P")
T = TypeVar("T")


class Means(NamedTuple):
    """What a run computes with."""

    device: torch.device
    precision: torch.dtype
    """Of the encoder."""
    tile: str | int
    """As the setting."""

    def named_after(self, before: "Means") -> str:
        """What is other than before, in words: "on cpu in tiles of 512 pixels"."""
        parts = []
        if self.device != before.device:
            parts.append(f"on {self.device}")
        if self.precision != before.precision:
            parts.append(f"in {str(self.precision).removeprefix('torch.')}")
        if self.tile != before.tile and isinstance(self.tile, int):
            parts.append(f"in tiles of {self.tile} pixels")
        return " ".join(parts)

    def free_cache(self) -> None:
        """Give the device back what torch keeps for later."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()


def fall_back(means: Means, settings: Settings, needed: Callable[[Means], int]) -> Means | None:
    """Choose the next lesser means: smaller tiles; on a GPU half precision, then the CPU.

    Parameters
    ----------
    means : Means
        Those that the memory was not enough for.
    settings : Settings
        Of the run.
    needed : callable
        The memory that a run with some means needs, in bytes.

    Returns
    -------
    Means or None
        How to go on; None if nothing is left.
    """
    tiled = smaller_tiles(means, needed)
    if tiled is not None:
        return tiled
    if means.device.type == "cpu":
        return None
    if means.precision == torch.float32:
        return means._replace(precision=choose_precision("auto", means.device))
    cpu = torch.device("cpu")
    wanted = "auto" if settings.tile == "off" else settings.tile
    return Means(cpu, choose_precision(settings.precision, cpu), wanted)


def smaller_tiles(means: Means, needed: Callable[[Means], int]) -> Means | None:
    """Choose the next smaller tiles with which less memory is needed; None if there are none."""
    for tile in _TILES:
        tiled = means._replace(tile=tile)
        smaller = isinstance(means.tile, str) or tile < means.tile
        if smaller and needed(tiled) < needed(means):
            return tiled
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Whether there was not enough memory; on a CPU torch has no exception of its own for that."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _SIGNS.search(str(error)) is not None
    )


def memory_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function raise MemoryError, and nothing else, when there is not enough memory."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # Not from the error: it holds on to what did not fit.
        raise MemoryError(NOT_ENOUGH_MEMORY)

    return wrapped
