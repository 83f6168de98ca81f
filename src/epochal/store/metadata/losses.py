"""Damage that was found in run logs."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from epochal.store.metadata.base import Database, insert_missing
from epochal.store.metadata.records import LossRecord
from epochal.store.metadata.tables import losses


class Losses:
    """By (run, writer, offset); one that is told twice is there once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_run(self, run_key: int, *, limit: int = 1000) -> list[LossRecord]:
        """Return at most `limit` losses of a run by writer and offset."""
        query = (
            select(losses.c.writer, losses.c.offset, losses.c.n_bytes, losses.c.reason)
            .where(losses.c.run_key == run_key)
            .order_by(losses.c.writer, losses.c.offset)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [LossRecord(*row) for row in connection.execute(query)]

    def add(self, connection: Connection, found: Iterable[tuple[int, LossRecord]]) -> None:
        """Remember losses, given by run key."""
        rows = [
            {
                "run_key": run_key,
                "writer": x.writer,
                "offset": x.offset,
                "n_bytes": x.n_bytes,
                "reason": x.reason,
            }
            for run_key, x in found
        ]
        if rows:
            connection.execute(insert_missing(losses), rows)
