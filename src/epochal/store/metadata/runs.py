"""Runs, by id and by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, bindparam, delete, select, update

from epochal.ids import RunId
from epochal.store.metadata.base import Database, encode, insert_missing, next_version
from epochal.store.metadata.documents import Documents
from epochal.store.metadata.records import Document, RunExit, RunRecord
from epochal.store.metadata.tables import projects, runs, schema

ALL_DOCUMENTS: tuple[Document, ...] = ("config", "summary", "metadata")
# One in_() list of a statement; below SQLite's own limit in every version.
_KEYS_AT_ONCE = 500

_decode_exit = msgspec.msgpack.Decoder(RunExit).decode
_decode_tags = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_PLAIN = (
    runs.c.key,
    runs.c.run_id,
    runs.c.name,
    runs.c.created_at,
    runs.c.heartbeat_at,
    runs.c.end_state,
    runs.c.ended_at,
    runs.c.notes,
    runs.c.group,
    runs.c.job_type,
    runs.c.last_step,
    runs.c.n_rows,
)


class Runs:
    """By (project, run id)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._documents = Documents(database)

    def get(
        self, entity: str, project: str, run_id: str, *, documents: Iterable[Document] = ALL_DOCUMENTS
    ) -> RunRecord | None:
        """Return one run, with the documents asked for."""
        names = {"entity_": entity, "project_": project, "run_id_": run_id}
        with self._database.read() as connection:
            rows = connection.execute(_GET, names).all()
            return next(iter(self._records(connection, rows, documents)), None)

    def of_keys(
        self, keys: Sequence[int], *, documents: Iterable[Document] = ALL_DOCUMENTS
    ) -> list[RunRecord]:
        """Return the runs with these keys, in the order of `keys`; those that are gone are left out."""
        found: dict[int, RunRecord] = {}
        with self._database.read() as connection:
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                query = _select().where(runs.c.key.in_(keys[start : start + _KEYS_AT_ONCE]))
                for run in self._records(connection, connection.execute(query).all(), documents):
                    found[run.key] = run
        return [found[key] for key in keys if key in found]

    def ensure(
        self, connection: Connection, project_key: int, run_ids: Sequence[RunId], *, now: float
    ) -> dict[RunId, int]:
        """Return the keys of runs of a project; those that are new are made."""
        version = next_version(connection)
        rows = [
            {
                "project_key": project_key,
                "run_id": run_id,
                "name": run_id,
                "created_at": now,
                "heartbeat_at": now,
                "n_rows": 0,
                "version": version,
            }
            for run_id in run_ids
        ]
        connection.execute(_INSERT, rows)
        keys: dict[RunId, int] = {}
        for start in range(0, len(run_ids), _KEYS_AT_ONCE):
            part = run_ids[start : start + _KEYS_AT_ONCE]
            query = select(runs.c.run_id, runs.c.key)
            query = query.where(runs.c.project_key == project_key, runs.c.run_id.in_(part))
            keys |= {RunId(run_id): key for run_id, key in connection.execute(query)}
        return keys

    def save(self, connection: Connection, changed: Iterable[RunRecord]) -> None:
        """Replace everything about runs but their documents."""
        rows: list[dict[str, object]] = [
            {
                "key_": run.key,
                "name": run.name,
                "created_at": run.created_at,
                "heartbeat_at": run.heartbeat_at,
                "end_state": run.end_state,
                "ended_at": run.ended_at,
                "exit": None if run.exit is None else encode(run.exit),
                "tags": encode(run.tags) if run.tags else None,
                "notes": run.notes,
                "group": run.group,
                "job_type": run.job_type,
                "last_step": run.last_step,
                "n_rows": run.n_rows,
            }
            for run in changed
        ]
        if rows:
            version = next_version(connection)
            connection.execute(_SAVE, [{**row, "version": version} for row in rows])

    def delete(self, connection: Connection, run_key: int) -> None:
        """Remove a run and all that is kept of it."""
        next_version(connection)  # nobody is left to have it, but it tells that something changed
        for table in reversed(schema.sorted_tables):
            if "run_key" in table.c:
                connection.execute(delete(table).where(table.c.run_key == run_key))
        connection.execute(delete(runs).where(runs.c.key == run_key))

    def _records(
        self, connection: Connection, rows: Sequence[Row[tuple[object, ...]]], kinds: Iterable[Document]
    ) -> list[RunRecord]:
        wanted = tuple(kinds)
        keys = [row._mapping["key"] for row in rows]
        loaded = self._documents.load(connection, keys, wanted) if wanted else {}
        return [
            _record(row, {kind: loaded.get((key, kind), {}) for kind in wanted})
            for key, row in zip(keys, rows, strict=True)
        ]


def _select() -> Select[tuple[object, ...]]:
    columns = (*_PLAIN, runs.c.exit, runs.c.tags, projects.c.entity, projects.c.name.label("project"))
    return select(*columns).join_from(runs, projects)


def _record(row: Row[tuple[object, ...]], loaded: Mapping[str, Any]) -> RunRecord:
    plain = dict(row._mapping)
    exit_data, tags = plain.pop("exit"), plain.pop("tags")
    return RunRecord(
        **plain,
        exit=None if exit_data is None else _decode_exit(exit_data),
        tags=() if tags is None else _decode_tags(tags),
        **loaded,
    )


_INSERT = insert_missing(runs)
_SAVE = (
    update(runs)
    .where(runs.c.key == bindparam("key_"))
    .values({c.name: bindparam(c.name) for c in runs.c if c.name not in ("key", "project_key", "run_id")})
)
_GET = _select().where(
    projects.c.entity == bindparam("entity_"),
    projects.c.name == bindparam("project_"),
    runs.c.run_id == bindparam("run_id_"),
)
