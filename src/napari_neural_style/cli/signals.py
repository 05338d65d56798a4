"""Ctrl-C, SIGTERM and a closed terminal end a run in good order."""

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class StopSignals:
    """Let the first signal end the painting in good order, a second one at once."""

    def __init__(self) -> None:
        self.stop: Callable[[], None] | None = None
        """What ends the painting; None while there is none."""
        self.leaves = True
        """Whether a second signal ends the command at once; it does so but once."""
        self.status = 0
        """Exit status of the signal that came; 0 for none."""
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        # Python lets only the main thread handle signals.
        if threading.current_thread() is threading.main_thread():
            for number in _signals():
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.status != 0
        self.status = 128 + number
        if not again and self.stop is not None:
            self.stop()
        elif self.leaves:
            self.leaves = self.stop is None
            sys.exit(self.status)


def _signals() -> list[int]:
    numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
    # Of a terminal that is closed; nohup lets a run outlast it.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        numbers.append(hangup)
    return numbers
