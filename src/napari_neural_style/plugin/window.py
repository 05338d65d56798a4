"""Napari's window, put together as seldom as can be.

Qt does that, the canvas included, whenever anything in the window looks different. Where there is
no GPU it takes 20 ms on all cores, from the run.
"""

from contextlib import suppress
from typing import Final

from napari.qt import get_qapp
from qtpy.QtWidgets import QListView

# Of the indicator's own: a picture a second.
_PERCENT_OF_SPEED: Final = 3


def calm_indicator() -> None:
    """Slow down what turns in the status bar during a run: by itself, thirty times a second."""
    for window in get_qapp().topLevelWidgets():
        with suppress(AttributeError):  # it is napari's own affair
            window._activity_dialog._toggleButton._inProgressIndicator.movie().setSpeed(
                _PERCENT_OF_SPEED
            )


def lay_out_lists() -> None:
    """Let lists, such as that of the layers, show what is new in them now.

    By themselves they do so when Qt has put the window together for the canvas, and once more.
    """
    for window in get_qapp().topLevelWidgets():
        for view in window.findChildren(QListView):
            if view.isVisible():
                view.doItemsLayout()
