"""The writers of runs, and how far each one's run log was taken in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, RowMapping, bindparam, select, update

from epochal.ids import RunId, WriterId
from epochal.store.metadata.base import Database, upsert
from epochal.store.metadata.records import WriterRecord
from epochal.store.metadata.tables import projects, runs, writers

_COLUMNS = (
    writers.c.writer,
    writers.c.kind,
    writers.c.started_at,
    writers.c.label,
    writers.c.applied_offset,
    writers.c.is_finished,
    writers.c.path,
)


_OF_RUN = (
    select(*_COLUMNS)
    .where(writers.c.run_key == bindparam("run_key"))
    .order_by(writers.c.started_at, writers.c.writer)
)
_SAVE = upsert(writers, *(column.name for column in _COLUMNS if column is not writers.c.writer))


class UnfinishedWriter(NamedTuple):
    """Whose run log may hold more than was taken in."""

    entity: str
    project: str
    run_id: RunId
    writer: WriterId
    applied_offset: int


class Writers:
    """By (run, writer)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_run(self, run_key: int) -> list[WriterRecord]:
        """Return the writers of a run, first one first."""
        with self._database.read() as connection:
            found = connection.execute(_OF_RUN, {"run_key": run_key})
            return [_record(row) for row in found.mappings()]

    def unfinished(self) -> list[UnfinishedWriter]:
        """Return those whose run log may hold more than was taken in."""
        query = (
            select(
                projects.c.entity,
                projects.c.name,
                runs.c.run_id,
                writers.c.writer,
                writers.c.applied_offset,
            )
            .join_from(writers, runs)
            .join(projects)
            .where(writers.c.is_finished.is_(False))
        )
        with self._database.read() as connection:
            return [UnfinishedWriter(*row) for row in connection.execute(query)]

    def finished_paths(self) -> dict[str, int]:
        """Return the run logs of this machine that need not be read again, and how much of each was read."""
        query = select(writers.c.path, writers.c.applied_offset).where(
            writers.c.is_finished.is_(True), writers.c.path.is_not(None)
        )
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def reopen(self, connection: Connection, run_key: int) -> None:
        """Let the writers of a run be looked at at the next start, whether they were finished or not."""
        of_run = writers.c.run_key == run_key
        connection.execute(update(writers).where(of_run).values(is_finished=False))

    def save(self, connection: Connection, changed: Iterable[tuple[int, WriterRecord]]) -> None:
        """Insert writers, given by run key, or replace what is known about them."""
        rows = [
            {
                "run_key": run_key,
                "writer": w.writer,
                "kind": w.kind,
                "started_at": w.started_at,
                "label": w.label,
                "applied_offset": w.applied_offset,
                "is_finished": w.is_finished,
                "path": w.path,
            }
            for run_key, w in changed
        ]
        if rows:
            connection.execute(_SAVE, rows)


def _record(row: RowMapping) -> WriterRecord:
    return WriterRecord(**row)
