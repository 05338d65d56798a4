"""A run of a whole stack, watched from the GUI's thread."""

import threading
from typing import TYPE_CHECKING, Protocol

from ..pace import duration
from .stack_view import PaintedStack
from .worker import Change, Frame, Outcome, Worker

if TYPE_CHECKING:
    from ..stacks import StackTransfer, StackUpdate


class PlanesJob(Protocol):
    """What of a job of planes the worker needs."""

    def prepare(self) -> "StackTransfer":
        """Make the run."""

    def remark_on(self, transfer: "StackTransfer") -> str:
        """Say something about what was painted."""


class StackPainter(Worker):
    """Paints all planes of a stack.

    Parameters
    ----------
    job
        Makes the run, in the new thread, and says something about it in the end.
    interval
        Seconds between two frames, at least.
    """

    def __init__(self, job: "PlanesJob", interval: float = 0.25) -> None:
        super().__init__(interval)
        self._job = job
        self._transfer: StackTransfer | None = None
        self._going = threading.Event()
        self._going.set()

    def pause(self) -> None:
        """Wait; the workers of a cluster finish the planes that they have."""
        self._paused = True
        self._going.clear()

    def resume(self) -> None:
        """Go on after a pause."""
        self._paused = False
        self._going.set()

    def stop(self) -> None:
        """End soon, in the middle of a plane; those that are finished stay."""
        with self._control:
            self._stopped = True
            if self._transfer is not None:
                self._transfer.stop()
        self._going.set()

    def steer(self, name: str, change: Change) -> None:
        """Change nothing: all planes of a stack are painted alike."""

    def _paint(self) -> None:
        transfer = self._job.prepare()
        with self._control:
            self._transfer = transfer
            if self._stopped:
                transfer.stop()
        for update in transfer:
            plane = transfer.axes.named(update.plane)
            # An error names its plane.
            for note in (update.error, update.note and f"{plane}: {update.note}"):
                if note:
                    self.noted.emit(note)
            if self._due():
                self.framed.emit(_frame(update, transfer))
            self._going.wait()

    def _gather(self) -> Outcome:
        transfer, self._transfer = self._transfer, None
        if transfer is None:
            return Outcome()
        recipe = transfer.provenance()
        data = _painted(transfer) if transfer.done else None
        failed = f"; {len(transfer.failed)} could not be painted" if transfer.failed else ""
        remark = "" if self._stopped else self._job.remark_on(transfer)
        summary = f"Done: {transfer.done} planes in {self._took()}{failed}. {remark}".strip()
        return Outcome(data, None, recipe, summary)


def _frame(update: "StackUpdate", transfer: "StackTransfer") -> Frame:
    left = update.seconds_left
    time_left = "…" if left is None else f"{duration(left)} left"
    step = f" · step {update.step} of {update.steps}" if update.steps else ""
    return Frame(
        data=_painted(transfer),
        step=update.done,
        total=update.total,
        share=(update.done + (update.step / update.steps if update.steps else 0)) / update.total,
        text=f"{update.done} of {update.total} planes done · {time_left}\n"
        f"{transfer.axes.named(update.plane)}{step}",
        time_left=time_left,
        recipe=transfer.provenance(),
    )


def _painted(transfer: "StackTransfer") -> PaintedStack:
    return PaintedStack(transfer.result, transfer.finished)
