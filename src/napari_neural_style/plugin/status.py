"""The line that tells the user what goes on, and what went wrong."""

import time
from collections.abc import Callable
from typing import Any, Final

from napari.utils.notifications import notification_manager, show_error

from .controls import Notice
from .worker import detached, explain

_QUIET: Final = 175
"""Opacity, of 255, of text that only accompanies."""
_WARNING: Final = "⚠"
_READING_SECONDS: Final = 5.0
"""How long hints and what went wrong stand, while the run goes on."""


class Status:
    """Says what goes on, in a line of the widget, and what went wrong, to napari as well.

    Parameters
    ----------
    line
        Where it is said.
    """

    def __init__(self, line: Notice) -> None:
        self._line = line
        self._loud = self.quiet = ""
        """The style sheet of text that only accompanies."""
        self._read_until = 0.0
        self._lasting = False

    def set_theme(self, theme: Any) -> None:
        """Take on the colours of one of napari's themes."""
        red, green, blue = theme.text.as_rgb_tuple()
        self._loud = f"color: rgb({red}, {green}, {blue});"
        self.quiet = f"color: rgba({red}, {green}, {blue}, {_QUIET});"
        self.say(self.text)

    @property
    def text(self) -> str:
        """What it tells."""
        return self._line.text()

    @property
    def warns(self) -> bool:
        """Whether it tells what went wrong."""
        return self.text.startswith(_WARNING)

    @property
    def was_read(self) -> bool:
        """Whether what it told there was time to read, and it does not last."""
        return not self._lasting and time.monotonic() > self._read_until

    def say(self, text: str) -> None:
        """Tell the user what goes on, or what to do."""
        self._line.setText(text)
        style = self._loud if text.startswith(_WARNING) else self.quiet
        if style != self._line.styleSheet():  # Qt reads it anew, and lays out the window
            self._line.setStyleSheet(style)

    def hint(self, text: str) -> None:
        """Tell what is to be read although the run goes on."""
        self.say(text)
        self._read_until = time.monotonic() + _READING_SECONDS

    def accompany(self, text: str) -> None:
        """Tell how a run goes on, unless a hint or what went wrong is still being read."""
        if time.monotonic() > self._read_until:
            self.say(text)

    def fail(self, sentence: str, lasting: bool = False) -> None:
        """Tell what went wrong, and what to do about it.

        Parameters
        ----------
        sentence
            What to tell.
        lasting
            Whether that stays so, whatever else the user does.
        """
        self._lasting = lasting
        warning = f"{_WARNING} {sentence}"
        told = self.text == warning
        self.hint(warning)
        if not told:  # of several edits that fail alike, once
            show_error(sentence)

    def report(self, error: Exception) -> None:
        """Tell of an exception: in a sentence, or of a bug with its traceback."""
        sentence = explain(error)
        if sentence is not None:
            self.fail(sentence)
            return
        # Of a bug napari shows the traceback, which a report needs.
        self.say(f"{_WARNING} The run failed: {type(error).__name__}: {error}")
        notification_manager.receive_error(type(error), detached(error))

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something, and tell what goes wrong."""
        try:
            action()
        except Exception as error:
            self.report(error)
