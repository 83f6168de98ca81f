"""Writes blocks as they came, in one transaction; exactly once by (run, writer, offset)."""

from __future__ import annotations

import sqlite3
from math import inf, isfinite
from typing import NamedTuple

import numpy as np

from epochal.errors import DeletedRunError
from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import GapError
from epochal.store.metrics.embedded.blocks import check_block, is_sample, n_values
from epochal.store.metrics.embedded.console import append_console, console_pieces
from epochal.wire.block import Block, encode


class Incoming(NamedTuple):
    """A block to append, with all that can be made ready before anybody has to wait for it."""

    block: Block
    body: bytes
    n_values: int


def incoming(block: Block) -> Incoming:
    """Return `block` ready to be appended.

    Raises:
        BlockError: its arrays do not fit together.
    """
    check_block(block)
    return Incoming(block, encode(block), n_values(block))


class Appender:
    """Writes blocks within one transaction; rows that several blocks touch are written once, by `save`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._connection = connection
        self._writers: dict[tuple[RunId, WriterId], _Writer] = {}
        self._runs: dict[RunId, _Run] = {}

    def append(self, new: Incoming) -> tuple[int, int] | None:
        """Store `new`; return its run's number and its own, None if it is there already.

        Raises:
            GapError: it does not begin where its writer's last block ended.
            DeletedRunError: its run was deleted.
        """
        block, body = new.block, new.body
        run = self._run(block.run_id)
        writer = self._writer(run, block)
        if block.end_offset <= writer.end_offset:
            return None
        if block.first_offset != writer.end_offset:
            raise GapError(block.run_id, block.writer, writer.end_offset, block.first_offset)
        cursor = self._execute(
            "INSERT INTO blocks (run_no, writer_no, first_offset, end_offset, n_values, body) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (run.no, writer.no, block.first_offset, block.end_offset, new.n_values, body),
        )
        writer.end_offset = block.end_offset
        run.see(block)
        run.n_bytes += len(body)
        pieces = console_pieces(block)
        if pieces:
            run.n_bytes += append_console(self._connection, run.no, writer.no, pieces)
        assert cursor.lastrowid is not None
        return run.no, cursor.lastrowid

    def save(self) -> None:
        """Write what the blocks changed in their writers and runs."""
        for writer in self._writers.values():
            self._execute(
                "UPDATE writers SET end_offset = ? WHERE writer_no = ?", (writer.end_offset, writer.no)
            )
        for run in self._runs.values():
            # A time that nothing was seen at is infinite, which NULL stands for in the file.
            self._execute(
                "UPDATE runs SET n_bytes = n_bytes + ?, "
                "first_time = nullif(min(ifnull(first_time, 9e999), ?), 9e999), "
                "first_sample_time = nullif(min(ifnull(first_sample_time, 9e999), ?), 9e999) "
                "WHERE run_no = ?",
                (run.n_bytes, run.first_time, run.first_sample_time, run.no),
            )

    def _run(self, run_id: RunId) -> _Run:
        run = self._runs.get(run_id)
        if run is None:
            new = self._execute("INSERT INTO runs (run_id) VALUES (?) ON CONFLICT DO NOTHING", (run_id,))
            if new.rowcount == 1 and is_deleted(self._connection, run_id):
                raise DeletedRunError(run_id)
            (run_no,) = self._execute("SELECT run_no FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            run = self._runs[run_id] = _Run(run_no)
        return run

    def _writer(self, run: _Run, block: Block) -> _Writer:
        writer = self._writers.get((block.run_id, block.writer))
        if writer is None:
            self._execute(
                "INSERT INTO writers (run_no, writer) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (run.no, block.writer),
            )
            row = self._execute(
                "SELECT writer_no, end_offset FROM writers WHERE run_no = ? AND writer = ?",
                (run.no, block.writer),
            ).fetchone()
            writer = self._writers[block.run_id, block.writer] = _Writer(*row)
        return writer


def is_deleted(connection: sqlite3.Connection, run_id: RunId) -> bool:
    """Return whether a run of this id was deleted."""
    row = connection.execute("SELECT 1 FROM deleted_runs WHERE run_id = ?", (run_id,)).fetchone()
    return row is not None


class _Writer:
    def __init__(self, no: int, end_offset: int) -> None:
        self.no, self.end_offset = no, end_offset


class _Run:
    """What the blocks of one transaction add to a run."""

    def __init__(self, no: int) -> None:
        self.no = no
        self.n_bytes = 0
        self.first_time = self.first_sample_time = inf

    def see(self, block: Block) -> None:
        times = np.frombuffer(block.times, "<f8")
        times = times[np.isfinite(times)]
        if times.size:
            self.first_time = min(self.first_time, float(times.min()))
        for _, record in block.records:
            if is_sample(record) and isinstance(record[1], float) and isfinite(record[1]):
                self.first_sample_time = min(self.first_sample_time, record[1])
