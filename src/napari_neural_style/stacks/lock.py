"""One process at a time paints into a folder."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Final

import psutil

from napari_neural_style.stacks.disk import explained
from napari_neural_style.validation import whole

_NAME: Final = "planes.lock"
# A clock that is set between two looks moves the start of a process.
_SECONDS_APART: Final = 2.0
# A file that names nobody for so long is what a full disk or a power cut has left.
_SECONDS_TO_WRITE: Final = 60.0
_MOST_TEXT: Final = 400

_Owner = tuple[str, int, float]
"""Host, process and, for an id is used again, when that was started."""


class FolderLock:
    """A file in a folder that names the process that paints there.

    The file of a process of this machine that is no more does not count.

    Parameters
    ----------
    folder
        The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / _NAME
        self._ours = False

    def check(self) -> None:
        """Raise an ``OSError`` that says who paints into the folder, if someone does.

        It does so, too, if the file of one who is gone cannot be deleted.
        """
        try:
            owner = _owner(self._file)
            age = time.time() - self._file.stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return
        if _is_gone(owner) if owner else age > _SECONDS_TO_WRITE:
            try:
                self._file.unlink(missing_ok=True)
            except OSError as error:
                raise explained(self._folder, error) from error
            return
        who = f"process {owner[1]} on {owner[0]}" if owner else "another process"
        raise OSError(
            f"{self._folder} is being painted by {who}: wait for its end, or choose another "
            f"place. If nothing paints there, delete {self._file}."
        )

    def acquire(self) -> None:
        """Take the folder for this process.

        Raises
        ------
        OSError
            If another run has it, or the folder cannot be written.
        """
        self.check()
        try:
            with self._file.open("x") as file:
                self._ours = True
                json.dump(_this_process(), file)
        except FileExistsError:  # another one was faster
            self.check()
            raise
        except OSError as error:
            self.release()
            raise explained(self._folder, error) from error

    def release(self) -> None:
        """Leave it to others, if it was taken."""
        if self._ours:
            self._file.unlink(missing_ok=True)
            self._ours = False


def _this_process() -> _Owner:
    return socket.gethostname(), os.getpid(), psutil.Process().create_time()


def _owner(file: Path) -> _Owner | None:
    """Who is named; None in a file that is just being written, or damaged."""
    if file.exists() and not file.is_file():  # a pipe would be waited for
        return None
    with file.open(errors="replace") as opened:
        text = opened.read(_MOST_TEXT)
    try:
        host, process, started = json.loads(text)
        owner = str(host), whole("process", process, 1, 2**31 - 1), float(started)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    return owner


def _is_gone(owner: _Owner) -> bool:
    host, process, started = owner
    if host != socket.gethostname():
        return False  # nothing is known of it
    if not psutil.pid_exists(process):
        return True
    try:
        begun = psutil.Process(process).create_time()
    except psutil.Error:  # it is not ours to look at, or has just ended
        return False
    return bool(abs(begun - started) > _SECONDS_APART)
