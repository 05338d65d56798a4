"""Room on the disk, and what went wrong with it, in words."""

import errno
import shutil
from pathlib import Path

from napari_neural_style.images.files import reason

_UNITS = ("kB", "MB", "GB", "TB")


def check_room(path: Path, size: int) -> None:
    """Raise an OSError if the disk has no room for half of so many bytes.

    Compressed, paintings take more than half.
    """
    free = shutil.disk_usage(path.parent).free
    if free < size / 2:
        raise OSError(
            f"Cannot write {path}: the stack takes up to {_readable(size)}, and the disk has "
            f"{_readable(free)} free. Choose another place, or a smaller size."
        )


def explained(path: Path, error: OSError) -> OSError:
    """Return an error of writing into a folder, with what can be done about it."""
    if error.errno == errno.ENOSPC:
        free = shutil.disk_usage(path if path.exists() else path.parent).free
        why = f"the disk is full ({_readable(free)} are free). Make room"
    elif error.errno == errno.EROFS:
        why = "the disk can only be read. Make it writable"
    else:
        return type(error)(f"Cannot write {path}: {reason(error)}.")
    told = OSError(f"Cannot write {path}: {why} and start again: what is done is kept.")
    told.errno = error.errno  # given with the message, it would stand before it
    return told


def _readable(size: int) -> str:
    power = min(max((len(str(size)) - 1) // 3, 1), len(_UNITS))
    return f"{size / 1000**power:.1f} {_UNITS[power - 1]}"
