"""Keys that press the widget's buttons, wherever in the window the keyboard is."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractButton, QWidget

from .layers import unwrapped

_CTRL = Qt.KeyboardModifier.ControlModifier
_SHIFT = Qt.KeyboardModifier.ShiftModifier
_KEYS = {_CTRL: "Control-Enter", _CTRL | _SHIFT: "Control-Shift-Enter"}
"""The modifiers of the Enter key, and the whole as napari calls it."""


class Shortcuts(QObject):
    """Ctrl-Enter presses Run, Ctrl-Shift-Enter presses Stop.

    Both work in the dock, floating or not, and in the rest of napari's window. What is being
    typed into a box is taken over first.

    Parameters
    ----------
    widget
        Where the buttons are.
    viewer
        The viewer, whose keys :meth:`bind` takes.
    run, stop
        The buttons.
    """

    def __init__(
        self, widget: QWidget, viewer: Any, run: QAbstractButton, stop: QAbstractButton
    ) -> None:
        super().__init__(widget)
        self._viewer = unwrapped(viewer)
        self._buttons: dict[Any, QAbstractButton] = {_CTRL: run, _CTRL | _SHIFT: stop}
        self._bound = {key: _pressing(self._buttons[modifiers]) for modifiers, key in _KEYS.items()}
        # A floating dock is a window of its own, whose keys do not come to the viewer.
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take the keys that no control of the widget has taken."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
            button = self._buttons.get(modifiers)
            if button is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                button.click()
                return True
        return super().eventFilter(watched, event)

    def bind(self) -> None:
        """Take the keys of the viewer."""
        for key, press in self._bound.items():
            # Of several widgets in a viewer, the one that was opened last has them.
            self._viewer.bind_key(key, press, overwrite=True)

    def let_go(self) -> None:
        """Give the keys back."""
        for key, press in self._bound.items():
            another = self._viewer.bind_key(key, None)
            if another not in (None, press):
                self._viewer.bind_key(key, another)


def _pressing(button: QAbstractButton) -> Callable[[Any], None]:
    # A function and no partial: napari asks each binding for its __name__.
    def press(_viewer: Any) -> None:
        button.click()

    return press
