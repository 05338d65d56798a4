"""The recipe of a picture: what is needed to make it again."""

import functools
import math
import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import torch

from napari_neural_style.machine import processor
from napari_neural_style.settings import Settings
from napari_neural_style.transfer.update import named_losses

if TYPE_CHECKING:
    from napari_neural_style.transfer.run import Run

# What the system is called says nothing about its numbers.
_OF_NO_WEIGHT: Final = ("system", "python")
_PACKAGES: Final = ("torchvision", "numpy", "scikit-image")

# By these, libraries below torch are told to compute otherwise than the processor could.
_LIMITS: Final = (
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE"),
    *("MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR"),
)

NOTE: Final = "This image was stylized by a neural network; it is not data."


def recipe(
    run: "Run", losses: torch.Tensor | None, device: str, precision: str, shows_best: bool
) -> dict[str, Any]:
    """Put together what a run was, as plain data for JSON.

    Parameters
    ----------
    run : Run
        With its settings and its progress.
    losses : torch.Tensor or None
        (4,) of the picture.
    device, precision
        In use.
    shows_best
        Whether the picture is the best one, not the last one.
    """
    settings, progress = run.settings, run.progress
    return {
        "settings": settings.to_dict(),
        "seed": settings.seed,
        "losses": _plain(losses, settings),
        "step": progress.step,
        "total": progress.total,
        "scales": [list(shape) for shape in progress.shapes],
        "steps": progress.steps_made,
        "result": "best" if shows_best else "last",
        "inputs": run.pictures.inputs.hashes,
        "changes": run.changes,
        "begun_with": run.begun_with,
        "notes": run.notes.plain(),
        "device": device,
        "precision": precision,
        "tile": run.studio.means.tile,
        "weights": {"source": settings.weights, "sha256": run.studio.fingerprint},
        "started": run.started,
        "seconds": round(run.seconds, 3),
        "versions": versions(),
        "machine": machine(device),
        "note": NOTE,
    }


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what decides how a picture looks."""
    from napari_neural_style import __version__

    return {
        "napari-neural-style": __version__,
        "torch": torch.__version__,
        **{package: version for package in _PACKAGES if (version := _version(package))},
        "python": platform.python_version(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # torchvision is not needed
        return None


def machine(device: str) -> dict[str, str | int]:
    """Tell what computes: to the last bit, the same numbers come only from the same machine.

    Parameters
    ----------
    device
        Of torch, such as ``cpu`` or ``cuda:0``.
    """
    facts: dict[str, str | int] = {
        "system": platform.platform(),
        "processor": processor(),
        "instructions": _instructions(),
        "threads": torch.get_num_threads(),
    }
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["cuda"] = str(torch.version.cuda or torch.version.hip)
    return facts


def _instructions() -> str:
    limits = [f"{name}={os.environ[name]}" for name in _LIMITS if os.environ.get(name)]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *limits])


def environment(device: str) -> dict[str, str | int]:
    """Tell the :func:`versions` and the :func:`machine`."""
    return {**versions(), **machine(device)}


def differences(before: Mapping[str, Any], device: str) -> dict[str, tuple[Any | None, str | int]]:
    """Tell what may make other numbers here than where a run was made.

    Parameters
    ----------
    before
        The :func:`environment` of the run.
    device
        Of torch, in use now.

    Returns
    -------
    dict
        By name, as it was (None if that is not known) and as it is now.
    """
    return {
        name: (before.get(name), now)
        for name, now in environment(device).items()
        if before.get(name) != now and name not in _OF_NO_WEIGHT
    }


def told_differences(before: Mapping[str, Any], device: str) -> Iterator[str]:
    """Tell the :func:`differences` in words."""
    for name, (then, now) in differences(before, device).items():
        yield f"{name} {now} instead of {'an unknown one' if then is None else then}"
    if not device.startswith("cpu"):
        yield "GPUs do not add up in the same order each time"


def threads_of(before: Mapping[str, Any]) -> int | None:
    """Return the threads that a run had, if this machine can have as many; sums depend on them.

    Parameters
    ----------
    before
        The :func:`environment` of the run, or its :func:`machine`.
    """
    threads = before.get("threads")
    usable = type(threads) is int and 1 <= threads <= (os.cpu_count() or 1)
    return threads if usable else None


def check_weights(source: str, found: str, before: str) -> None:
    """Raise a ValueError if weights have another fingerprint than those of a run before."""
    if found != before:
        raise ValueError(
            f"The weights {source!r} are not those that it was painted with: their fingerprint "
            f"begins with {found[:12]}, and not with {before[:12]}."
        )


def _plain(losses: torch.Tensor | None, settings: Settings) -> dict[str, float] | None:
    named = None if losses is None else named_losses(losses, settings)
    # JSON knows neither NaN nor infinity.
    return named if named and all(map(math.isfinite, named.values())) else None
