"""A run of the engine in a thread of its own, watched from the GUI's thread."""

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..images import to_uint8
from ..pace import Pace

if TYPE_CHECKING:
    from .. import StyleTransfer

_LEAST_INTERVAL = 0.25
"""Seconds between two frames."""

_GUI_SHARE = 0.1
"""Part of the GUI's time that frames may take."""


@dataclass(frozen=True)
class Frame:
    """What there is to show of a run at some moment."""

    image: NDArray[Any]
    step: int
    total: int
    scale: int
    scales: int
    size: tuple[int, int]
    loss: float
    seconds_per_step: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    image
        What was painted, as the layer's data; None if nothing was.
    exact
        The same as ``(H, W, 3)`` float32 RGB in [0, 1], before it was rounded.
    recipe
        The engine's provenance, or None if the engine could not be made.
    stopped
        Whether the run was asked to stop.
    error
        What ended the run, if it was not its end or a stop.
    """

    image: NDArray[Any] | None = None
    exact: NDArray[np.float32] | None = None
    recipe: dict[str, Any] | None = None
    stopped: bool = False
    error: Exception | None = None


def explain(error: Exception) -> str | None:
    """Return what to tell the user about an error, or None if it is one of our own making."""
    text = str(error)
    # The engine's own MemoryError says the way out; numpy's does not.
    if isinstance(error, ValueError | OSError) or (type(error) is MemoryError and text):
        return text
    if isinstance(error, MemoryError):
        return "There is not enough memory for this run: choose a smaller size, or the device CPU."
    return None


class Painter(QObject):
    """Paints in a thread of its own; its signals arrive in the thread that made it.

    napari's thread workers are not used, for they take over Python's warnings while
    they run, drop ``RuntimeError`` (out of memory on a GPU is one), keep a generator
    that was quit alive, and wait for a free thread of Qt's pool.

    Parameters
    ----------
    prepare
        Makes the engine; called in the new thread, for it may read images from disk,
        import torch and load weights.
    develop
        Makes a layer's data of the engine's ``(H, W, 3)`` image; called in the new thread.
    """

    started = Signal(object)
    """The engine's provenance, before its first step."""
    framed = Signal(object)
    """A :class:`Frame`. The next one does not come before :meth:`shown` was called."""
    noted = Signal(str)
    """Something that the user should read."""
    ended = Signal(object)
    """The :class:`Outcome`; always the last signal, and always sent."""

    def __init__(
        self,
        prepare: "Callable[[], StyleTransfer]",
        develop: Callable[[NDArray[np.float32]], NDArray[Any]] = to_uint8,
    ) -> None:
        super().__init__()
        self._prepare, self._develop = prepare, develop
        self._thread = threading.Thread(target=self._work, name="style transfer")
        self._control = threading.Lock()  # guards the four below
        self._transfer: StyleTransfer | None = None
        self._changes: dict[str, Any] = {}
        self._paused = self._stopped = False
        self._shown = threading.Event()
        self._shown.set()
        self._interval = 0.0

    def start(self) -> None:
        """Start painting."""
        self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the thread to end; tell whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def paused(self) -> bool:
        """Whether the run waits to be resumed."""
        return self._paused

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
        """End after the present step; what was painted comes with ``ended``."""
        with self._control:
            self._stopped = True
            if self._transfer is not None:
                self._transfer.stop()

    def update(self, **changes: Any) -> None:
        """Change settings of the run, from its next step.

        Raises
        ------
        ValueError
            For a value that the run cannot take.
        """
        with self._control:
            if self._transfer is None:
                self._changes |= changes
            else:
                self._transfer.update(**changes)

    def shown(self, seconds: float) -> None:
        """Ask for the next frame, given what showing this one cost the GUI."""
        self._interval = max(_LEAST_INTERVAL, seconds / _GUI_SHARE)
        self._shown.set()

    def _work(self) -> None:
        image = exact = recipe = error = None
        try:
            self._paint()
        except Exception as exception:
            error = exception
        try:
            if self._transfer is not None:
                recipe, exact = self._transfer.provenance(), self._transfer.result
                image = None if exact is None else self._develop(exact)
        except Exception as exception:
            error = error or exception
        # Neither this object nor the traceback, which napari keeps for good, may hold
        # the engine's images.
        self._transfer = None
        if error is not None:
            traceback.clear_frames(error.__traceback__)
        self.ended.emit(Outcome(image, exact, recipe, self._stopped, error))

    def _paint(self) -> None:
        transfer = self._prepare()
        with self._control:
            self._transfer = transfer
            transfer.update(**self._changes)
            if self._paused:
                transfer.pause()
            if self._stopped:
                transfer.stop()
        self.started.emit(transfer.provenance())
        pace = Pace([h * w for h, w in transfer.scales])
        last = -np.inf
        for update in transfer:
            pace.step(update.scale, transfer.steps)
            if update.note:
                self.noted.emit(update.note)
            # Only now are loss and image asked for: both make a GPU wait.
            if self._shown.is_set() and time.perf_counter() - last >= self._interval:
                last = time.perf_counter()
                self._shown.clear()
                self.framed.emit(
                    Frame(
                        image=self._develop(update.image),
                        step=update.step,
                        total=update.total,
                        scale=update.scale,
                        scales=len(transfer.scales),
                        size=update.size,
                        loss=update.losses["total"],
                        seconds_per_step=pace.seconds_per_step,
                        seconds_left=pace.seconds_left,
                    )
                )
