"""What the nouns of the metadata store have in common."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import msgspec
from sqlalchemy import Connection, Table, update
from sqlalchemy.dialects.sqlite import Insert, insert

from epochal.store.metadata.tables import counters

encode = msgspec.msgpack.Encoder().encode


class Database(Protocol):
    """What a noun needs of the store that it belongs to."""

    def read(self) -> AbstractContextManager[Connection]:
        """Give a connection that sees one state of the store."""

    def write(self) -> AbstractContextManager[Connection]:
        """Give a connection in a transaction."""


def next_version(connection: Connection) -> int:
    """Return a number above every one given out before, for what a transaction changes in runs.

    The row stays locked until the transaction ends, so versions become visible in their order.
    """
    return int(connection.execute(_NEXT_VERSION).scalar_one())


def upsert(table: Table, *columns: str) -> Insert:
    """Return a statement that inserts a row, or sets `columns` of the row that has its primary key."""
    statement = insert(table)
    changed = {name: statement.excluded[name] for name in columns}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)


def insert_missing(table: Table) -> Insert:
    """Return a statement that inserts a row unless there is one that it would clash with."""
    return insert(table).on_conflict_do_nothing()


_NEXT_VERSION = (
    update(counters)
    .where(counters.c.name == "version")
    .values(value=counters.c.value + 1)
    .returning(counters.c.value)
)
