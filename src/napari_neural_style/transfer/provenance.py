"""The recipe of a picture: what is needed to make it again."""

import math
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from napari_neural_style.settings import Settings
from napari_neural_style.transfer.progress import Progress
from napari_neural_style.transfer.update import named_losses


def recipe(
    settings: Settings,
    progress: Progress,
    losses: torch.Tensor | None,
    weights: str,
    device: str,
    precision: str,
) -> dict[str, Any]:
    """Put together what a run was, as plain data for JSON.

    Parameters
    ----------
    settings, progress
        Of the run.
    losses : torch.Tensor or None
        (4,) of the picture.
    weights : str
        The fingerprint of the encoder's weights.
    device, precision
        In use.
    """
    from napari_neural_style import __version__

    shapes: Sequence[tuple[int, int]] = progress.shapes
    return {
        "settings": settings.to_dict(),
        "seed": settings.seed,
        "losses": _plain(losses),
        "step": progress.step,
        "total": sum(progress.steps),
        "scales": [list(shape) for shape in shapes],
        "steps": progress.steps_made,
        "device": device,
        "precision": precision,
        "weights": {"source": settings.weights, "sha256": weights},
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
