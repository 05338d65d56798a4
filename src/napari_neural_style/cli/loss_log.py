"""The losses of every step as CSV."""

import csv
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from napari_neural_style.images.files import reason

if TYPE_CHECKING:
    from napari_neural_style.transfer.update import Update

LOG_COLUMNS: Final = ("step", "scale", "content", "style", "tv", "total", "seconds")

_HEADER: Final = re.compile(re.escape(",".join(LOG_COLUMNS).encode()) + rb"\r?\n")
_ROW: Final = re.compile(rb"(\d{1,12}),(?:[^,\n]*,){5}(\d+\.\d*)\r?\n")


class LossLog:
    """Writes a row at each step, at once, so that it can be watched.

    Parameters
    ----------
    path
        The file.
    after
        Go on with the log of a run that is resumed after this step: later rows are deleted.
        None to begin a new one.
    """

    def __init__(self, path: Path, after: int | None = None) -> None:
        before = None if after is None else _cut(path, after)
        self._start = time.monotonic() - (before or 0.0)
        self._path = path
        self._file = path.open("w" if before is None else "a", newline="")
        self._writer = csv.writer(self._file)
        if before is None:
            self._writer.writerow(LOG_COLUMNS)

    def __enter__(self) -> "LossLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, update: "Update") -> str | None:
        """Write the row of a step; return what the user should know, if that fails."""
        if self._file.closed:
            return None
        losses = (update.losses[name] for name in ("content", "style", "tv", "total"))
        seconds = time.monotonic() - self._start
        try:
            self._writer.writerow([update.step, update.scale, *losses, f"{seconds:.3f}"])
            self._file.flush()
        except OSError as error:  # losses are not worth a run
            with suppress(OSError):
                self._file.close()
            return (
                f"The losses from step {update.step} on could not be written to {self._path}, and "
                f"the run goes on: {reason(error)}."
            )
        return None


def check_log(path: Path) -> None:
    """Raise a ValueError if a file that is there is no log that could be gone on with."""
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            if not _HEADER.fullmatch(file.readline(1000)):
                raise ValueError(f"{path} is no log of losses to go on with: choose another name.")


def _cut(path: Path, step: int) -> float | None:
    """Delete the rows after a step; return the seconds of the last one, or None without a log."""
    check_log(path)
    if not path.exists() or not path.stat().st_size:
        return None
    seconds = 0.0
    with path.open("rb+") as file:
        file.readline()
        end = file.tell()
        while (row := _ROW.fullmatch(file.readline())) and int(row[1]) <= step:
            end, seconds = file.tell(), float(row[2])
        os.ftruncate(file.fileno(), end)
    return seconds
