"""What the index reads of the metadata: runs and documents that changed, in the order of their keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from epochal.store.metadata.fields.cells import SECTIONS, Section
from epochal.store.metadata.tables import counters, documents, projects, runs

_ROW = (
    runs.c.run_id,
    runs.c.name,
    runs.c.created_at,
    runs.c.heartbeat_at,
    runs.c.end_state,
    runs.c.ended_at,
    runs.c.notes,
    runs.c.group,
    runs.c.job_type,
    runs.c.tags,
    runs.c.last_step,
    runs.c.n_rows,
)
_OF_PROJECT = (runs.c.project_key == bindparam("project"), runs.c.version > bindparam("since"))
_IN_RANGE = (
    runs.c.project_key == bindparam("project"),
    runs.c.key >= bindparam("low"),
    runs.c.key <= bindparam("high"),
)
_COUNTERS = select(counters.c.name, counters.c.value)
_PROJECTS = select(projects.c.key)
_COUNT = select(func.count()).select_from(runs).where(runs.c.project_key == bindparam("project"))
_COUNT_CHANGED = select(func.count()).select_from(runs).where(*_OF_PROJECT)
_KEYS = select(runs.c.key).where(runs.c.project_key == bindparam("project"))
_CHANGED_KEYS = select(runs.c.key).where(*_OF_PROJECT)
_CHANGED_ROWS = select(runs.c.key, *_ROW).where(*_OF_PROJECT)
_CHANGED_DOCUMENTS = (
    select(documents.c.run_key, documents.c.data)
    .join_from(documents, runs)
    .where(*_OF_PROJECT, documents.c.version > bindparam("since"), documents.c.kind == bindparam("kind"))
)
_NEXT_KEYS = select(runs.c.key).where(*_IN_RANGE).order_by(runs.c.key)
_ROWS = select(runs.c.key, *_ROW).where(*_IN_RANGE).order_by(runs.c.key)
_DOCUMENTS = (
    select(documents.c.run_key, documents.c.kind, documents.c.data)
    .join_from(runs, documents)
    .where(*_IN_RANGE, documents.c.kind.in_([s for s in SECTIONS if s != "run"]))
    .order_by(runs.c.key)
)


def counters_of(connection: Connection) -> tuple[int, int]:
    """Return (epoch, version) of the store."""
    found = {row[0]: row[1] for row in connection.execute(_COUNTERS)}
    return found["epoch"], found["version"]


def project_keys(connection: Connection) -> list[int]:
    """Return the keys of all projects."""
    return list(connection.execute(_PROJECTS).scalars())


def count_runs(connection: Connection, project: int) -> int:
    """Return how many runs a project has."""
    return int(connection.execute(_COUNT, {"project": project}).scalar_one())


def run_keys(connection: Connection, project: int) -> list[int]:
    """Return the keys of the runs of a project."""
    return list(connection.execute(_KEYS, {"project": project}).scalars())


def changed_keys(connection: Connection, project: int, since: int) -> list[int]:
    """Return the keys of the runs of a project that changed after the version `since`."""
    return list(connection.execute(_CHANGED_KEYS, {"project": project, "since": since}).scalars())


def count_changed(connection: Connection, project: int, since: int) -> int:
    """Return how many runs of a project changed after the version `since`."""
    return int(connection.execute(_COUNT_CHANGED, {"project": project, "since": since}).scalar_one())


def changed(connection: Connection, project: int, section: Section, since: int) -> Iterator[tuple[int, Any]]:
    """Yield (run key, row or encoded document) of what changed after the version `since`."""
    names: dict[str, object] = {"project": project, "since": since}
    if section == "run":
        for key, *row in connection.execution_options(yield_per=1000).execute(_CHANGED_ROWS, names):
            yield key, row
        return
    names["kind"] = section
    streaming = connection.execution_options(yield_per=500)
    yield from ((row[0], row[1]) for row in streaming.execute(_CHANGED_DOCUMENTS, names))


def next_keys(connection: Connection, project: int, low: int, high: int, limit: int) -> list[int]:
    """Return the first `limit` keys of runs of a project with low <= key <= high, in order."""
    names = {"project": project, "low": low, "high": high}
    return list(connection.execute(_NEXT_KEYS.limit(limit), names).scalars())


def runs_between(
    connection: Connection, project: int, low: int, high: int
) -> Iterator[tuple[int, Any, list[tuple[Section, bytes]]]]:
    """Yield (key, row, encoded documents) of the runs of a project with low <= key <= high, in order."""
    names = {"project": project, "low": low, "high": high}
    streaming = connection.execution_options(yield_per=200)
    pending = iter(streaming.execute(_DOCUMENTS, names))
    following = next(pending, None)
    for row in streaming.execute(_ROWS, names):
        key = row[0]
        found: list[tuple[Section, bytes]] = []
        while following is not None and following[0] <= key:
            if following[0] == key:
                found.append((following[1], following[2]))
            following = next(pending, None)
        yield key, row[1:], found
