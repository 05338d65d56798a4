"""What painted the planes of a stack, and when: for its recipe."""

import functools
import time
from datetime import UTC, datetime
from typing import Any

from napari_neural_style.settings import Settings
from napari_neural_style.transfer.provenance import machine, versions
from napari_neural_style.transfer.weights import fingerprint, load_weights


class Session:
    """One go at painting the planes of a stack.

    Parameters
    ----------
    settings
        Of the planes.
    here
        Whether this machine paints; of a cluster's workers, nothing is known.
    """

    def __init__(self, settings: Settings, here: bool) -> None:
        self._began = time.perf_counter()
        self._facts: dict[str, Any] = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "weights": {"source": settings.weights, "sha256": _fingerprint(settings.weights)},
        }
        self._facts |= _means(settings) if here else {"painted_by": "dask.distributed"}

    def told(self, planes: int) -> dict[str, Any]:
        """Return what there is to tell of it after some planes, as plain data for JSON."""
        seconds = round(time.perf_counter() - self._began, 3)
        return {**self._facts, "seconds": seconds, "planes": planes}


def _means(settings: Settings) -> dict[str, Any]:
    from napari_neural_style.transfer import devices

    device = devices.choose_device(settings.device)
    precision = devices.choose_precision(settings.precision, device)
    return {
        "device": str(device),
        "precision": str(precision).removeprefix("torch."),
        "machine": machine(str(device)),
    }


@functools.cache
def _fingerprint(source: str) -> str:
    """Of the weights as they are in their file: planes normalise them, or not."""
    return fingerprint(load_weights(source))
