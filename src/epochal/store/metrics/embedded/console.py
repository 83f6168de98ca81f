"""Console lines: split at newlines when a block arrives, each with a number that it keeps.

A line gets its number when its first character is written, so lines of several writers and streams can be
open side by side, and a progress bar that redraws one line for an hour is shown while it does.  What is
added to a line is a further part of it: nothing is written twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from math import isfinite

from msgspec import structs

from epochal.store.metrics.contract import ConsoleLine
from epochal.store.metrics.embedded.blocks import CONSOLE_RECORD
from epochal.store.metrics.embedded.checksum import is_line, line_checksum
from epochal.store.metrics.embedded.snapshot import RunRow, Snapshot
from epochal.wire.block import Block

DAMAGED_LINE = "[this line is damaged: see `epochal store check`]"

LABEL_MARK = "/l:"  # between the name of a stream and the label of its writer

Piece = tuple[float, str, str]  # time, stream, text
_Open = tuple[int, int]  # sequence, parts


def console_pieces(block: Block) -> list[Piece]:
    """Return the console records of `block` in order."""
    return [
        (record[1] if isfinite(record[1]) else 0.0, record[2], record[3])
        for _, record in block.records
        if len(record) >= 4
        and record[0] == CONSOLE_RECORD
        and isinstance(record[1], float)
        and isinstance(record[2], str)
        and isinstance(record[3], str)
    ]


def append_console(
    connection: sqlite3.Connection, run_no: int, writer_no: int, pieces: Iterable[Piece]
) -> int:
    """Store console records of one writer; return the bytes they take."""
    (n_lines,) = connection.execute("SELECT n_lines FROM runs WHERE run_no = ?", (run_no,)).fetchone()
    writer = _ConsoleWriter(connection, run_no, writer_no, n_lines)
    for time, stream, text in pieces:
        writer.write(time, stream, text)
    writer.save()
    return writer.n_bytes


class _ConsoleWriter:
    def __init__(self, connection: sqlite3.Connection, run_no: int, writer_no: int, n_lines: int) -> None:
        self._connection, self._run_no, self._writer_no = connection, run_no, writer_no
        self._n_lines = n_lines
        self._rows: list[tuple[int, int, int, float, str, str, int]] = []
        self._open: dict[str, _Open] = {
            stream: (sequence, n_parts)
            for stream, sequence, n_parts in connection.execute(
                "SELECT stream, sequence, n_parts FROM console_open WHERE writer_no = ?", (writer_no,)
            )
        }
        self.n_bytes = 0

    def write(self, time: float, stream: str, text: str) -> None:
        for piece in _split(text):
            sequence, n_parts = self._open.pop(stream, (self._n_lines, 0))
            if n_parts == 0:
                self._n_lines += 1
            line = piece.removesuffix("\n")
            checksum = line_checksum(sequence, n_parts, time, stream.encode(), line.encode())
            self._rows.append((self._run_no, sequence, n_parts, time, stream, line, checksum))
            self.n_bytes += len(piece) + 16
            if not piece.endswith("\n"):
                self._open[stream] = (sequence, n_parts + 1)

    def save(self) -> None:
        execute, many = self._connection.execute, self._connection.executemany
        many("INSERT INTO console VALUES (?, ?, ?, ?, ?, ?, ?)", self._rows)
        execute("DELETE FROM console_open WHERE writer_no = ?", (self._writer_no,))
        many(
            "INSERT INTO console_open VALUES (?, ?, ?, ?)",
            [(self._writer_no, stream, *line) for stream, line in self._open.items()],
        )
        execute("UPDATE runs SET n_lines = ? WHERE run_no = ?", (self._n_lines, self._run_no))


def _split(text: str) -> Iterator[str]:
    """Yield the lines of `text` with their newlines; only the newline ends a line."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        yield text[begin:end]
        begin = end


def read_console(
    snapshot: Snapshot, run: RunRow, after: int | None, before: int | None, limit: int
) -> tuple[list[ConsoleLine], int]:
    """Return lines of the run and how many there are; see `contract.MetricStore.console`."""
    low = 0 if after is None else max(0, after + 1)
    high = run.n_lines if before is None else min(before, run.n_lines)
    limit = max(0, limit)
    if after is None:
        low = max(low, high - limit)
    high = min(high, low + limit)
    rows = snapshot.connection.execute(
        "SELECT sequence, part, time, CAST(stream AS BLOB), CAST(text AS BLOB), checksum FROM console "
        "WHERE run_no = ? AND sequence >= ? AND sequence < ? ORDER BY sequence, part",
        (run.run_no, low, high),
    )
    lines: dict[int, ConsoleLine] = {}
    for row in rows:
        if isinstance(row[0], int) and low <= row[0] < high:
            lines[row[0]] = _with_part(lines.get(row[0]), *row)
    return [
        lines.get(n) or ConsoleLine(n, 0.0, "stderr", DAMAGED_LINE) for n in range(low, high)
    ], run.n_lines


def _with_part(
    line: ConsoleLine | None,
    sequence: int,
    part: int,
    time: float,
    stream: bytes,
    text: bytes,
    checksum: int,
) -> ConsoleLine:
    """Return `line` with a further part, which comes as the file has it."""
    # One damaged line must not take the log with it, nor pass for what was written.
    is_sound = is_line(sequence, part, time, stream, text, checksum) and (part > 0) == (line is not None)
    added = text.decode(errors="replace") if is_sound else DAMAGED_LINE
    if line is not None:
        return structs.replace(line, text=line.text + added)
    if not is_sound:
        return ConsoleLine(sequence, 0.0, "stderr", added)
    name, _, label = stream.decode().partition(LABEL_MARK)
    return ConsoleLine(sequence, time, name, added, label or None)
