"""A real server in a process of its own, on a free port, and real run logs for it to show."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import msgspec
import pytest

from epochal.runlog.folder import default_runs_folder, new_run_folder
from epochal.runlog.format import Header, RecordType
from epochal.runlog.writer import RunLogWriter

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
        self._writer = RunLogWriter(folder / f"{header.writer}.runlog", header)

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
