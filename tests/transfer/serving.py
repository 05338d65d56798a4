"""A server that misbehaves as servers do."""

import http.server
import re
import threading
from contextlib import contextmanager

CUT = 100_000
"""Bytes after which a connection to ``/cut`` or ``/resumed`` ends."""


class Serving:
    """What is served under any address, and what was asked for."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges: list[str | None] = []
        self.silent = threading.Event()
        """Set when the server has begun to keep a client of ``/hang`` waiting."""
        self.closing = threading.Event()


@contextmanager
def serve(content):
    """Serve bytes on this machine; yields the `Serving` and the server's address.

    ``/missing`` is not there, ``/cut`` always ends early, ``/resumed`` ends early and
    takes up a download where it ended, ``/hang`` falls silent in the middle; anything
    else just comes.
    """
    serving = Serving(content)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers["Range"]
            serving.ranges.append(wanted)
            if self.path == "/missing":
                return self.send_error(404)
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
            if self.path != "/resumed":
                start = 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if self.path in ("/cut", "/resumed"):
                self.wfile.write(content[start : start + CUT])
            elif self.path == "/hang":
                self.wfile.write(content[:CUT])
                self.wfile.flush()
                serving.silent.set()
                serving.closing.wait()
            else:
                self.wfile.write(content)
            return None

        def log_message(self, *args):
            pass

        def handle(self):
            try:
                super().handle()
            except ConnectionError:  # the client has gone
                self.close_connection = True

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield serving, f"http://127.0.0.1:{httpd.server_port}"
        finally:
            serving.closing.set()
            httpd.shutdown()
            thread.join()
