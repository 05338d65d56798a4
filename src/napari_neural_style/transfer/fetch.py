"""A large file from the web: whole and genuine, or not at all."""

import hashlib
import shutil
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Final, TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes received and the bytes in all, which are 0 if they are not known."""

_CHUNK: Final = 1 << 16
_WAITING_CHUNKS: Final = 64
# Seconds: until a silent server is given up, before a cut connection is taken up again,
# and between two looks at whether the download is still wanted.
_PATIENCE: Final = 30.0
_PAUSE: Final = 2.0
_LOOK: Final = 0.1


class NetworkError(OSError):
    """An address that cannot be reached, or a connection that ended early."""


class WrongFileError(Exception):
    """What came is not the expected file; the message is how its SHA-256 starts."""


class Cancelled(Exception):
    """The download is no longer wanted."""


def fetch(
    url: str,
    file: Path,
    sha256: str,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Download a file and check it; a connection that is cut is taken up again.

    Parameters
    ----------
    url
        What to download.
    file
        Where it goes, in a folder that exists. Unless it is complete, nothing stays there.
    sha256
        Of the file's content, in hexadecimal digits.
    progress
        See `Progress`.
    cancelled
        Asked several times a second whether to give up.

    Raises
    ------
    NetworkError
        If the address cannot be reached, or falls silent, or ends early and gives no more.
    WrongFileError
        If what came has another SHA-256.
    Cancelled
        If ``cancelled`` said so.
    OSError
        If the file cannot be written.
    """
    digest = hashlib.sha256()
    try:
        with file.open("xb") as out:
            for chunk, received, total in _resumed(url, cancelled or (lambda: False)):
                if received == len(chunk):
                    _check_space(file.parent, total)
                out.write(chunk)
                digest.update(chunk)
                if progress is not None:
                    progress(received, total)
        if digest.hexdigest() != sha256:
            raise WrongFileError(digest.hexdigest()[:8])
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")


def _resumed(url: str, cancelled: Callable[[], bool]) -> Iterator[tuple[bytes, int, int]]:
    """Yield chunk, bytes so far and bytes in all, over as many connections as it takes."""
    received = total = 0
    while True:
        before = received
        try:
            for chunk, total in _chunks(url, before, cancelled):
                received += len(chunk)
                yield chunk, received, total
            if received >= total:
                return
            raise NetworkError(f"the connection ended after {received} of {total} bytes")
        except NetworkError:
            if received == before:
                raise
        end = time.monotonic() + _PAUSE
        while time.monotonic() < end:
            if cancelled():
                raise Cancelled
            time.sleep(_LOOK)


def _chunks(url: str, start: int, cancelled: Callable[[], bool]) -> Iterator[tuple[bytes, int]]:
    """Yield what one connection brings, each with the size of the whole file.

    Neither a name server nor a socket can be interrupted, so a thread waits for them, and
    is left to itself when the download is cancelled.
    """
    items: Queue[tuple[bytes, int] | Exception] = Queue(_WAITING_CHUNKS)
    unwanted = threading.Event()
    threading.Thread(
        target=_receive, args=(url, start, items, unwanted), name="download", daemon=True
    ).start()
    try:
        while True:
            if cancelled():
                raise Cancelled
            try:
                item = items.get(timeout=_LOOK)
            except Empty:
                continue
            if isinstance(item, Exception):
                reason = str(item).removeprefix("<urlopen error ").removesuffix(">")
                raise NetworkError(" ".join(reason.split())) from item
            if not item[0]:
                return
            yield item
    finally:
        unwanted.set()


def _receive(
    url: str,
    start: int,
    items: "Queue[tuple[bytes, int] | Exception]",
    unwanted: threading.Event,
) -> None:
    """Put the chunks of one connection, and an empty one or an error at its end."""

    def put(item: tuple[bytes, int] | Exception) -> None:
        while not unwanted.is_set():
            try:
                return items.put(item, timeout=_LOOK)
            except Full:
                continue

    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
            _check_answer(response, url, start)
            total = start + int(response.headers.get("Content-Length") or 0)
            while not unwanted.is_set():
                chunk = response.read1(_CHUNK)
                put((chunk, total))
                if not chunk:
                    return
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        put(error)


def _check_answer(response: HTTPResponse, url: str, start: int) -> None:
    scheme = urllib.parse.urlsplit(url).scheme
    if urllib.parse.urlsplit(response.url).scheme != scheme:
        raise OSError(f"it leads to {response.url}, which is not {scheme}")
    if start and response.status != 206:
        raise OSError(f"the connection ended after {start} bytes and cannot be taken up again")
