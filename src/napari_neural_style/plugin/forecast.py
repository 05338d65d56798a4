"""What a run would take, estimated behind the open widget."""

import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from ..heap import give_back
from ..pace import rough_duration
from ..settings import Settings
from .machine import load_engine

_PATIENCE_MS = 400
"""Milliseconds without another change, after which an estimate is made."""
_SIDE = 192
"""Longest side, in pixels, of the picture that stands for the content: only its proportions
count."""


class Forecast(QObject):
    """Estimates the time and memory of a run, in a thread, when its settings have settled."""

    told = Signal(str)
    """The estimate in words, and the device with its free memory."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: tuple[Settings, tuple[int, int], int] | None = None
        self._working = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PATIENCE_MS)
        self._timer.timeout.connect(self._begin)
        self._done.connect(self._finish)

    _done = Signal(object)

    def ask(self, settings: Settings, shape: tuple[int, int], planes: int = 1) -> bool:
        """Estimate soon, unless that was told already or is being found out.

        Parameters
        ----------
        settings
            Of the run.
        shape
            Height and width of the content, in pixels.
        planes
            How many of them there are to paint.

        Returns
        -------
        bool
            Whether what was told is of something else.
        """
        asked = _alike(settings), shape, planes
        if asked == self._asked:
            return False
        self._asked = asked
        self._timer.start()
        return True

    def hush(self) -> None:
        """Tell nothing more of what was asked."""
        self._asked = None
        with suppress(RuntimeError):  # Qt's side of it may be gone before napari's
            self._timer.stop()

    def _begin(self) -> None:
        if self._asked is None or self._working:
            return
        self._working = True
        threading.Thread(target=self._work, args=self._asked, name="forecast").start()

    def _work(self, settings: Settings, shape: tuple[int, int], planes: int) -> None:
        try:
            text = describe(settings, shape, planes)
        except Exception:  # what is wrong is said when the run starts
            text = ""
        give_back()
        self._done.emit((settings, shape, planes, text))

    def _finish(self, answer: Any) -> None:
        self._working = False
        *asked, text = answer
        if self._asked == tuple(asked):
            self.told.emit(text)
            if not text:  # the next time it may be well
                self._asked = None
        elif self._asked is not None:
            self._timer.start()


def _alike(settings: Settings) -> Settings:
    """Return settings that are the same for all whose differences cost nothing."""
    return replace(
        settings,
        style_weight=1.0,
        content_weight=1.0,
        tv_weight=1.0,
        style_layers=tuple(settings.style_layers),
        style_weights=(),
        color="style",
        feather=0.0,
    )


def describe(settings: Settings, shape: tuple[int, int], planes: int = 1) -> str:
    """Estimate a run, and say it in words.

    Parameters
    ----------
    settings, shape, planes
        As for :meth:`Forecast.ask`.
    """
    engine = load_engine()
    from ..transfer import devices

    longest = max(shape)
    factor = min(1.0, _SIDE / longest)
    stand_in = [max(1, round(side * factor)) for side in shape]
    noise = np.random.default_rng(0).integers(0, 256, (*stand_in, 3), np.uint8)
    if settings.size is None and settings.scales == "auto":
        settings = replace(settings, size=longest)
    transfer = engine(noise, noise, settings=settings)
    estimate = transfer.estimate()
    free = devices.free_memory(devices.choose_device(transfer.device))
    seconds = rough_duration(planes * estimate.seconds)
    # Planes that start from a finished neighbour take less.
    time = f"About {seconds}" if planes == 1 else f"At most about {seconds} for {planes} planes"
    return (
        f"{time}, {estimate.memory / 1e9:.2g} GB; "
        f"{free / 1e9:.3g} GB free on {transfer.device.upper()}."
    )
