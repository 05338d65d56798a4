"""The recipe of a picture: what is needed to make it again."""

import math
import platform
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_neural_style.transfer.update import named_losses

if TYPE_CHECKING:
    from napari_neural_style.transfer.run import Run


def recipe(run: "Run", losses: torch.Tensor | None, device: str, precision: str) -> dict[str, Any]:
    """Put together what a run was, as plain data for JSON.

    Parameters
    ----------
    run : Run
        With its settings and its progress.
    losses : torch.Tensor or None
        (4,) of the picture.
    device, precision
        In use.
    """
    from napari_neural_style import __version__

    settings, progress = run.settings, run.progress
    return {
        "settings": settings.to_dict(),
        "seed": settings.seed,
        "losses": _plain(losses),
        "step": progress.step,
        "total": progress.total,
        "scales": [list(shape) for shape in progress.shapes],
        "steps": progress.steps_made,
        "styles": list(run.pictures.inputs.style_digests),
        "changes": run.changes,
        "device": device,
        "precision": precision,
        "weights": {"source": settings.weights, "sha256": run.studio.fingerprint},
        "versions": {
            "napari-neural-style": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "note": "This image was stylized by a neural network; it is not data.",
    }


def _plain(losses: torch.Tensor | None) -> dict[str, float] | None:
    named = None if losses is None else named_losses(losses)
    # JSON knows neither NaN nor infinity.
    return named if named and all(map(math.isfinite, named.values())) else None
