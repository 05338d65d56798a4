"""A slider over the snapshots of a run."""

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSlider, QWidget

from .controls import StillLabel


class HistoryBar(QWidget):
    """A slider over the snapshots of a run, and what can be done with the one it stands at.

    At its right end the slider follows the run; elsewhere it stays at its step. It is
    disabled while there are fewer than two snapshots.
    """

    scrubbed = Signal(int)
    """The step whose picture is to be shown."""
    live = Signal()
    """The run is followed again."""
    kept = Signal(int)
    """The step whose picture the user wants as a layer of its own."""
    resumed = Signal(int)
    """The step that the user wants the run to go on from.

    The slider stays there; :meth:`clear` lets it follow what comes.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._slider.setMinimumWidth(40)
        self._slider.setAccessibleName("Step to show")
        self._slider.setToolTip(
            "Go back through the run, with the mouse or the arrow keys. At the right end, the "
            "picture follows the run."
        )
        self._label = StillLabel()
        self._label.setToolTip("The step whose picture is shown, and how many there are.")
        self._keep = QPushButton("Keep")
        self._keep.setToolTip("Make the picture of this step a layer of its own.")
        self._resume = QPushButton("Go on")
        self._resume.setToolTip("Go on painting from here, with the controls as they are now.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._slider, 1)
        for widget in (self._label, self._keep, self._resume):
            layout.addWidget(widget)
        for button in (self._keep, self._resume):
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._slider.valueChanged.connect(self._scrub)
        self._slider.sliderReleased.connect(self._refresh)
        self._keep.clicked.connect(lambda: self.kept.emit(self.step))
        self._resume.clicked.connect(lambda: self.resumed.emit(self.step))
        self._steps: tuple[int, ...] = ()
        self._positions: tuple[int, ...] = ()  # the steps that the slider goes over
        self._total = 0
        self._refresh()

    @property
    def following(self) -> bool:
        """Whether the slider stands at its right end, where it follows the run."""
        return self._slider.value() == self._slider.maximum()

    @property
    def step(self) -> int | None:
        """The step that the slider stands at, if there is any.

        It names a snapshot for longer than an index does, for which the run may already
        have dropped others.
        """
        return self._steps[self._index] if self._steps else None

    def clear(self) -> None:
        """Forget all snapshots, and follow the next run."""
        self.set_steps((), 0)

    def set_steps(self, steps: Sequence[int], total: int) -> None:
        """Take the snapshots there are now.

        A slider that follows goes to the newest. Another one stays at its step; where that
        was dropped, it goes to the nearest, which is then ``scrubbed`` to.

        Parameters
        ----------
        steps
            Of the snapshots, rising.
        total
            How many steps the run is to have.
        """
        self._steps, self._total = tuple(steps), total
        # What is held must not slip away from under the mouse.
        if len(steps) < 2 or not self._slider.isSliderDown():
            self._refresh()

    @property
    def _index(self) -> int:
        """Of the snapshot that the slider stands at, among those there are now."""
        if self.following:
            return len(self._steps) - 1
        wanted = self._positions[self._slider.value()]
        # Not the newest: nobody asked to follow the run again.
        return min(range(len(self._steps) - 1), key=lambda i: abs(self._steps[i] - wanted))

    def _refresh(self) -> None:
        """Let the slider go over the snapshots there are now."""
        enough = len(self._steps) > 1
        before = None if self.following or not enough else self._positions[self._slider.value()]
        index = self._index if enough else 0
        self._positions = self._steps
        self._slider.blockSignals(True)
        self._slider.setRange(0, max(len(self._steps) - 1, 0))
        self._slider.setPageStep(max(len(self._steps) // 10, 1))
        self._slider.setValue(index)
        self._slider.blockSignals(False)
        self.setEnabled(enough)
        self._tell()
        if before not in (None, self.step):
            self.scrubbed.emit(self.step)

    def _scrub(self) -> None:
        self._tell()
        if self.following:
            self.live.emit()
        else:
            self.scrubbed.emit(self.step)

    def _tell(self) -> None:
        self._label.fit(f"{self._total}/{self._total}")
        self._label.setText(f"{self.step}/{self._total}" if len(self._steps) > 1 else "")
        self._resume.setEnabled(not self.following)
