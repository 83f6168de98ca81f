"""A proxy that fails on purpose, for a drill between real senders and a real server."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BEFORE = ("500", "502", "503", "429", "408", "reset", "hang")  # the server never sees the request
AFTER = ("reset after", "truncated", "html")  # it does, and its answer is lost
HANG_S = 2.0


class FaultyProxy:
    """Passes requests on to `127.0.0.1:target`, except for a random share of them.

    Args:
        target: port of the server.
        share: of all requests, that fail.
        seed: of chance.
    """

    def __init__(self, target: int, share: float, seed: int) -> None:
        self.share = share
        self.faults: Counter[str] = Counter()
        self.n_requests = 0
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self, target))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_fault(self) -> str | None:
        """Return how the next request fails; None: it does not."""
        with self._lock:
            self.n_requests += 1
            if self._chance.random() >= self.share:
                return None
            fault = self._chance.choice(BEFORE + AFTER)
            self.faults[fault] += 1
            return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is what this is for."""


def _handler(proxy: FaultyProxy, target: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass(b"")

        def do_POST(self) -> None:
            self._pass(self.rfile.read(int(self.headers["Content-Length"])))

        def _pass(self, body: bytes) -> None:
            fault = proxy.next_fault()
            if fault in BEFORE:
                self._fail(fault)
                return
            try:
                status, data = self._forward(body)
            except OSError:
                self._reset()  # The server is down.
                return
            if fault == "reset after":
                self._reset()
            elif fault == "truncated":
                self._say(status, data[: len(data) // 2], len(data))
                self.close_connection = True
            elif fault == "html":
                self._say(200, b"<html>welcome</html>")
            else:
                self._say(status, data)

        def _fail(self, fault: str) -> None:
            if fault == "reset":
                self._reset()
            elif fault == "hang":
                time.sleep(HANG_S)
                self._reset()
            else:
                self._say(int(fault), b"<html>an error</html>")

        def _forward(self, body: bytes) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", target, timeout=60)
            names = ("Authorization", "Content-Type")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            try:
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except http.client.HTTPException as error:
                raise ConnectionResetError from error
            finally:
                connection.close()

        def _say(self, status: int, data: bytes, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data) if length is None else length))
            self.end_headers()
            self.wfile.write(data)

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    return Handler
