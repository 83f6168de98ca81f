"""Runs: found by id, listed by page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, func, or_, select, update

from epochal.ids import RunId
from epochal.store.metadata.base import Database, encode, insert_missing
from epochal.store.metadata.documents import Documents
from epochal.store.metadata.records import Document, RunExit, RunRecord
from epochal.store.metadata.tables import projects, runs

ALL_DOCUMENTS: tuple[Document, ...] = ("config", "summary", "metadata")
RunOrder = Literal["created_at", "heartbeat_at", "name"]
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


class RunPlace(msgspec.Struct, frozen=True):
    """Where a run stands in an ordered list."""

    value: float | str  # of the column that orders
    key: int  # breaks ties, so that no run is listed twice or left out between pages


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

    def page(
        self,
        project_key: int,
        *,
        order: RunOrder = "created_at",
        descending: bool = True,
        first: int = 50,
        after: RunPlace | None = None,
        search: str | None = None,
        documents: Iterable[Document] = ALL_DOCUMENTS,
    ) -> list[RunRecord]:
        """Return at most `first` runs of a project.

        Args:
            project_key: of the project.
            order: by what.
            descending: newest, or last in the alphabet, first.
            first: how many.
            after: the run to go on behind.
            search: keeps the runs whose name or id has this text, whatever the case.
            documents: which of the large parts to load; the others are empty.
        """
        column, key = runs.c[order], runs.c.key
        query = _select().where(runs.c.project_key == project_key, *_matches(search)).limit(first)
        query = query.order_by(*((column.desc(), key.desc()) if descending else (column, key)))
        if after is not None:
            query = query.where(_behind(after, order, descending))
        with self._database.read() as connection:
            return self._records(connection, connection.execute(query).all(), documents)

    def count(self, project_key: int, *, search: str | None = None) -> int:
        """Return how many runs a project has, or how many of them match `search`."""
        query = select(func.count()).select_from(runs)
        with self._database.read() as connection:
            return connection.execute(
                query.where(runs.c.project_key == project_key, *_matches(search))
            ).scalar_one()

    def names(
        self, project_key: int, *, order: RunOrder = "created_at", descending: bool = True
    ) -> list[tuple[Any, int, str, str]]:
        """Return (what orders, key, run id, name) of every run of a project in order.

        For searches that SQL cannot do.
        """
        column, key = runs.c[order], runs.c.key
        query = select(column, key, runs.c.run_id, runs.c.name.label("name_"))
        query = query.where(runs.c.project_key == project_key)
        query = query.order_by(*((column.desc(), key.desc()) if descending else (column, key)))
        with self._database.read() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]

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
        rows = [
            {
                "project_key": project_key,
                "run_id": run_id,
                "name": run_id,
                "search_text": search_text(run_id, run_id),
                "created_at": now,
                "heartbeat_at": now,
                "n_rows": 0,
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
        rows = [
            {
                "key_": run.key,
                "name": run.name,
                "search_text": search_text(run.run_id, run.name),
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
            connection.execute(_SAVE, rows)

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


def search_text(run_id: str, name: str) -> str:
    """Return what a search for text looks at."""
    return f"{name}\n{run_id}".casefold()


def place_of(run: RunRecord, order: RunOrder) -> RunPlace:
    """Return where `run` stands in a list ordered by `order`."""
    value: float | str = getattr(run, order)
    return RunPlace(value, run.key)


def _select() -> Select[tuple[object, ...]]:
    columns = (*_PLAIN, runs.c.exit, runs.c.tags, projects.c.entity, projects.c.name.label("project"))
    return select(*columns).join_from(runs, projects)


def _matches(search: str | None) -> list[ColumnElement[bool]]:
    return [runs.c.search_text.contains(search.casefold(), autoescape=True)] if search else []


def _behind(place: RunPlace, order: RunOrder, descending: bool) -> ColumnElement[bool]:
    column, key = runs.c[order], runs.c.key
    if descending:
        return or_(column < place.value, and_(column == place.value, key < place.key))
    return or_(column > place.value, and_(column == place.value, key > place.key))


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
