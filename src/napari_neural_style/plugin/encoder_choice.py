"""The choice of the encoder's weights: some have to be downloaded, or found on disk."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox

from ..transfer.weight_files import is_installed
from .controls import Choice
from .download import WeightsDownload
from .fields import WEIGHTS_FILE

_FILES = "Weights (*.pth *.pt *.safetensors);;All files (*)"


class EncoderChoice:
    """Sees to it that the chosen weights are there.

    Parameters
    ----------
    box
        The choice.
    say
        Tells the user what goes on.
    fail
        Tells the user what went wrong.
    """

    def __init__(
        self, box: Choice, say: Callable[[str], None], fail: Callable[[str], None]
    ) -> None:
        self._box, self._say, self._fail = box, say, fail
        self._before = str(box.value)
        self._download: WeightsDownload | None = None
        box.changed.connect(self._follow)

    @property
    def waiting(self) -> bool:
        """Whether the chosen weights are being downloaded."""
        return self._download is not None

    def let_go(self) -> None:
        """Give up a download."""
        if self._download is not None:
            self._download.cancel()

    def offer(self, weights: str) -> None:
        """Choose weights, a file of which may be new."""
        if weights not in self._box.choices:
            others = [str(value) for value in self._box.choices if value != WEIGHTS_FILE]
            named = [(Path(value).name, value) for value in (*others, weights)]
            self._box.choices = [*named, (WEIGHTS_FILE, WEIGHTS_FILE)]
        self._box.value = weights

    def _follow(self, chosen: str) -> None:
        if chosen == WEIGHTS_FILE:
            path, _ = QFileDialog.getOpenFileName(self._box.native, "Weights", filter=_FILES)
            self.offer(path or self._before)
        elif chosen == "torchvision" and not is_installed("torchvision"):
            self._ask_to_download()
        else:
            self._before = chosen

    def _ask_to_download(self) -> None:
        answer = QMessageBox.question(
            self._box.native,
            "torchvision's weights",
            "torchvision's weights are not on this machine. Download them now? It is 548 MB, "
            "of which 80 MB are kept; the bar in napari's activity dock can cancel it.",
        )
        if answer != QMessageBox.StandardButton.Yes:
            self._box.value = self._before
            return
        self._download = WeightsDownload()
        self._download.finished.connect(self._have)
        self._download.failed.connect(self._have_not)
        self._download.cancelled.connect(self._give_up)
        self._say("Downloading torchvision's weights: see the activity dock.")
        self._download.start()

    def _have(self) -> None:
        self._download = None
        self._box.changed.emit(self._box.value)  # what waited for them goes on
        self._say("torchvision's weights are there.")

    def _have_not(self, why: str) -> None:
        self._download = None
        self._box.value = self._before
        self._fail(why)

    def _give_up(self) -> None:
        self._download = None
        self._box.value = self._before
        self._say("The download was cancelled.")
