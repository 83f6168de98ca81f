"""A small real server of docs/formats/ingest.md that fails on purpose: what senders are tested against.

It keeps what it acknowledged in memory, block by block, and reads single rows out of it, so that a test can
compare them with what a script logged.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from epochal.wire.block import Block, decode

KEY = "epochal-aaaa"
FAULTS = ("500", "502", "503", "429", "408", "507", "reset", "truncated", "html", "lost reply")
Writer = tuple[str, str, str]  # project, run, writer


class Peer:
    """The server.  It listens on return.

    Args:
        port: to listen on; 0 takes a free one.
        certificate: files of the certificate and its key, for TLS.
    """

    def __init__(self, port: int = 0, certificate: tuple[Path, Path] | None = None) -> None:
        self.blocks: dict[Writer, list[Block]] = defaultdict(list)
        self.requests: list[tuple[float, str, int]] = []  # time, path, bytes of the body
        self.max_body_bytes = 64 << 20
        self.max_block_bytes = 16 << 20
        self.headers: dict[str, str] = {}  # of every answer
        self.delay_s = 0.0
        self.ended = False
        self.bytes_per_s = 0.0  # at which bodies are read; 0: as fast as they come
        self.fault: Callable[[str], str | None] = lambda path: None
        self.refuses: Callable[[Block], str | None] = lambda block: None  # code of a writer's error
        self.is_stopped = False
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []
        self._server = _Server(("127.0.0.1", port), _handler(self))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def fail_sometimes(self, share: float, seed: int, kinds: tuple[str, ...] = FAULTS) -> None:
        """Let a random `share` of all requests fail, each in one of `kinds`."""
        chance = random.Random(seed)
        self.fault = lambda path: chance.choice(kinds) if chance.random() < share else None

    def stop(self) -> None:
        """Stop listening, and cut every connection."""
        if self.is_stopped:
            return
        self.is_stopped = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for held in list(self._held):
            # Closing alone would leave those that are being read from as they are.
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
            held.close()

    def offset(self, writer: Writer) -> int:
        """Return where a writer's next block must begin."""
        blocks = self.blocks.get(writer)
        return blocks[-1].end_offset if blocks else 0

    def take(self, block: Block) -> str | None:
        """Store a block if it is the next one; return the code of an error."""
        code = self.refuses(block)
        if code is None and block.first_offset == self.offset((block.project, block.run_id, block.writer)):
            self.blocks[block.project, block.run_id, block.writer].append(block)
        return code

    def rows(self, run: str | None = None) -> list[tuple[int, dict[str, Any]]]:
        """Return the rows of a run, or of all, writer by writer, as (step, values)."""
        return [
            row
            for (_, of_run, _), blocks in sorted(self.blocks.items())
            if run in (None, of_run)
            for block in blocks
            for row in rows_of(block)
        ]

    def counts(self, key: str, run: str | None = None) -> Counter[Any]:
        """Return how often each value of `key` is there."""
        return Counter(data[key] for _, data in self.rows(run) if key in data)

    def answer(self, body: bytes) -> dict[str, Any]:
        """Store what a body holds; return the answer."""
        found: dict[Writer, dict[str, Any]] = {}
        with self._lock:
            at = 0
            while at < len(body):
                length = int.from_bytes(body[at : at + 4], "little")
                block = decode(body[at + 4 : at + 4 + length])
                at += 4 + length
                too_large = length > self.max_block_bytes
                code = "block_too_large" if too_large else self.take(block)
                writer = (block.project, block.run_id, block.writer)
                entry = {
                    "entity": block.entity or "ada",
                    "project": writer[0],
                    "run": writer[1],
                    "writer": writer[2],
                }
                error = {"error": {"code": code, "message": "it is not good", "hint": ""}} if code else {}
                found[writer] = {**found.get(writer, {}), **entry, "offset": self.offset(writer), **error}
        return {"writers": list(found.values())}


def rows_of(block: Block) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a block."""
    if isinstance(block.steps, bytes):
        steps = list(struct.unpack(f"<{block.n_rows}q", block.steps))
    else:
        steps = [block.steps[0] + i * block.steps[1] for i in range(block.n_rows)]
    rows: list[dict[str, Any]] = [{} for _ in range(block.n_rows)]
    for column in block.columns:
        n = block.n_rows if column.rows is None else len(column.rows) // 4
        at = range(n) if column.rows is None else struct.unpack(f"<{n}I", column.rows)
        code = {"f": "d", "i": "q", "b": "?", "v": ""}[column.kind]
        values = struct.unpack(f"<{n}{code}", column.values) if code else column.values  # type: ignore[arg-type]
        for row, value in zip(at, values, strict=True):
            rows[row][column.key] = value
    return zip(steps, rows, strict=True)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that a fault or a kill cut is no news."""


def _handler(peer: Peer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            peer._held.append(self.connection)

        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            if not peer.bytes_per_s:
                self._serve(self.rfile.read(length))
                return
            body, piece = b"", max(1, int(peer.bytes_per_s / 20))
            while len(body) < length:
                part = self.rfile.read(min(piece, length - len(body)))
                if not part:
                    return
                body += part
                time.sleep(len(part) / peer.bytes_per_s)
            self._serve(body)

        def _serve(self, body: bytes) -> None:
            path = urlsplit(self.path)
            peer.requests.append((time.monotonic(), path.path, len(body)))
            time.sleep(peer.delay_s)
            fault = peer.fault(path.path)
            if fault is not None and not self._fails(fault, body):
                return
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                self._say(401, {"error": {"code": "not_signed_in", "message": "no such key", "hint": ""}})
            elif path.path == "/api/viewer":
                limits = {"max_body_bytes": peer.max_body_bytes, "max_block_bytes": peer.max_block_bytes}
                viewer = {"username": "ada", "entity": "ada", "server": {"version": "1"}, "limits": limits}
                self._say(200, viewer)
            elif path.path == "/api/offsets":
                asked = {name: values[0] for name, values in parse_qs(path.query).items()}
                wanted = (asked["project"], asked["run"])
                writers = {w[2]: peer.offset(w) for w in list(peer.blocks) if w[:2] == wanted}
                self._say(200, {"writers": writers, "ended": peer.ended})
            elif len(body) > peer.max_body_bytes:
                error = {"code": "body_too_large", "message": "too large", "max_bytes": peer.max_body_bytes}
                self._say(413, {"error": error})
            else:
                self._say(200, peer.answer(body))

        def _fails(self, fault: str, body: bytes) -> bool:
            """Fail as `fault` says; return True if the request is to be served after all."""
            if fault == "lost reply":
                peer.answer(body) if body else None
                fault = "reset"
            if fault == "hang":
                time.sleep(3600)
            elif fault == "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True
            elif fault == "truncated":
                text = json.dumps(peer.answer(body) if body else {}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text) + 10))
                self.end_headers()
                self.wfile.write(text)
                self.close_connection = True
            elif fault == "endless":
                self.send_response(200)
                self.send_header("Content-Length", str(1 << 40))
                self.end_headers()
                with contextlib.suppress(OSError):
                    while True:
                        self.wfile.write(b" " * 65_536)
                self.close_connection = True
            elif fault == "html":
                self._say(200, "<html>a proxy's page</html>")
            elif fault in ("429", "503"):
                self._say(int(fault), "busy", {"Retry-After": "0"})
            else:
                self._say(int(fault), "<html>an error</html>")
            return False

        def _say(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in {**peer.headers, **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    return Handler
