"""Napari's window, put together as seldom as can be.

Qt does that, the canvas included, whenever anything in the window looks different. Where there is
no GPU it takes 20 ms on all cores, from the run.
"""

from collections.abc import Iterator
from contextlib import suppress

from napari.qt import get_qapp
from qtpy.QtGui import QMovie
from qtpy.QtWidgets import QListView


def hold_indicators() -> None:
    """Let what turns in the status bar stand still: by itself it turns thirty times a second."""
    for movie in _indicators():
        movie.setPaused(True)


def turn_indicators() -> None:
    """Turn what turns in the status bar by one picture, together with what else is new."""
    for movie in _indicators():
        movie.jumpToNextFrame()


def release_indicators() -> None:
    """Let what turns in the status bar turn by itself again, if anything goes on."""
    for movie in _indicators():
        movie.setPaused(False)


def _indicators() -> Iterator[QMovie]:
    for window in get_qapp().topLevelWidgets():
        with suppress(AttributeError):  # it is napari's own affair
            yield window._activity_dialog._toggleButton._inProgressIndicator.movie()


def lay_out_lists() -> None:
    """Let lists, such as that of the layers, show what is new in them now.

    By themselves they do so when Qt has put the window together for the canvas, and once more.
    """
    # Those that are hidden, over a hundred menus and lists, take long to look through.
    windows = (window for window in get_qapp().topLevelWidgets() if window.isVisible())
    for window in windows:
        for view in window.findChildren(QListView):
            if view.isVisible():
                view.doItemsLayout()
