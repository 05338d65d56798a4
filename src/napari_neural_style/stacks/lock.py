"""One process at a time paints into a folder."""

import json
import os
import socket
from pathlib import Path
from typing import Final

import psutil

_NAME: Final = "planes.lock"


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
        """Raise an ``OSError`` that says who paints into the folder, if someone does."""
        try:
            text = self._file.read_text()
        except FileNotFoundError:
            return
        try:
            host, process = json.loads(text)
        except ValueError:  # it is just being written
            host, process = "", 0
        if host == socket.gethostname() and not psutil.pid_exists(process):
            self._file.unlink(missing_ok=True)
            return
        who = f"process {process} on {host}" if host else "another process"
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
                json.dump([socket.gethostname(), os.getpid()], file)
        except FileExistsError:  # another one was faster
            self.check()
            raise
        self._ours = True

    def release(self) -> None:
        """Leave it to others, if it was taken."""
        if self._ours:
            self._file.unlink(missing_ok=True)
            self._ours = False
