"""How a run on the command line goes on."""

import sys
import time
from typing import TYPE_CHECKING

from napari_neural_style.cli.bar import Bar, make_bar
from napari_neural_style.pace import Pace, duration

if TYPE_CHECKING:
    from napari_neural_style.transfer.engine import StyleTransfer
    from napari_neural_style.transfer.update import Update

_SECONDS_BETWEEN_LOSSES = 0.5


class Progress:
    """A bar on stderr with the losses and the time that is left."""

    def __init__(self, transfer: "StyleTransfer", quiet: bool) -> None:
        self._transfer = transfer
        # A bar's own estimate takes all steps for equal; large scales are slower.
        self._pace = Pace([height * width for height, width in transfer.scales])
        self._quiet = quiet
        self._bar: Bar | None = None
        self._losses_due = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def warn(self, note: str) -> None:
        """Say what even the quiet should know."""
        if self._bar is None:
            print(note, file=sys.stderr)
        else:
            self._bar.write(note, file=sys.stderr)

    def show(self, update: "Update") -> None:
        """Show how far it is."""
        if self._quiet:
            return
        if self._bar is None:  # not before it is known where a resumed run goes on
            self._bar = make_bar(
                f"Painting on {self._transfer.device}", update.step - 1, update.total
            )
        if update.note:
            self._bar.write(update.note, file=sys.stderr)
        self._bar.total = update.total  # which may change
        self._pace.step(update.scale)
        now = time.monotonic()
        if now >= self._losses_due or update.step == update.total:
            # Seldom: on a GPU, reading the losses waits for the device.
            losses = update.losses
            shown = [f"{name} {losses[name]:.3g}" for name in ("content", "style", "total")]
            seconds = self._pace.seconds_left(self._transfer.steps)
            if seconds is not None:
                shown.insert(0, f"{duration(seconds)} left")
            self._bar.set_postfix_str(", ".join(shown), refresh=False)
            self._losses_due = now + _SECONDS_BETWEEN_LOSSES
        self._bar.update()
