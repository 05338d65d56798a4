"""A run saved every so often."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from napari_neural_style.transfer.engine import StyleTransfer
    from napari_neural_style.transfer.update import Update

# Saves take this share of a run's time at most.
_SHARE: Final = 0.05


class Checkpoints:
    """Saves a run while it goes on, so that it can be resumed whatever ends the program.

    Parameters
    ----------
    transfer : StyleTransfer
        The run.
    path : str or path
        The checkpoint; at any moment whole, and that of one save or the next.
    every : float
        Seconds from one save to the next, at least: there are fewer where they would take
        more than a twentieth of the time. With 0 every step is saved.
    clock : callable
        The time in seconds, from any moment on.

    Raises
    ------
    OSError
        If no file could be written there, or one of another kind would be lost.
    """

    def __init__(
        self,
        transfer: "StyleTransfer",
        path: str | os.PathLike[str],
        every: float = 30.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        # Here, so that the plugin can import this module without torch.
        from napari_neural_style.transfer.checkpoint import check_replaceable

        check_replaceable(path)
        self._transfer, self._path = transfer, Path(path)
        self._every, self._clock = every, clock
        self._due = -float("inf")  # from the first step on there is one
        self._saved: int | None = None
        self._failed = False

    def after(self, update: "Update") -> str | None:
        """Save the run if it is time; to be called after each step, by whoever iterates.

        Parameters
        ----------
        update : Update
            What the step brought.

        Returns
        -------
        str or None
            What the user should know: that the run could not be saved and goes on, once until
            a save succeeds again; or that the file held another run, which was interrupted
            and is kept beside it.
        """
        start = self._clock()
        if start < self._due:
            return None
        note = None
        try:
            if update.step == 1:  # it was not resumed
                note = self._keep_interrupted()
            self._transfer.save(self._path)
        except Exception as error:  # no reason is good enough to lose the run itself
            if not self._failed:
                kept = "" if self._saved is None else f"; {self._path} keeps step {self._saved}"
                said = str(error).rstrip(".") or type(error).__name__
                note = f"Step {update.step} could not be saved, and the run goes on{kept}: {said}."
            self._failed = True
        else:
            self._saved, self._failed = update.step, False
        end = self._clock()
        self._due = end + max(self._every, (end - start) / _SHARE) if self._every else end
        return note

    def _keep_interrupted(self) -> str | None:
        from napari_neural_style.transfer.checkpoint import keep_interrupted

        kept = keep_interrupted(self._path)
        if kept is None:
            return None
        return (
            f"{self._path} held a run that was interrupted: it is kept in {kept.name}, from which "
            "it can be resumed."
        )

    def finish(self) -> None:
        """Save the run as it is at its end.

        Raises
        ------
        OSError, MemoryError
            If that cannot be done; the file is then as it was.
        """
        self._transfer.save(self._path)
