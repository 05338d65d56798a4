"""Ctrl-C and SIGTERM end a run in good order."""

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class StopSignals:
    """Let the first Ctrl-C or SIGTERM end the painting in good order, a second one at once."""

    def __init__(self) -> None:
        self.stop: Callable[[], None] | None = None
        """What ends the painting; None while there is none."""
        self.status = 0
        """Exit status of the signal that came; 0 for none."""
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        # Python lets only the main thread handle signals.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.status != 0
        self.status = 128 + number
        if again or self.stop is None:
            sys.exit(self.status)
        self.stop()
