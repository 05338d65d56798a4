"""One run: what it paints, its worker, and the layer that it paints into."""

import time
from dataclasses import replace
from typing import Any

from napari.utils.notifications import show_info
from psygnal import Signal
from qtpy.QtCore import QTimer

from .activity import ActivityBar
from .history import History
from .job import Job
from .redone_job import RedoneJob
from .redone_stack_job import RedoneStackJob
from .request import Request
from .result import ResultLayer
from .stack_job import StackJob
from .stack_worker import StackPainter
from .window import lay_out_lists
from .worker import Change, Frame, Outcome, Painter, Worker, detached

_DRAWN_MS = 100
"""Milliseconds after which Qt has drawn a frame; it does so in several goes."""


class Run:
    """A run in a layer; to be used in the GUI's thread.

    Parameters
    ----------
    job
        What is painted.
    result
        The layer to paint into.
    history
        Keeps what was to be seen.
    interval
        Seconds between two frames, at least.
    """

    said = Signal(str, description="What the run does, in words.")
    advanced = Signal(Frame, description="Something new was painted.")
    failed = Signal(Exception, description="Something went wrong; the run may go on.")
    ended = Signal(Outcome, description="The run has ended, however it did; the last signal.")

    def __init__(
        self,
        job: Job | StackJob | RedoneJob | RedoneStackJob,
        result: ResultLayer,
        history: History,
        interval: float,
    ) -> None:
        self.job, self.result, self.history = job, result, history
        self.showing = True
        """Whether the layer shows what is painted, as it comes."""
        # Steps are counted on where an earlier run painted into the same layer.
        before = history.steps[-1] if len(history) else 0
        self._worker: Worker | None = (
            StackPainter(job, interval)
            if isinstance(job, StackJob | RedoneStackJob)
            else Painter(job, history.add, interval, before)
        )
        self._activity: ActivityBar | None = None
        self._outcome = Outcome()
        self._error: Exception | None = None

    def start(self) -> None:
        """Start."""
        worker = self._worker
        assert worker is not None
        worker.framed.connect(self._show)
        worker.noted.connect(self._note)
        worker.refused.connect(self._refuse)
        worker.ended.connect(self._end)
        activity = ActivityBar("Style transfer", self.stop)
        # The bar lets napari process events: the dock may have been closed meanwhile.
        if self._worker is None:
            activity.close()
        else:
            self._activity = activity
            worker.start()

    @property
    def going(self) -> bool:
        """Whether it has not ended."""
        return self._worker is not None

    @property
    def paused(self) -> bool:
        """Whether it waits to be resumed."""
        return self._worker is not None and self._worker.paused

    def pause(self) -> None:
        """Wait before the next step."""
        if self._worker is not None:
            self._worker.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        if self._worker is not None:
            self._worker.resume()

    def stop(self) -> None:
        """End soon; what was painted stays."""
        if self._worker is not None:
            self._worker.stop()
            self.said.emit("Stopping after this step …")

    def abandon(self) -> None:
        """End for good, without another signal."""
        if self._worker is not None:
            self._worker.stop()
            self._clear()

    def steer(self, name: str, request: Request) -> None:
        """Follow a control.

        Raises
        ------
        ValueError
            If the run cannot.
        """
        if isinstance(self.job, Job):
            self._change(name, request.change(name, self.job))

    def go_on_from(self, picture: Any) -> None:
        """Go on from another picture of the content, as data of the layer."""
        if isinstance(self.job, Job):
            image = self.job.engines(picture)
            self._change("picture", Change(self.job, lambda: {"picture": image}))

    def show_newest(self) -> None:
        """Show what was painted last; of a run that goes on, with its next frame."""
        self.showing = True
        outcome = self._outcome
        if outcome.data is not None and outcome.recipe is not None:
            self.result.show(outcome.data, {**self.job.names, **outcome.recipe}, outcome.exact)
        elif self.paused and self.history.steps:  # there is no next frame
            newest = self.history.steps[-1]
            self.result.show(self.history.nearest(newest), self.history.recipe(newest))

    def show_earlier(self, step: int) -> None:
        """Show what was painted at a step; what is painted meanwhile is not shown."""
        self.showing = False
        if self.result.layer is not None:
            self.result.show(self.history.nearest(step), self.history.recipe(step))

    def keep(self, step: int) -> None:
        """Make a layer of its own of what was painted at a step."""
        self.result.keep(step, self.history.nearest(step), self.history.recipe(step))

    def _change(self, name: str, change: Change) -> None:
        if self._worker is not None:
            self.job = change.job  # type: ignore[assignment]
            self._worker.steer(name, change)

    # ------------------------------------------------------ from the worker

    def _show(self, frame: Frame) -> None:
        worker = self._worker
        if worker is None:
            return
        begin = time.thread_time()
        if self.showing:
            try:
                self.result.show(frame.data, {**self.job.names, **frame.recipe})
            except Exception as error:
                self._error = detached(error)  # told when it has ended
                worker.stop()
                return

        def ask_for_next() -> None:
            worker.shown(time.thread_time() - begin)
            if self._activity is not None:
                # Lets napari process events, so it comes last: the run may be over after it.
                self._activity.show(frame.step, frame.total, frame.time_left)

        # When Qt has drawn this one; it does so in fewer goes if it is left alone. Before what
        # follows the run: if that fails, the picture goes on.
        QTimer.singleShot(_DRAWN_MS, ask_for_next)
        self.advanced.emit(frame)
        if self._activity is not None:
            self._activity.turn()
        lay_out_lists()

    def _note(self, note: str) -> None:
        if self.going:
            show_info(note)

    def _refuse(self, error: Exception) -> None:
        if isinstance(self._worker, Painter):
            self.job = self._worker.job  # type: ignore[assignment]
            self.failed.emit(error)

    def _end(self, outcome: Outcome) -> None:
        if not self.going:
            return
        self._clear()
        self._outcome = outcome
        try:
            if self.showing:
                self.show_newest()
        except Exception as error:
            self._error = self._error or detached(error)
        self._outcome = replace(self._outcome, error=outcome.error or self._error)
        self.ended.emit(self._outcome)

    def _clear(self) -> None:
        self._worker = None
        activity, self._activity = self._activity, None
        if activity is not None:
            activity.close()
