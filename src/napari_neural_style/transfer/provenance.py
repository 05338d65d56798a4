"""The recipe of a picture: what is needed to make it again."""

import functools
import math
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import torch

from napari_neural_style.machine import processor
from napari_neural_style.settings import Settings
from napari_neural_style.transfer.update import named_losses

if TYPE_CHECKING:
    from napari_neural_style.transfer.run import Run

_PACKAGES: Final = ("torchvision", "numpy", "scikit-image")

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
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["cuda"] = str(torch.version.cuda or torch.version.hip)
    return facts


def _plain(losses: torch.Tensor | None, settings: Settings) -> dict[str, float] | None:
    named = None if losses is None else named_losses(losses, settings)
    # JSON knows neither NaN nor infinity.
    return named if named and all(map(math.isfinite, named.values())) else None
