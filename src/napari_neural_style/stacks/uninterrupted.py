"""Loaded by the workers of a local cluster: Ctrl-C is for the process that started them."""

import signal
from typing import Any


def dask_setup(_worker: Any) -> None:
    """Ignore interrupts, which a terminal sends to all processes; the first one ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
