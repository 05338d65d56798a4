"""Standard output and error, which may be closed or go away while a run goes on."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast


class _Lasting:
    """A stream that falls silent when nobody is there to read it.

    Parameters
    ----------
    stream
        Where to write.
    deaf
        What it raises then.
    """

    def __init__(self, stream: TextIO, *deaf: type[Exception]) -> None:
        self._stream, self._deaf = stream, deaf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or do as if."""
        with self._silenced():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write out what is waiting, or do as if."""
        with self._silenced():
            self._stream.flush()

    @contextmanager
    def _silenced(self) -> Iterator[None]:
        try:
            yield
        except self._deaf:
            # Below Python, too, which flushes once more at its end.
            with suppress(OSError, ValueError), open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), self._stream.fileno())


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Let no command fail because its progress or complaints cannot be shown.

    What is written to standard output is what was asked for: only that its reader leaves, as
    ``head`` does, is no error.
    """
    before = sys.stdout, sys.stderr
    with suppress(OSError):
        _fill_closed()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before Python began
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    sys.stdout = cast(TextIO, _Lasting(sys.stdout, BrokenPipeError))
    sys.stderr = cast(TextIO, _Lasting(sys.stderr, OSError, ValueError))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def say(arguments: argparse.Namespace, message: str, to: TextIO | None = None) -> None:
    """Print a message, to standard error by default, unless ``--quiet`` is given."""
    if not arguments.quiet:
        print(message, file=sys.stderr if to is None else to)


def _fill_closed() -> None:
    """Take the places of closed streams, or the next file opened would get what is printed."""
    handle = os.open(os.devnull, os.O_RDWR)
    while handle <= 2:
        handle = os.dup(handle)
    os.close(handle)
