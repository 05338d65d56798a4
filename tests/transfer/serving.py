"""A server that misbehaves as servers do, and a proxy on the way to it."""

import http.server
import re
import select
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

CUT = 100_000
"""Bytes after which a connection to ``/cut`` or ``/resumed`` ends."""

AUTHORITY = Path(__file__).parent / "certificates" / "authority.pem"
"""Who vouches for the server, for the variable ``SSL_CERT_FILE``."""


class Serving:
    """What is served under any address, and what was asked for."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges: list[str | None] = []
        self.silent = threading.Event()
        """Set when the server has begun to keep a client of ``/hang`` waiting."""
        self.closing = threading.Event()
        self.both = threading.Barrier(2)


@contextmanager
def serve(content, secure=False):
    """Serve bytes on this machine; yields the `Serving` and the server's address.

    ``/missing`` is not there, ``/cut`` always ends early, ``/resumed`` ends early and
    takes up a download where it ended, ``/hang`` falls silent in the middle, ``/endless``
    has no end, ``/babble`` answers with what is no HTTP, ``/many`` does not know its length,
    ``/to?URL`` leads to another address, ``/both`` waits for a second client;
    anything else just comes. A secure server, of https, is trusted by whom `AUTHORITY` is.
    """
    serving = Serving(content)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers["Range"]
            serving.ranges.append(wanted)
            if self.path == "/missing":
                return self.send_error(404)
            if self.path.startswith("/to?"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/to?"))
                return self.end_headers()
            if self.path == "/babble":
                return self.wfile.write(b"\x1b[2J" * 1000)
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
            if self.path != "/resumed":
                start = 0
            self.send_response(206 if start else 200)
            if self.path != "/endless":
                length = "many" if self.path == "/many" else str(len(content) - start)
                self.send_header("Content-Length", length)
            self.end_headers()
            if self.path == "/both":
                serving.both.wait()
            if self.path in ("/cut", "/resumed"):
                self.wfile.write(content[start : start + CUT])
            elif self.path == "/hang":
                self.wfile.write(content[:CUT])
                self.wfile.flush()
                serving.silent.set()
                serving.closing.wait()
            elif self.path == "/endless":
                while not serving.closing.is_set():
                    self.wfile.write(content)
            else:
                self.wfile.write(content)
            return None

        def log_message(self, *args):
            pass

        def handle(self):
            try:
                super().handle()
            except OSError:  # the client has gone, or does not trust us
                self.close_connection = True

        def finish(self):
            with suppress(OSError):
                super().finish()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(AUTHORITY.with_name("localhost.pem"))
            # In the thread of each connection, not where all are accepted.
            httpd.socket = context.wrap_socket(
                httpd.socket, server_side=True, do_handshake_on_connect=False
            )
        with _running(httpd, serving.closing):
            host = "https://localhost" if secure else "http://127.0.0.1"
            yield serving, f"{host}:{httpd.server_port}"


@contextmanager
def proxy():
    """Run a proxy on this machine; yields its address and the list of where it led."""
    led, closing = [], threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            led.append(self.path)
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port))) as beyond:
                self.send_response(200)
                self.end_headers()
                self._join(self.connection, beyond)

        def _join(self, *ends):
            while not closing.is_set():
                for end in select.select(ends, (), (), 0.1)[0]:
                    data = end.recv(1 << 16)
                    if not data:
                        return
                    ends[end is ends[0]].sendall(data)

        def log_message(self, *args):
            pass

    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd,
        _running(httpd, closing),
    ):
        yield f"http://127.0.0.1:{httpd.server_port}", led


@contextmanager
def _running(httpd, closing):
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        closing.set()
        httpd.shutdown()
        thread.join()
