"""A run in a thread of its own, watched from the GUI's thread."""

import threading
import time
import traceback
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..heap import give_back
from ..machine import out_of_memory
from ..pace import Pace, duration
from ..transfer.autosave import Checkpoints
from .loss_point import LossPoint

if TYPE_CHECKING:
    from .. import StyleTransfer
    from ..transfer.update import Update


class Paintable(Protocol):
    """What a :class:`Painter` paints; its methods are called in the run's thread."""

    names: Mapping[str, Any]
    """Of its layers, for the recipe."""
    checkpoint: Path | None
    """The file that it is saved to while it goes on."""

    def prepare(self) -> "StyleTransfer":
        """Make the engine: read images from disk, import torch, load weights."""
        ...

    def develop(self, image: NDArray[np.float32], /) -> NDArray[Any]:
        """Make a layer's data of the engine's ``(H, W, 3)`` image."""
        ...

    def remark(self, developed: NDArray[Any], /) -> str:
        """Say something about what was developed in the end, or nothing."""
        ...


Record = Callable[[int, NDArray[Any], dict[str, Any]], None]


class Change(NamedTuple):
    """How a run that goes on is to change."""

    job: Paintable
    """What it becomes."""
    read: Callable[[], Mapping[str, Any]]
    """Returns what the engine's ``update`` takes; called in the run's thread, for it may read
    images."""


_GUI_SHARE = 0.025
"""Part of its time that the GUI's thread may show frames: without a GPU, what they cost the run
elsewhere is thrice as much."""
_LONGEST_INTERVAL = 2.0
"""Seconds between two frames, unless these keep the GUI busy …"""
_MOST_GUI_SHARE = 0.2
"""… for more than this part of its time."""
_SEEN_AT_ONCE = frozenset({"color", "content", "feather", "mask", "picture", "steps"})
"""What changes the picture itself before a step is made with it, or how many are left."""


