"""Which fields the runs of a project have, and how many runs have each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from epochal.store.metadata.fields import part_file
from epochal.store.metadata.fields.cells import SECTIONS, Kind, Section, cell, section_of
from epochal.store.metadata.fields.table import RunTable


class FieldInfo(NamedTuple):
    """A field that some run has."""

    field: str
    kinds: frozenset[Kind]  # that occur, or occurred
    n_runs: int  # 0 if none has it any more


class FieldNames:
    """The fields of a project at one moment.  Its callers hold the table's lock.

    Args:
        table: of the project.
        connection: to the metadata.
        prefix: only fields that begin with it.
    """

    def __init__(self, table: RunTable, connection: Connection, prefix: str = "") -> None:
        self._table = table
        self._kinds: dict[str, int] = {}
        self._in_parts: dict[str, int] = {}
        self._in_changes: dict[str, int] = {}
        self._slots: dict[Section, NDArray[np.int64]] = {}
        table.refresh(connection)
        if table.has_parts:
            with table.reading_parts() as reading:
                for field, n_cells, kinds in part_file.counts_of(reading, table.project, prefix):
                    self._kinds[field], self._in_parts[field] = kinds, n_cells
        for section in SECTIONS:
            if f"{section}.".startswith(prefix) or prefix.startswith(f"{section}."):
                self._add_changes(connection, section, prefix)
            else:
                self._slots[section] = np.empty(0, np.int64)

    @property
    def fields(self) -> list[str]:
        """Their names in order; among them may be some that no run has any more."""
        return sorted(self._kinds)

    def info(self, fields: list[str]) -> list[FieldInfo]:
        """Return what is known of each of `fields`, in their order."""
        if not self._table.has_parts:
            counts = [self._in_changes.get(field, 0) for field in fields]
        else:
            with self._table.reading_parts() as reading:
                # Of a run that changed, everything is counted anew; what the parts say of it is taken away.
                counts = [
                    self._in_parts.get(field, 0)
                    - self._table.n_in_parts(reading, field, self._slots[_section(field)])
                    + self._in_changes.get(field, 0)
                    for field in fields
                ]
        return [
            FieldInfo(field, _kinds(self._kinds.get(field, 0)), n)
            for field, n in zip(fields, counts, strict=True)
        ]

    def _add_changes(self, connection: Connection, section: Section, prefix: str) -> None:
        slots: list[int] = []
        for slot, cells in self._table.changed_cells(connection, section):
            slots.append(slot)
            for field, value in dict(cells).items():
                if field.startswith(prefix):
                    self._in_changes[field] = self._in_changes.get(field, 0) + 1
                    self._kinds[field] = self._kinds.get(field, 0) | 1 << cell(value)[0]
        self._slots[section] = np.array(slots, np.int64)


def _section(field: str) -> Section:
    section = section_of(field)
    assert section in SECTIONS
    return section


def _kinds(bits: int) -> frozenset[Kind]:
    return frozenset(kind for kind in Kind if bits >> kind & 1)
