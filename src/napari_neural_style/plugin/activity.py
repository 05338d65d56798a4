"""The run's bar in napari's activity dock."""

import time
from collections.abc import Callable
from typing import Final

from napari.utils.progress import cancelable_progress

from .window import hold_indicators, release_indicators, turn_indicators

# Seconds between two changes of a bar.
_INTERVAL: Final = 1.0


class ActivityBar:
    """A progress bar in the activity dock, with the time left and a cancel button.

    Make and use it in the GUI's thread only. Every call but :meth:`close` lets napari
    process events, so that anything may have happened when it returns.

    Parameters
    ----------
    description
        What goes on.
    cancel
        Called when the user cancels.
    """

    def __init__(self, description: str, cancel: Callable[[], None]) -> None:
        self._bar = cancelable_progress(total=0, desc=description)
        # napari's own cancel only ends a loop over the bar, and there is none.
        self._bar.cancel = cancel
        self._due = 0.0
        hold_indicators()

    def turn(self) -> None:
        """Show that it goes on, with nothing but the indicator of the status bar."""
        turn_indicators()

    def show(self, step: int, total: int, text: str) -> None:
        """Show how many steps are done, and a text behind the bar; once a second."""
        now = time.monotonic()
        if now < self._due and step < total:
            return
        self._due = now + _INTERVAL
        if self._bar.total != total:
            self._bar.total = total
        self._bar.update(step - self._bar.n)
        self._bar.events.eta(value=text)

    def close(self) -> None:
        """Remove the bar."""
        release_indicators()
        self._bar.close()
