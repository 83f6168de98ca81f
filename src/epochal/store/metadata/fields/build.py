"""Writes the parts of a project: documents in, columns out.

Whatever changed, a part is made anew from the documents: there is one way to make one, and no merging that
could go wrong.  That costs what its runs have, so it is done when enough runs have changed, not for each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from epochal.store.metadata.base import Database
from epochal.store.metadata.fields import part_file, source
from epochal.store.metadata.fields.cells import decode_document, leaves, run_leaves
from epochal.store.metadata.fields.chunk import pack
from epochal.store.metadata.fields.part_file import NewChunk, Part, PartFile

RUNS_A_PART = 4096
# Bounds the memory of the making: a part of runs with many fields has fewer runs.
CELLS_A_PART = 1_000_000
_RESULT_ROWS = 100
_LAST_KEY = 2**63 - 1


class Span(NamedTuple):
    """Runs whose parts are made again."""

    first_key: int
    last_key: int  # inclusive
    old_parts: list[int]  # that are replaced


def build(
    database: Database, file: PartFile, project: int, *, pause: Callable[[float], None] = time.sleep
) -> int:
    """Bring the parts of a project up to date; return how many runs were written.

    All of it is one transaction of the file: a kill leaves what was there before.

    Args:
        database: where the documents are.
        file: that is written.
        project: key of the project.
        pause: called after every part with the seconds that it took, so that others get their turn.
    """
    with file.read() as reading, database.read() as connection:
        since = part_file.version_of(reading, project)
        parts = part_file.parts_of(reading, project)
        _, version = source.counters_of(connection)
        changed = source.changed_keys(connection, project, since)
    n_written = 0
    with file.write() as writing:
        for span in spans(parts, changed):
            part_file.drop_parts(writing, span.old_parts)
            first_key = span.first_key
            while first_key <= span.last_key:
                began = time.perf_counter()
                # A transaction each: one that is open for long keeps the metadata's log from being emptied.
                with database.read() as connection:
                    keys, chunks = _make_part(connection, project, first_key, span.last_key)
                if not keys:
                    break
                part_file.replace_part(writing, project, first_key, keys, chunks)
                n_written += len(keys)
                first_key = keys[-1] + 1
                pause(time.perf_counter() - began)
        part_file.set_version(writing, project, version)
    return n_written


def spans(parts: Sequence[Part], changed: Sequence[int]) -> list[Span]:
    """Return which parts have to be made again because runs of them changed.

    New runs are behind the last part; they go together with it while it is small.
    """
    if not parts:
        return [Span(0, _LAST_KEY, [])] if changed else []
    ordered = sorted(changed)
    found = []
    last = 0
    for i, part in enumerate(parts):
        end = parts[i + 1].first_key - 1 if i + 1 < len(parts) else int(part.keys[-1])
        first = 0 if i == 0 else part.first_key
        begin = last
        while last < len(ordered) and ordered[last] <= end:
            last += 1
        if last > begin:
            found.append(Span(first, end, [part.part]))
    if last < len(ordered):
        found += _behind(parts[-1], found)
    return found


def _behind(part: Part, found: list[Span]) -> list[Span]:
    is_changed = bool(found) and found[-1].old_parts == [part.part]
    if len(part.keys) >= RUNS_A_PART // 2 and not is_changed:
        return [Span(int(part.keys[-1]) + 1, _LAST_KEY, [])]
    if is_changed:
        first = found.pop().first_key
        return [Span(first, _LAST_KEY, [part.part])]
    return [Span(part.first_key, _LAST_KEY, [part.part])]


def _make_part(
    connection: Connection, project: int, first_key: int, last_key: int
) -> tuple[list[int], Iterator[NewChunk]]:
    keys: list[int] = []
    columns: dict[str, tuple[list[int], list[Any]]] = {}
    n_cells = 0
    ahead = source.next_keys(connection, project, first_key, last_key, RUNS_A_PART)
    if not ahead:
        return [], iter(())
    for key, row, documents in source.runs_between(connection, project, first_key, ahead[-1]):
        at = len(keys)
        keys.append(key)
        n_cells += _add(columns, at, run_leaves(row))
        for section, data in documents:
            n_cells += _add(columns, at, leaves(section, decode_document(data)))
        if n_cells >= CELLS_A_PART:
            break
    return keys, _chunks(columns, len(keys))


def _add(columns: dict[str, tuple[list[int], list[Any]]], row: int, cells: Iterator[tuple[str, Any]]) -> int:
    n = 0
    for field, value in cells:
        column = columns.get(field)
        if column is None:
            column = columns[field] = ([], [])
        column[0].append(row)
        column[1].append(value)
        n += 1
    return n


def _chunks(columns: dict[str, tuple[list[int], list[Any]]], n_rows: int) -> Iterator[NewChunk]:
    while columns:
        field, (rows, values) = columns.popitem()
        data, n_cells, kinds = pack(rows, values, n_rows)
        yield NewChunk(field, n_cells, kinds, data)
