"""The large parts of a run: config, summary, metadata, and the state that ingest goes on from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from epochal.store.metadata.base import Database, encode, next_version, upsert
from epochal.store.metadata.records import Document
from epochal.store.metadata.tables import documents, runs

StoredDocument = Document | Literal["fold"]
_decode = msgspec.msgpack.Decoder(dict[str, object]).decode


_GET = select(documents.c.data).where(
    documents.c.run_key == bindparam("run_key"), documents.c.kind == bindparam("kind")
)
_PUT = upsert(documents, "data", "version")
# Whoever follows runs looks at the run first.
_MARK = update(runs).where(runs.c.key == bindparam("key_")).values(version=bindparam("version_"))


class Documents:
    """Maps by (run, kind); one that was never written is empty."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, run_key: int, kind: StoredDocument) -> dict[str, object]:
        """Return one document."""
        with self._database.read() as connection:
            data = connection.execute(_GET, {"run_key": run_key, "kind": kind}).scalar_one_or_none()
        return {} if data is None else _decode(data)

    def load(
        self, connection: Connection, run_keys: Sequence[int], kinds: Iterable[StoredDocument]
    ) -> dict[tuple[int, str], dict[str, object]]:
        """Return the documents of several runs that exist."""
        if not run_keys:
            return {}
        query = select(documents.c.run_key, documents.c.kind, documents.c.data).where(
            documents.c.run_key.in_(run_keys), documents.c.kind.in_(list(kinds))
        )
        return {(key, kind): _decode(data) for key, kind, data in connection.execute(query)}

    def put(
        self,
        connection: Connection,
        changed: Iterable[tuple[int, Mapping[StoredDocument, Mapping[str, object]]]],
    ) -> None:
        """Replace whole documents of runs, given by run key."""
        rows: list[dict[str, object]] = [
            {"run_key": run_key, "kind": kind, "data": encode(data)}
            for run_key, of_run in changed
            for kind, data in of_run.items()
        ]
        if rows:
            version = next_version(connection)
            connection.execute(_PUT, [{**row, "version": version} for row in rows])
            keys = dict.fromkeys(row["run_key"] for row in rows)
            connection.execute(_MARK, [{"key_": key, "version_": version} for key in keys])
