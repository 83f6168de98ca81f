"""Kills a server at random moments while writers send to it, and looks for every row it had acknowledged.

The judges are the writers: each knows up to which offset the server said that it has its blocks, and what was
in them.  Between two lives of the server `epochal store check` looks at the files.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from epochal.ids import RunId, WriterId
from epochal.wire.block import Block, Column, encode

PROJECT = "server-kill-drill"
ROWS_A_BLOCK = 200
BYTES_A_BLOCK = 1000  # of the run log that a block stands for
KEYS = ("a", "b/c", "d", "e", "f")
_PATIENCE_S = 60.0


class Verdict(NamedTuple):
    """What was found.  Zero lost, twice, wrong and unclean is right."""

    n_kills: int
    n_rows: int  # acknowledged
    n_lost: int
    n_twice: int
    n_wrong: int  # rows with other values than were sent
    n_unclean: int  # looks of `epochal store check` that found something
    longest_start_s: float  # from the start of the process until it answered

    @property
    def is_right(self) -> bool:
        """Tell whether every acknowledged row was found, once, as it was sent, in sound files."""
        return not (self.n_lost or self.n_twice or self.n_wrong or self.n_unclean)


class Server:
    """`epochal server` on a data folder and port that stay the same from life to life."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self._epochal = str(Path(sys.executable).parent / "epochal")
        self._env = {**os.environ, "EPOCHAL_HOME": str(folder / "home")}
        self._log = (folder / "server.log").open("ab")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.longest_start_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.key = self._new_key()

    def start(self) -> None:
        """Start it and wait until it answers."""
        began = time.monotonic()
        self._process = subprocess.Popen(
            [self._epochal, "server", "--data-dir", str(self.data), "--port", str(self.port)],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - began > _PATIENCE_S:
                raise RuntimeError(f"the server does not start; see {self._log.name}")
            time.sleep(0.02)
        self.longest_start_s = max(self.longest_start_s, time.monotonic() - began)

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def is_clean(self) -> bool:
        """Tell whether `epochal store check` finds the files sound; the server must not run."""
        done = subprocess.run(
            [self._epochal, "store", "check", "--data-dir", str(self.data), "--json"],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode != 0:
            self._log.write(done.stdout)
            self._log.flush()
        return done.returncode == 0

    def request(self, path: str, body: bytes | None = None) -> bytes:
        """Return the answer to a request with the key.

        Raises:
            OSError: there is none, or it is an error.
        """
        headers = {"Authorization": f"Bearer {self.key}"}
        if body is not None:
            headers["Content-Type"] = "application/vnd.epochal.blocks"
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as reply:
            return cast("bytes", reply.read())

    def close(self) -> None:
        """End what is left of it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(_PATIENCE_S)
        self._log.close()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5.0) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def _new_key(self) -> str:
        done = subprocess.run(
            [self._epochal, "key", "new", "--data-dir", str(self.data)],
            env=self._env,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        found = re.search(r"\b[A-Za-z0-9_-]{40,}\b", done.stdout)
        assert found is not None, done.stdout
        return found.group()


class Writer(threading.Thread):
    """Sends blocks of one writer for as long as it may, and knows which the server acknowledged."""

    def __init__(self, server: Server, number: int, n_runs: int, stop: threading.Event) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.run_id = RunId(f"run{number % n_runs}")
        self.writer = WriterId(f"writer{number:02}")
        self.number, self._server, self._stop_sending = number, server, stop
        self.acknowledged = 0  # blocks
        self.went_back = 0  # times that the server had less than it had acknowledged

    def run(self) -> None:
        """Send until told to stop."""
        chance = random.Random(self.number)
        while not self._stop_sending.is_set():
            blocks = [self.block(self.acknowledged + i) for i in range(chance.randint(1, 5))]
            body = b"".join(struct.pack("<I", len(part)) + part for part in map(encode, blocks))
            try:
                reply = json.loads(self._server.request("/api/blocks", body))
            except (OSError, ValueError, HTTPException):
                self._stop_sending.wait(0.05)
                continue
            (entry,) = reply["writers"]
            assert "error" not in entry, entry
            n_stored = entry["offset"] // BYTES_A_BLOCK
            self.went_back += n_stored < self.acknowledged
            self.acknowledged = max(self.acknowledged, n_stored)

    def block(self, number: int) -> Block:
        """Return its block of that number, the same every time."""
        steps = self.steps(number)
        return Block(
            run_id=self.run_id,
            project=PROJECT,
            entity=None,
            writer=self.writer,
            kind="secondary",
            first_offset=number * BYTES_A_BLOCK,
            end_offset=(number + 1) * BYTES_A_BLOCK,
            n_rows=ROWS_A_BLOCK,
            steps=steps.astype("<i8").tobytes(),
            times=(1.7e9 + steps).astype("<f8").tobytes(),
            columns=[Column(f"{key}{self.number}", "f", None, values(steps, key).tobytes()) for key in KEYS],
        )

    def steps(self, number: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the steps of a block; every second block is late, so chunks are written over too."""
        place = number ^ 1
        return np.arange(place * ROWS_A_BLOCK, (place + 1) * ROWS_A_BLOCK, dtype=np.int64)


def values(
    steps: np.ndarray[tuple[int], np.dtype[np.int64]], key: str
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return what is logged at `steps`."""
    found: np.ndarray[tuple[int], np.dtype[np.float64]] = np.sin(steps * 0.01 * (1 + KEYS.index(key))) + steps
    return found


def server_kill_drill(
    folder: Path, *, n_kills: int, seed: int, n_writers: int = 20, n_runs: int = 5, check_every: int = 1
) -> Verdict:
    """Kill a server `n_kills` times while `n_writers` send to it; return what became of their rows.

    Args:
        folder: for the server's data.
        n_kills: how often.
        seed: of the random moments.
        n_writers: how many send at once.
        n_runs: that they share.
        check_every: the files are looked at after each so many kills, and at the end.
    """
    chance = random.Random(seed)
    server = Server(folder)
    try:
        stop = threading.Event()
        writers = [Writer(server, number, n_runs, stop) for number in range(n_writers)]
        for writer in writers:
            writer.start()
        n_unclean = 0
        for number in range(1, n_kills + 1):
            time.sleep(chance.uniform(0.05, 2.0))
            server.kill()
            n_unclean += number % check_every == 0 and not server.is_clean()
            server.start()
        stop.set()
        for writer in writers:
            writer.join(_PATIENCE_S)
        lost, twice, wrong = (sum(found) for found in zip(*_judge(server, writers), strict=True))
        lost += sum(writer.went_back for writer in writers)
        n_rows = sum(writer.acknowledged for writer in writers) * ROWS_A_BLOCK
        server.kill()
        n_unclean += not server.is_clean()
        return Verdict(n_kills, n_rows, lost, twice, wrong, n_unclean, server.longest_start_s)
    finally:
        server.close()


def _judge(server: Server, writers: Sequence[Writer]) -> Iterator[tuple[int, int, int]]:
    """Yield lost, twice and wrong rows of each writer."""
    for writer in writers:
        for key in KEYS:
            found = _history(server, writer.run_id, f"{key}{writer.number}")
            steps = [step for step, _ in found]
            sent = np.concatenate(
                [writer.steps(number) for number in range(writer.acknowledged)] or [np.empty(0, np.int64)]
            )
            lost = len(set(sent.tolist()) - set(steps))
            wanted = values(np.array(steps, np.int64), key)
            wrong = int((wanted != np.array([value for _, value in found])).sum()) if found else 0
            yield lost, len(steps) - len(set(steps)), wrong


def _history(server: Server, run_id: RunId, key: str) -> list[tuple[int, float]]:
    query = urllib.parse.urlencode(
        {"entity": "local", "project": PROJECT, "run": run_id, "keys": key, "format": "jsonl"}
    )
    rows = map(json.loads, server.request(f"/api/history?{query}").splitlines())
    return [(row["_step"], row[key]) for row in rows]
