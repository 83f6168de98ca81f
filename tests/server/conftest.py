"""A real server in a process of its own, on a free port, and real run logs for it to show."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from epochal.ids import RunId, WriterId
from epochal.runlog.folder import default_runs_folder, new_run_folder
from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import RunLogReader
from epochal.runlog.writer import RunLogWriter
from epochal.wire.block import Block, Column, encode
from epochal.wire.build import build_block, header_frame

DEADLINE_S = 60.0  # generous: for a machine that is busy with other things
STARTED = 1_700_000_000.0

_encode = msgspec.msgpack.Encoder().encode


class LiveServer:
    """An `epochal ui` process.

    Args:
        home: its EPOCHAL_HOME.
        arguments: further ones of the command line.
    """

    def __init__(self, home: Path, arguments: Sequence[str] = ()) -> None:
        self.home = home
        self.link = ""
        command = [sys.executable, "-m", "epochal.cli.main", "ui", "--no-browser", *arguments]
        if "--port" not in arguments:
            command += ["--port", "0"]
        self.process = subprocess.Popen(
            command,
            env=os.environ | {"EPOCHAL_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.printed = ""
        while "Ctrl-C" not in self.printed:
            line = self.process.stdout.readline()
            assert line, f"the server did not start: {self.process.communicate()[1]}"
            self.printed += line
        self.link = next(word for word in self.printed.split() if word.startswith("http://"))
        self.url = self.link.partition("/login")[0]

    @contextlib.contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Give a client that is signed in."""
        linked = subprocess.run(
            [sys.executable, "-m", "epochal.cli.main", "link"],
            env=os.environ | {"EPOCHAL_HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=True,
        )
        with httpx.Client(base_url=self.url, timeout=DEADLINE_S) as client:
            answer = client.get(linked.stdout.strip())
            assert answer.status_code == 303, answer.text
            yield client

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit code and what was written to the standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, errors

    def kill(self) -> None:
        """End the process, whatever state it is in."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., LiveServer]]:
    """Return a function that starts a server; all of them are ended after the test."""
    started: list[LiveServer] = []

    def start(*arguments: str, home: Path = tmp_path / "epochal-home") -> LiveServer:
        started.append(LiveServer(home, arguments))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Return a server for all tests of a module, without runs; what a test logs, the next one sees too."""
    server = LiveServer(tmp_path_factory.mktemp("live") / "epochal-home")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def client(live_server: LiveServer) -> Iterator[httpx.Client]:
    """Return a client that is signed in to `live_server`."""
    with live_server.client() as signed_in:
        yield signed_in


class Run:
    """A run log that a test writes."""

    def __init__(self, home: Path, run_id: str, project: str, started: float) -> None:
        folder = new_run_folder(default_runs_folder(home), run_id, mode="online", now=started)
        self.run_id, self.project, self.now = run_id, project, started
        header = Header(
            run_id=run_id,
            project=project,
            entity=None,
            writer=f"w{run_id}"[:8].ljust(8, "0"),
            kind="primary",
            start_time=started,
        )
        self.path = folder / f"{header.writer}.runlog"
        self._writer = RunLogWriter(self.path, header)

    def put(self, record_type: RecordType, *items: object) -> None:
        """Append a record, one second after the last one."""
        self.now += 1
        self._writer.append(_encode((int(record_type), self.now, *items)))

    def log(self, rows: Sequence[Mapping[str, object]], first_step: int = 0) -> None:
        """Append rows of consecutive steps."""
        for step, row in enumerate(rows, first_step):
            self.put(RecordType.ROW, step, row)

    def finish(self, **exit_record: object) -> None:
        """Append the end, as the sidecar would say it, and close the file."""
        self.put(RecordType.EXIT, {"state": "finished", "exit_code": 0} | exit_record)
        self._writer.close()


def new_key(home: Path, *arguments: str) -> str:
    """Return a new API key of the data folder below `home`; the arguments are those of `epochal key new`."""
    made = subprocess.run(
        [sys.executable, "-m", "epochal.cli.main", "key", "new", *arguments],
        env=os.environ | {"EPOCHAL_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.split()[0]


@pytest.fixture(name="new_key", scope="session")
def _new_key() -> Callable[..., str]:
    return new_key


class Sender:
    """Sends blocks with an API key, as a sidecar does."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=DEADLINE_S, headers={"authorization": f"Bearer {key}"})

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        """Send a body as it is."""
        headers = {"content-type": "application/vnd.epochal.blocks"} | headers
        return self.http.post("/api/blocks", content=body, headers=headers)

    def send(self, *blocks: Block | bytes) -> dict[str, Any]:
        """Send blocks, which must be taken; return the answer."""
        answer = self.post(body_of(*blocks))
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def rows(self, run: str, project: str = "digits", entity: str = "local") -> list[dict[str, object]]:
        """Return every row that the server has of a run, without its time."""
        asked = {"entity": entity, "project": project, "run": run}
        lines = self.http.get("/api/history", params=asked).text.splitlines()
        rows: list[dict[str, object]] = [json.loads(line) for line in lines]
        return [{key: value for key, value in row.items() if key != "_timestamp"} for row in rows]


@pytest.fixture(scope="module")
def sender(live_server: LiveServer) -> Iterator[Sender]:
    """Return a sender to `live_server` with a key of its owner."""
    sender = Sender(live_server.url, new_key(live_server.home))
    yield sender
    sender.http.close()


@pytest.fixture
def connect() -> Iterator[Callable[[str, str], Sender]]:
    """Return a function that makes a sender of a server's address and a key."""
    made: list[Sender] = []

    def make(url: str, key: str) -> Sender:
        made.append(Sender(url, key))
        return made[-1]

    yield make
    for sender in made:
        sender.http.close()


def body_of(*blocks: Block | bytes) -> bytes:
    """Return the body of a request that sends `blocks`."""
    packed = [block if isinstance(block, bytes) else encode(block) for block in blocks]
    return b"".join(struct.pack("<I", len(block)) + block for block in packed)


def block(
    run: str = "r1",
    steps: range = range(3),
    *,
    at: int = 0,
    writer: str = "w1",
    project: str = "digits",
    entity: str | None = None,
    records: Sequence[list[object]] = (),
) -> Block:
    """Return a block with `loss` = step for each of `steps`; it stands for 100 bytes of a run log a row."""
    n_rows = len(steps)
    return Block(
        run_id=RunId(run),
        project=project,
        entity=entity,
        writer=WriterId(writer),
        kind="primary",
        first_offset=at,
        end_offset=at + 100 * n_rows,
        n_rows=n_rows,
        steps=(steps.start, steps.step),
        times=struct.pack(f"<{n_rows}d", *(STARTED + step for step in steps)),
        columns=[Column("loss", "f", None, struct.pack(f"<{n_rows}d", *steps))],
        records=[(0, list(record)) for record in records],
    )


@pytest.fixture(name="block", scope="session")
def _block() -> Callable[..., Block]:
    return block


def blocks_of(path: Path) -> list[Block]:
    """Return what a run log holds, as a sidecar would send it now."""
    with RunLogReader(path) as reader:
        frames, losses = reader.read()
        frames.insert(0, header_frame(reader.header, reader.first_offset))
        return [build_block(reader.header, frames, losses, first_offset=0, end_offset=reader.offset)]


@pytest.fixture(name="blocks_of", scope="session")
def _blocks_of() -> Callable[[Path], list[Block]]:
    return blocks_of


@pytest.fixture(name="body_of", scope="session")
def _body_of() -> Callable[..., bytes]:
    return body_of


@pytest.fixture
def log_run() -> Callable[..., Run]:
    """Return a function that begins a run log below an EPOCHAL_HOME."""

    def begin(home: Path, run_id: str, project: str = "digits", started: float = STARTED) -> Run:
        return Run(home, run_id, project, started)

    return begin


@pytest.fixture(scope="module")
def started_run(live_server: LiveServer) -> Run:
    """Return the run `r1` of the project digits on `live_server`, with nothing logged yet."""
    return Run(live_server.home, "r1", "digits", STARTED)


def ask(client: httpx.Client, query: str, **variables: object) -> dict[str, object]:
    """Return the data that answers a GraphQL query, which must have no errors."""
    body = client.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in body, body["errors"]
    data: dict[str, object] = body["data"]
    return data


@pytest.fixture(name="ask", scope="session")
def _ask() -> Callable[..., dict[str, object]]:
    return ask


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds; fail if it never does."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@pytest.fixture(name="wait_until", scope="session")
def _wait_until() -> Callable[[Callable[[], bool]], None]:
    return wait_until
