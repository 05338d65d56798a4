"""A large file from the web: whole and genuine, or not at all."""

import hashlib
import shutil
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from queue import Empty, Full, Queue
from typing import IO, Final, TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes received and the bytes in all, which are 0 if they are not known."""

_CHUNK: Final = 1 << 16
_WAITING_CHUNKS: Final = 64
# Seconds: until a silent server is given up, before a cut connection is taken up again,
# and between two looks at whether the download is still wanted.
_PATIENCE: Final = 30.0
_PAUSE: Final = 2.0
_LOOK: Final = 0.1
_MOST_WORDS: Final = 200
"""Letters of what went wrong."""


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
    limit: int,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Download a file and check it; a connection that is cut is taken up again.

    Parameters
    ----------
    url
        What to download. A redirection to another server, or from https, is not followed.
    file
        Where it goes, in a folder that exists. Unless it is complete, nothing stays there.
    sha256
        Of the file's content, in hexadecimal digits.
    limit
        More bytes are not taken, whatever the server says.
    progress
        See `Progress`.
    cancelled
        Asked several times a second whether to give up.

    Raises
    ------
    NetworkError
        If the address cannot be reached, falls silent, ends early and gives no more, leads to
        another server or has no end.
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
                if max(received, total) > limit:
                    raise NetworkError(f"it is longer than the {limit / 1e6:.0f} MB it may be")
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


def _in_words(error: Exception) -> str:
    """Say what went wrong; what the other side sent may be anything, and is told to a terminal."""
    said = str(error).removeprefix("<urlopen error ").removesuffix(">")
    shown = "".join(letter if letter.isprintable() else " " for letter in said)
    return " ".join(shown.split())[:_MOST_WORDS]


def _chunks(url: str, start: int, cancelled: Callable[[], bool]) -> Iterator[tuple[bytes, int]]:
    """Yield what one connection brings, each with the size of the whole file."""
    receiver = _Receiver(url, start)
    receiver.start()
    try:
        while True:
            if cancelled():
                raise Cancelled
            try:
                item = receiver.items.get(timeout=_LOOK)
            except Empty:
                continue
            if isinstance(item, Exception):
                raise NetworkError(_in_words(item)) from item
            if not item[0]:
                return
            yield item
    finally:
        receiver.give_up()


class _Receiver(threading.Thread):
    """Waits for one connection, for neither a name server nor a handshake can be interrupted.

    Parameters
    ----------
    url
        The address.
    start
        How many bytes are there already.
    """

    def __init__(self, url: str, start: int) -> None:
        super().__init__(name="download", daemon=True)
        self._url, self._start = url, start
        self._unwanted = threading.Event()
        self._response: HTTPResponse | None = None
        self._closing = threading.Lock()
        self.items: Queue[tuple[bytes, int] | Exception] = Queue(_WAITING_CHUNKS)
        """The chunks with the size of the whole file, and an empty one or an error at the end."""

    def give_up(self) -> None:
        """Let the thread end, at once if the server has answered."""
        self._unwanted.set()
        with self._closing, suppress(OSError):
            if self._response is not None:
                # To close a socket does not wake who reads from it.
                line = socket.fromfd(self._response.fileno(), socket.AF_INET, socket.SOCK_STREAM)
                with line:
                    line.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        """Receive it."""
        headers = {"Range": f"bytes={self._start}-"} if self._start else {}
        # The user's proxies are heeded.
        opener = urllib.request.build_opener(_Staying)
        try:
            request = urllib.request.Request(self._url, headers=headers)  # noqa: S310 (a constant)
            with opener.open(request, timeout=_PATIENCE) as response:
                self._response = response
                try:
                    self._read(response)
                finally:
                    with self._closing:
                        self._response = None
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            self._put(error)

    def _read(self, response: HTTPResponse) -> None:
        if self._start and response.status != 206:
            raise OSError(
                f"the connection ended after {self._start} bytes and cannot be taken up again"
            )
        total = self._start + (response.length or 0)
        while not self._unwanted.is_set():
            chunk = response.read1(_CHUNK)
            self._put((chunk, total))
            if not chunk:
                return

    def _put(self, item: tuple[bytes, int] | Exception) -> None:
        while not self._unwanted.is_set():
            try:
                return self.items.put(item, timeout=_LOOK)
            except Full:
                continue


class _Staying(urllib.request.HTTPRedirectHandler):
    """Follows redirections on the same server only, and none from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        here, there = (urllib.parse.urlsplit(url) for url in (req.full_url, newurl))
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            fp.close()
            raise OSError(f"it leads to {newurl[:100]}, which is another address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
