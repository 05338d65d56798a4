"""The download of torchvision's weights, behind the open window."""

import threading
import time

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication

from ..pace import duration
from .activity import ActivityBar
from .machine import load_engine
from .worker import explain

_BETWEEN_SIGNALS = 0.1


class WeightsDownload(QObject):
    """Downloads torchvision's weights in a thread, with a bar in napari's activity dock.

    One of :attr:`finished`, :attr:`failed` and :attr:`cancelled` comes at the end, in the
    thread that made it, which must be the GUI's.
    """

    progressed = Signal(int, int)
    """Bytes received, and in all; 0 if that is not known. Several times a second."""
    finished = Signal()
    """The weights are there."""
    failed = Signal(str)
    """Why not, and the way out."""
    cancelled = Signal()
    """Someone has called :meth:`cancel`, here or in the activity dock."""

    _ended = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._unwanted = threading.Event()
        self._activity: ActivityBar | None = None
        self._showing = False
        self._begin = self._last = 0.0
        self.progressed.connect(self._show)
        self._ended.connect(self._end)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self.cancel)

    def start(self) -> None:
        """Start the download, unless it is going on.

        Weights that are there already are not downloaded again.
        """
        if self._activity is not None:
            return
        self._unwanted.clear()
        self._begin = time.monotonic()
        self._activity = ActivityBar("Weights, 548 MB", self.cancel)
        threading.Thread(target=self._download, name="weights").start()

    def cancel(self) -> None:
        """Give up; what was downloaded is deleted."""
        self._unwanted.set()

    def _download(self) -> None:
        error: Exception | None = None
        try:
            load_engine()  # says readably why there is no torch
            from ..transfer.weights import download_torchvision

            download_torchvision(self._report, self._unwanted.is_set)
        except Exception as exception:
            error = exception
        self._ended.emit(error)

    def _report(self, received: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _BETWEEN_SIGNALS or received == total:
            self._last = now
            self.progressed.emit(received, total)

    def _show(self, received: int, total: int) -> None:
        # The bar lets napari process events, the next of these signals among them.
        if self._activity is None or self._showing:
            return
        self._showing = True
        try:
            self._activity.show(received, total, self._describe(received, total))
        finally:
            self._showing = False

    def _describe(self, received: int, total: int) -> str:
        if not total:
            return f"{received / 1e6:.0f} MB"
        seconds = (time.monotonic() - self._begin) * (total - received) / received
        # Short, for the dock would hide the button for cancelling.
        return f"{duration(seconds)} left"

    def _end(self, error: Exception | None) -> None:
        activity, self._activity = self._activity, None
        if activity is not None:
            activity.close()
        if error is None:
            self.finished.emit()
        elif self._unwanted.is_set():
            self.cancelled.emit()
        else:
            self.failed.emit(explain(error) or f"The download failed: {error!r}")
