"""Run logs to send, and senders that are quick."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from epochal.runlog.format import Header, RecordType
from epochal.runlog.writer import RunLogWriter
from epochal.upload.client import Client
from epochal.upload.outgoing_folder import OutgoingFolder
from epochal.upload.sender import Sender

PATIENCE_STEPS = 2000


@pytest.fixture
def write_log(tmp_path: Path) -> Iterator[Callable[..., RunLogWriter]]:
    """Return a function that writes a run log with rows, and leaves its writer open."""
    writers: list[RunLogWriter] = []

    def write(
        rows: Sequence[dict[str, Any]], *, run: str = "r1", writer: str = "w1", folder: str = ""
    ) -> RunLogWriter:
        path = tmp_path / "runs" / (folder or f"run-20261122_101500-{run}")
        path.mkdir(parents=True, exist_ok=True)
        header = Header(run_id=run, project="p", entity=None, writer=writer, kind="primary", start_time=1.0)
        made = RunLogWriter(path / f"{writer}.runlog", header)
        add_rows(made, rows)
        writers.append(made)
        return made

    yield write
    for writer in writers:
        writer.close()


def add_rows(writer: RunLogWriter, rows: Sequence[dict[str, Any]], first_step: int = 0) -> None:
    """Log rows with steps from `first_step` on."""
    for step, row in enumerate(rows, first_step):
        writer.record(RecordType.ROW, step, row)


@pytest.fixture
def log_rows() -> Callable[..., None]:
    return add_rows


@pytest.fixture
def sender_to() -> Callable[..., Sender]:
    """Return a function that makes a sender whose time passes only while it waits."""

    def make(peer: Any, *, key: str = "epochal-aaaa", read_timeout_s: float = 5.0, **options: Any) -> Sender:
        clock = Clock()
        client = Client(peer.url, key, read_timeout_s=read_timeout_s, environ={})
        sender = Sender(client, clock=clock, chance=lambda: 0.5, **options)
        sender.clock = clock  # type: ignore[attr-defined]
        return sender

    return make


class Clock:
    """Seconds that go on when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def send_all() -> Callable[..., float]:
    """Return a function that steps a sender until its folders have nothing more; it returns the seconds
    that the sender waited in between."""

    def send(sender: Any, *folders: OutgoingFolder) -> float:
        began = sender.clock.now
        for _ in range(PATIENCE_STEPS):
            for folder in folders:
                folder.look()
            wait_s = sender.step(folders)
            if wait_s == float("inf"):
                break
            sender.clock.now += wait_s
            if not any(folder.has_more for folder in folders):
                break
        else:
            raise AssertionError(f"it never ends: {sender.trouble}")
        return float(sender.clock.now - began)

    return send