@dataclass(frozen=True)
class Frame:
    """What there is to show of a run at some moment.

    Attributes
    ----------
    data
        Of the result's layer.
    step, total
        How much is done, and how much there is to do.
    share
        How much of it is done, in [0, 1], more finely.
    text
        The same in words, on two lines.
    time_left
        In words.
    recipe
        Of what is shown, for the metadata of the layer.
    losses
        Those of the steps since the last frame, as far as they are known.
    """

    data: Any
    step: int
    total: int
    share: float
    text: str
    time_left: str
    recipe: dict[str, Any]
    losses: tuple[LossPoint, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    data
        What was painted, as data of the layer; None if nothing was.
    exact
        The same as ``(H, W, 3)`` float32 RGB in [0, 1], before it was rounded.
    recipe
        The engine's provenance, or None if the engine could not be made.
    summary
        What was done, in words, if the run came to its end.
    stopped
        Whether the run was asked to stop.
    error
        What ended the run, if it was not its end or a stop.
    losses
        Those of the steps since the last frame.
    """

    data: Any = None
    exact: NDArray[np.float32] | None = None
    recipe: dict[str, Any] | None = None
    summary: str = ""
    stopped: bool = False
    error: Exception | None = None
    losses: tuple[LossPoint, ...] = ()


def explain(error: Exception) -> str | None:
    """Return what to tell the user about an error, or None if it is one of our own making."""
    if isinstance(error, MemoryError):
        return out_of_memory(error)
    return str(error) if isinstance(error, ValueError | OSError) else None


class _Origin(Exception):
    """Where another exception came from, in words."""


def detached(error: Exception) -> Exception:
    """Let an exception tell its traceback in words, as its cause.

    napari keeps exceptions for good. The frames of a traceback would keep the images of the
    run alive, even when they are cleared: those of closures hold on to what these enclose.
    """
    if error.__traceback__ is not None:
        text = "".join(traceback.format_exception(error))
        error.__cause__ = _Origin(f'\n"""\n{text}"""')
        error.__context__ = None
    return error.with_traceback(None)


class Worker(QObject):
    """Does something in a thread of its own; its signals arrive in the thread that made it.

    napari's thread workers are not used, for they take over Python's warnings while
    they run, drop ``RuntimeError`` (out of memory on a GPU is one), keep a generator
    that was quit alive, and wait for a free thread of Qt's pool.

    Parameters
    ----------
    interval
        Seconds between two frames, at least.
    """

    framed = Signal(object)
    """A :class:`Frame`. The next one does not come before :meth:`shown` was called."""
    noted = Signal(str)
    """Something that the user should read."""
    refused = Signal(object)
    """The exception that a change of the run ended in; the run goes on without it."""
    ended = Signal(object)
    """The :class:`Outcome`; always the last signal, and always sent."""

    def __init__(self, interval: float) -> None:
        super().__init__()
        self._thread = threading.Thread(target=self._work, name="style transfer")
        self._control = threading.Lock()  # guards whether it is paused or stopped
        self._paused = self._stopped = False
        self._shown = threading.Event()
        self._shown.set()
        self._least_interval = interval
        self._interval = 0.0
        self._hurry = False  # a change is to be seen at once
        self._last = -np.inf
        self._began = 0.0

    def start(self) -> None:
        """Start."""
        self._began = time.perf_counter()
        self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the thread to end; tell whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def paused(self) -> bool:
        """Whether the run waits to be resumed."""
        return self._paused

    @abstractmethod
    def pause(self) -> None:
        """Wait before the next step."""

    @abstractmethod
    def resume(self) -> None:
        """Go on after a pause."""

    @abstractmethod
    def stop(self) -> None:
        """End soon; what was painted comes with ``ended``."""

    @abstractmethod
    def steer(self, name: str, change: Change) -> None:
        """Change the run before its next step.

        Parameters
        ----------
        name
            Of what changes; only the newest change of a name is made.
        change
            What it becomes.
        """

    def shown(self, seconds: float) -> None:
        """Ask for the next frame, given what showing this one cost the GUI's thread."""
        unnoticed = min(seconds / _GUI_SHARE, _LONGEST_INTERVAL)
        self._interval = max(self._least_interval, unnoticed, seconds / _MOST_GUI_SHARE)
        self._shown.set()

    @abstractmethod
    def _paint(self) -> None:
        """Do it; called in the thread."""

    @abstractmethod
    def _gather(self) -> Outcome:
        """Return what came of it, to its end or not, and let go of it."""

    def _work(self) -> None:
        error, outcome = None, Outcome()
        try:
            self._paint()
        except Exception as exception:
            error = exception
        try:
            outcome = self._gather()
        except Exception as exception:
            error = error or exception
        if error is not None:
            error = detached(error)
        give_back()
        self.ended.emit(replace(outcome, stopped=self._stopped, error=error))

    def _due(self) -> bool:
        """Tell whether the GUI is to get a frame now; if so, that is taken for granted."""
        now = time.perf_counter()
        early = now - self._last < self._interval and not self._hurry
        if early or not self._shown.is_set():
            return False
        self._last, self._hurry = now, False
        self._shown.clear()
        return True

    def _took(self) -> str:
        """How long it takes until now, in words."""
        return duration(time.perf_counter() - self._began)


class Painter(Worker):
    """Paints an image.

    Parameters
    ----------
    job
        What to paint.
    record
        Keeps what is shown, given its step, the layer's data and the recipe; called in the
        new thread.
    interval
        Seconds between two frames, at least.
    before
        Steps that were painted in earlier runs; those of this one are counted on.
    """

    def __init__(
        self,
        job: Paintable,
        record: Record = lambda step, data, recipe: None,
        interval: float = 0.25,
        before: int = 0,
    ) -> None:
        super().__init__(interval)
        self._before = before
        self.job = job
        """What is painted now."""
        self._record = record
        self._transfer: StyleTransfer | None = None
        self._wanted: dict[str, Change] = {}
        self._losses: list[LossPoint] = []
        self._latest: tuple[Update, Pace] | None = None

    def pause(self) -> None:
        """Wait before the next step."""
        with self._control:
            self._paused = True
            if self._transfer is not None:
                self._transfer.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        with self._control:
            self._paused = False
            if self._transfer is not None:
                self._transfer.resume()

    def stop(self) -> None:
        """End soon; what was painted comes with ``ended``."""
        with self._control:
            self._stopped = True
            if self._transfer is not None:
                self._transfer.stop()

    def steer(self, name: str, change: Change) -> None:
        """Change the run before its next step; the present one is given up."""
        with self._control:
            self._wanted.pop(name, None)  # the order of changes is that of the last of a name
            self._wanted[name] = change
            if self._transfer is not None:
                self._transfer.interrupt()

    def _gather(self) -> Outcome:
        transfer, self._transfer, self._latest = self._transfer, None, None
        if transfer is None:
            return Outcome()
        recipe, exact = self._recipe(transfer), transfer.result
        data, remark = None, ""
        if exact is not None:
            data = self.job.develop(exact)
            self._record(self._before + recipe["step"], data, recipe)
            remark = "" if self._stopped else self.job.remark(data)
        losses = recipe["losses"]
        loss = f", loss {losses['total']:.3g}" if losses else ""
        more = " more" if self._before else ""
        summary = f"Done: {recipe['step']}{more} steps in {self._took()}{loss}. {remark}".strip()
        return Outcome(data, exact, recipe, summary, losses=self._take_losses())

    def _recipe(self, transfer: "StyleTransfer") -> dict[str, Any]:
        return {**transfer.provenance(), **self.job.names}

    def _take_losses(self) -> tuple[LossPoint, ...]:
        losses, self._losses = tuple(self._losses), []
        return losses

    def _paint(self) -> None:
        transfer = self.job.prepare()
        with self._control:
            self._transfer = transfer
            if self._paused:
                transfer.pause()
            if self._stopped:
                transfer.stop()
        scales = transfer.scales
        pace = Pace([h * w for h, w in scales])
        saved = self.job.checkpoint
        checkpoints = None if saved is None else Checkpoints(transfer, saved)
        transfer.before_step = partial(self._turn, transfer)
        for update in transfer:
            if transfer.scales != scales:
                scales = transfer.scales
                pace = Pace([h * w for h, w in scales])
            if not update.sketch:
                pace.step(update.scale)
            self._latest = update, pace
            not_saved = None if checkpoints is None else checkpoints.after(update)
            for note in (update.note, not_saved):
                if note:
                    self.noted.emit(note)
            due = self._due()
            looks = due or transfer.device == "cpu"  # elsewhere a look makes the device wait
            if looks and not update.sketch:
                step = self._before + update.step
                self._losses.append(LossPoint(step, max(update.size), update.losses))
            if due:
                self.framed.emit(self._frame(update, transfer, pace))
        if checkpoints is not None:
            checkpoints.finish()

    def _turn(self, transfer: "StyleTransfer") -> None:
        """Make the changes that are wanted."""
        with self._control:
            wanted, self._wanted = list(self._wanted.values()), {}
        asked: set[str] = set()
        # Together, for each was asked for with the others in view: of styles and their
        # weights, or a size and its mask, one may not fit without the other.
        if len(wanted) > 1:
            with suppress(Exception):  # then one after the other, to tell which it is
                asked, wanted = self._change(transfer, wanted), []
        for change in wanted:
            try:
                asked |= self._change(transfer, [change])
            except Exception as error:
                self.refused.emit(detached(error))
        if asked & _SEEN_AT_ONCE:
            self._show_change(transfer)

    def _change(self, transfer: "StyleTransfer", changes: Sequence[Change]) -> set[str]:
        """Make some changes as one; return the names of what they change."""
        asked: dict[str, Any] = {}
        for change in changes:
            asked |= change.read()
        transfer.update(**asked)
        self.job, self._hurry = changes[-1].job, True
        return set(asked)

    def _show_change(self, transfer: "StyleTransfer") -> None:
        """Show what a change has made of the picture, for a step may take long."""
        before, scales = len(transfer.changes), transfer.scales
        transfer.apply()
        made = transfer.changes[before:]
        at_once = any(change.keys() & _SEEN_AT_ONCE for change in made)
        if self._latest is None or not at_once or transfer.scales != scales:
            return
        if self._due():
            update, pace = self._latest
            self.framed.emit(self._frame(update, transfer, pace))
            self._hurry = True

    def _frame(self, update: "Update", transfer: "StyleTransfer", pace: Pace) -> Frame:
        # Only now are loss and image asked for: both make a GPU wait.
        left = pace.seconds_left(transfer.steps)
        time_left = "…" if left is None else f"{duration(left)} left"
        height, width = update.size
        losses = update.losses["total"]
        facts = ["sketch of the change" if update.sketch else f"loss {losses:.3g}"]
        if pace.seconds_per_step:
            facts.append(f"{1 / pace.seconds_per_step:.2g} steps/s")
        data = self.job.develop(update.image)
        recipe = self._recipe(transfer)
        total = transfer.total
        step, whole = self._before + update.step, self._before + total
        self._record(step, data, recipe)
        return Frame(
            data=data,
            step=step,
            total=whole,
            share=update.step / total,
            text=f"Step {step} of {whole} · "
            f"scale {update.scale + 1} of {len(transfer.scales)} ({width} × {height})\n"
            + " · ".join([*facts, time_left]),
            time_left=time_left,
            recipe=recipe,
            losses=self._take_losses(),
        )
