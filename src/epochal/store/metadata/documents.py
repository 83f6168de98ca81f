"""The large parts of a run: config, summary, metadata, and the state that ingest goes on from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from sqlalchemy import Connection, select

from epochal.store.metadata.base import Database, encode, upsert
from epochal.store.metadata.records import Document
from epochal.store.metadata.tables import documents

StoredDocument = Document | Literal["fold"]
_decode = msgspec.msgpack.Decoder(dict[str, object]).decode


class Documents:
    """Maps by (run, kind); one that was never written is empty."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, run_key: int, kind: StoredDocument) -> dict[str, object]:
        """Return one document."""
        with self._database.read() as connection:
            return self.load(connection, [run_key], [kind]).get((run_key, kind), {})

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
        self, connection: Connection, run_key: int, changed: Mapping[StoredDocument, Mapping[str, object]]
    ) -> None:
        """Replace whole documents of a run."""
        rows = [{"run_key": run_key, "kind": kind, "data": encode(data)} for kind, data in changed.items()]
        if rows:
            connection.execute(upsert(documents, "data"), rows)
