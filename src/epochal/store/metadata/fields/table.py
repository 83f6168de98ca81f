"""The fields of one project's runs in memory: columns on demand, brought up to date run by run.

A column comes from the parts on disk.  What changed since those were written is kept here as it came, and
goes into a column when the column is next looked at; so a thousand runs that log cost nothing but the bytes
of their summaries until somebody sorts by one.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from epochal.store.metadata.fields import part_file, source
from epochal.store.metadata.fields.cells import (
    MAX_ITEMS,
    MAX_TEXT,
    SECTIONS,
    Section,
    decode_document,
    find,
    leaves,
    run_cell,
    run_leaves,
    section_of,
)
from epochal.store.metadata.fields.chunk import unpack
from epochal.store.metadata.fields.column import Column, ColumnBuilder, encode_cells
from epochal.store.metadata.fields.part_file import PartFile

# So many changed runs are held in memory; when there are more, the parts are due.
MAX_CHANGED_RUNS = 2048
MAX_CHANGED_BYTES = 16 * 2**20
# A document above this is kept as its fields, cut to what the index knows of them.
_LARGE_DOCUMENT_BYTES = 64 * 2**10
_ROW_BYTES = 500
_VALUES_AT_ONCE = 20_000

_encode = msgspec.msgpack.Encoder().encode


class OutdatedError(Exception):
    """The parts were written anew; the table has to be opened again."""


class RunColumns(NamedTuple):
    """Fields of all runs of a project at one moment.  A run has the same place in every array."""

    keys: NDArray[np.int64]  # of the runs
    is_there: NDArray[np.bool_]  # False where the run was deleted
    columns: Mapping[str, Column]  # one for every field asked for


class _Change(NamedTuple):
    number: int  # rises with every look at the metadata
    data: Any  # row or encoded document


class _Cached(NamedTuple):
    column: Column
    number: int  # changes up to this one are in it


class RunTable:
    """The runs of one project.  Its callers hold `lock`.

    Args:
        project: key of the project.
        file: with its parts; None if there is no file.
        connection: to the metadata.
        clock: rises with every use of any table; tells which column was used last.
    """

    def __init__(
        self, project: int, file: PartFile | None, connection: Connection, clock: itertools.count[int]
    ) -> None:
        self.lock = threading.Lock()
        self.project = project
        self._file = file
        self._clock = clock
        self._offsets: dict[int, tuple[int, int]] = {}  # part: its first slot, its runs
        self._base_keys = np.empty(0, np.int64)  # rising
        self.base_version = 0
        self._load_parts()
        self._new_slots: dict[int, int] = {}  # runs in no part, by key
        self._keys = self._base_keys
        self._is_there = np.ones(self._keys.size, np.bool_)
        self._changes: dict[Section, dict[int, _Change]] = {section: {} for section in SECTIONS}
        self._n_changed_bytes = 0
        self._number = 0
        self._cache: dict[str, _Cached] = {}
        self._used: dict[str, int] = {}
        self._version = self.base_version
        changed = source.changed_keys(connection, project, self.base_version)
        # Too many to hold: their documents are read through for every column, until the parts are written.
        self.is_behind = len(changed) > MAX_CHANGED_RUNS
        if self.is_behind:
            self._version = source.counters_of(connection)[1]
            self._place(changed)
            self._check_deleted(connection)

    @property
    def has_parts(self) -> bool:
        """Whether any of it is on disk."""
        return bool(self._offsets)

    @property
    def is_full(self) -> bool:
        """Whether so much has changed that the parts should be written."""
        return self._n_changed_runs > MAX_CHANGED_RUNS or self._n_changed_bytes > MAX_CHANGED_BYTES

    @property
    def is_overfull(self) -> bool:
        """Whether more has changed than may be held."""
        return self._n_changed_runs > 2 * MAX_CHANGED_RUNS or self._n_changed_bytes > 4 * MAX_CHANGED_BYTES

    @property
    def _n_changed_runs(self) -> int:
        return max(len(of_section) for of_section in self._changes.values())

    def read(self, connection: Connection, fields: Iterable[str]) -> RunColumns:
        """Return the fields as they are in the transaction of `connection`."""
        self.refresh(connection)
        wanted = list(dict.fromkeys(fields))
        self._bring_up_to_date(connection, wanted)
        now = next(self._clock)
        self._used |= dict.fromkeys(wanted, now)
        columns = {field: self._cache[field].column for field in wanted}
        return RunColumns(self._keys, self._is_there, columns)

    def refresh(self, connection: Connection) -> None:
        """Take note of what changed."""
        _, version = source.counters_of(connection)
        if version == self._version and self._number:
            return
        self._number += 1
        for section in SECTIONS:
            found = list(source.changed(connection, self.project, section, self._version))
            slots = self._place([key for key, _ in found])
            self._is_there[slots] = True  # a run that was moved away may have come back
            changes = self._changes[section]
            for slot, (_, data) in zip(slots.tolist(), found, strict=True):
                kept = data if section == "run" else _cut_down(section, data)
                before = changes.get(slot)
                self._n_changed_bytes += _size(kept) - (_size(before.data) if before else 0)
                changes[slot] = _Change(self._number, kept)
        self._version = version
        self._check_deleted(connection)

    def sizes(self) -> list[tuple[int, str, int]]:
        """Return (last use, field, bytes) of the columns in memory."""
        return [(self._used.get(f, 0), f, c.column.n_bytes) for f, c in list(self._cache.items())]

    def forget(self, field: str) -> None:
        """Drop a column.  May be called without the lock."""
        self._cache.pop(field, None)

    def changed_cells(
        self, connection: Connection, section: Section
    ) -> Iterator[tuple[int, Iterator[tuple[str, Any]]]]:
        """Yield (slot, fields with their values) of the runs that may be others than in the parts.

        A run that was deleted comes with no fields.
        """
        yield from ((slot, iter(())) for slot in np.flatnonzero(~self._is_there).tolist())
        changes = self._changes[section]
        if self.is_behind:
            for key, data in source.changed(connection, self.project, section, self.base_version):
                slot = int(self._place([key])[0])
                if slot not in changes and self._is_there[slot]:
                    yield slot, _cells(section, data)
        for slot, change in changes.items():
            if self._is_there[slot]:
                yield slot, _cells(section, change.data)

    def n_in_parts(self, reading: sqlite3.Connection, field: str, slots: NDArray[np.int64]) -> int:
        """Return how many of `slots` have a field in the parts."""
        n = 0
        for part, (first, n_runs) in self._offsets.items():
            inside = slots[(slots >= first) & (slots < first + n_runs)] - first
            data = part_file.chunk_of(reading, self.project, field, part) if inside.size else None
            if data is not None:
                rows = unpack(data, n_runs)[0]
                n += inside.size if rows is None else int(np.isin(inside, rows).sum())
        return n

    @contextmanager
    def reading_parts(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to the file.

        Raises:
            OutdatedError: its parts are no longer those that this table began with.
        """
        assert self._file is not None
        with self._file.read() as reading:
            if part_file.version_of(reading, self.project) != self.base_version:
                raise OutdatedError
            yield reading

    def _load_parts(self) -> None:
        if self._file is None:
            return
        with self._file.read() as reading:
            parts = part_file.parts_of(reading, self.project)
            self.base_version = part_file.version_of(reading, self.project)
        offset = 0
        for part in parts:
            self._offsets[part.part] = (offset, part.keys.size)
            offset += part.keys.size
        if parts:
            self._base_keys = np.concatenate([part.keys for part in parts])

    def _place(self, keys: Sequence[int]) -> NDArray[np.int64]:
        """Return the slots of runs; those that are new get one."""
        wanted = np.array(keys, np.int64)
        slots = np.searchsorted(self._base_keys, wanted)
        inside = slots < self._base_keys.size
        inside[inside] = self._base_keys[slots[inside]] == wanted[inside]
        added: list[int] = []
        for at in np.flatnonzero(~inside).tolist():
            key = keys[at]
            slot = self._new_slots.get(key)
            if slot is None:
                slot = self._new_slots[key] = self._keys.size + len(added)
                added.append(key)
            slots[at] = slot
        if added:
            self._keys = np.concatenate([self._keys, np.array(added, np.int64)])
            self._is_there = np.concatenate([self._is_there, np.ones(len(added), np.bool_)])
        return slots

    def _check_deleted(self, connection: Connection) -> None:
        """Find out which runs are gone.  That is not in what changed: they are no longer there to say so."""
        if source.count_runs(connection, self.project) != int(self._is_there.sum()):
            present = np.array(source.run_keys(connection, self.project), np.int64)
            self._is_there = np.isin(self._keys, present)

    def _bring_up_to_date(self, connection: Connection, fields: Sequence[str]) -> None:
        missing = [field for field in fields if field not in self._cache]
        if missing:
            for field, column in self._from_parts(missing).items():
                self._cache[field] = _Cached(column, 0)
            if self.is_behind:
                self._apply_backlog(connection, missing)
        for section in SECTIONS:
            of_section = [field for field in fields if section_of(field) == section]
            if of_section:
                self._apply_changes(section, of_section)

    def _from_parts(self, fields: Sequence[str]) -> dict[str, Column]:
        builders = {field: ColumnBuilder(self._keys.size) for field in fields}
        if self._file is not None and self._offsets:
            with self.reading_parts() as reading:
                for field, builder in builders.items():
                    for part, data in part_file.chunks_of(reading, self.project, field):
                        first, n_runs = self._offsets[part]
                        rows, cells = unpack(data, n_runs)
                        builder.put(slice(first, first + n_runs) if rows is None else rows + first, cells)
        return {field: builder.column() for field, builder in builders.items()}

    def _apply_backlog(self, connection: Connection, fields: Sequence[str]) -> None:
        for section in SECTIONS:
            of_section = [field for field in fields if section_of(field) == section]
            if not of_section:
                continue
            changed = source.changed(connection, self.project, section, self.base_version)
            while some := list(itertools.islice(changed, _VALUES_AT_ONCE // len(of_section) + 1)):
                slots = self._place([key for key, _ in some])
                values = _values(section, of_section, (data for _, data in some))
                for field in of_section:
                    builder = ColumnBuilder(self._keys.size, self._cache[field].column)
                    builder.put(slots, encode_cells(values[field]))
                    self._cache[field] = _Cached(builder.column(), 0)

    def _apply_changes(self, section: Section, fields: Sequence[str]) -> None:
        """Bring columns of one section to the last change."""
        waiting: dict[int, list[str]] = {}
        for field in fields:
            cached = self._cache[field]
            if cached.number < self._number or len(cached.column) < self._keys.size:
                waiting.setdefault(cached.number, []).append(field)
        for number, together in waiting.items():
            newer = [(s, c.data) for s, c in self._changes[section].items() if c.number > number]
            slots = np.array([slot for slot, _ in newer], np.int64)
            values = _values(section, together, (data for _, data in newer))
            for field in together:
                column = self._cache[field].column.changed(self._keys.size, slots, values[field])
                self._cache[field] = _Cached(column, self._number)


def _values(section: Section, fields: Collection[str], stored: Iterable[Any]) -> dict[str, list[Any]]:
    """Return the values of fields of one section, out of rows or encoded documents."""
    paths = [field.partition(".")[2] for field in fields]
    values: list[list[Any]] = [[] for _ in paths]
    for data in stored:
        if section == "run":
            for path, of_path in zip(paths, values, strict=True):
                of_path.append(run_cell(data, path))
        else:
            document = decode_document(data)
            for path, of_path in zip(paths, values, strict=True):
                of_path.append(find(document, path))
    return dict(zip(fields, values, strict=True))


def _cells(section: Section, data: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    return run_leaves(data) if section == "run" else leaves(section, decode_document(data))


def _cut_down(section: Section, data: bytes) -> bytes:
    if len(data) <= _LARGE_DOCUMENT_BYTES:
        return data
    small: dict[str, Any] = {}
    for field, value in leaves(section, decode_document(data)):
        if isinstance(value, str):
            value = value[:MAX_TEXT]
        elif isinstance(value, list):
            value = value[:MAX_ITEMS]
        small.setdefault(field.partition(".")[2], value)
    return _encode(small)


def _size(data: object) -> int:
    return len(data) + 100 if isinstance(data, bytes) else _ROW_BYTES
