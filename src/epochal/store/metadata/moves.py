"""Runs that were moved to another project, or are on their way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from epochal.ids import RunId
from epochal.store.metadata.base import Database, next_version, upsert
from epochal.store.metadata.tables import alerts, documents, moved_runs, moves, projects, runs

# One in_() list of a statement; below SQLite's own limit in every version.
_IDS_AT_ONCE = 500

Name = tuple[str, str, RunId]  # entity, project, run id


class Move(NamedTuple):
    """A run that is on its way."""

    run_key: int
    run_id: RunId
    from_key: int  # of the projects
    to_key: int
    is_there: bool


class Moves:
    """By run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, connection: Connection, run_key: int, from_key: int, to_key: int) -> None:
        """Say that a run is about to be copied to another project."""
        row = {"run_key": run_key, "from_key": from_key, "to_key": to_key, "is_there": False}
        connection.execute(insert(moves), row)

    def arrive(self, connection: Connection, move: Move) -> None:
        """Make a run one of its new project, where it is whole."""
        version = next_version(connection)
        to_key = {"project_key": move.to_key, "version": version}
        connection.execute(update(runs).where(runs.c.key == move.run_key).values(to_key))
        # Its documents are news to its new project.
        of_run = documents.c.run_key == move.run_key
        connection.execute(update(documents).where(of_run).values(version=version))
        of_alert = alerts.c.run_key == move.run_key
        connection.execute(update(alerts).where(of_alert).values(project_key=move.to_key))
        old = {"project_key": move.from_key, "run_id": move.run_id, "run_key": move.run_key}
        connection.execute(upsert(moved_runs, "run_key"), old)
        at_home = (moved_runs.c.project_key == move.to_key, moved_runs.c.run_id == move.run_id)
        connection.execute(delete(moved_runs).where(*at_home))
        connection.execute(update(moves).where(moves.c.run_key == move.run_key).values(is_there=True))

    def keys_of(self, connection: Connection, project_key: int, run_ids: Sequence[RunId]) -> dict[RunId, int]:
        """Return the keys of those of `run_ids` that a project has."""
        found: dict[RunId, int] = {}
        for part in _parts(run_ids):
            query = select(runs.c.run_id, runs.c.key)
            query = query.where(runs.c.project_key == project_key, runs.c.run_id.in_(part))
            found |= {RunId(run_id): key for run_id, key in connection.execute(query)}
        return found

    def has_run(self, project_key: int, run_id: RunId) -> bool:
        """Return whether a project has a run of that id."""
        with self._database.read() as connection:
            return bool(self.keys_of(connection, project_key, [run_id]))

    def names_taken(
        self, connection: Connection, project_key: int, run_keys: Mapping[RunId, int]
    ) -> set[RunId]:
        """Return which ids another run of a project has, had, or is about to have.

        Args:
            connection: of `write`.
            project_key: of the project.
            run_keys: the runs that are to have the ids there.
        """
        taken: set[RunId] = set()
        for part in _parts(list(run_keys)):
            has = select(runs.c.run_id, runs.c.key).where(runs.c.project_key == project_key)
            had = select(moved_runs.c.run_id, moved_runs.c.run_key)
            had = had.where(moved_runs.c.project_key == project_key)
            will = select(runs.c.run_id, runs.c.key).join_from(moves, runs)
            will = will.where(moves.c.to_key == project_key)
            for query, run_id in ((has, runs.c.run_id), (had, moved_runs.c.run_id), (will, runs.c.run_id)):
                rows = connection.execute(query.where(run_id.in_(part)))
                taken |= {RunId(name) for name, key in rows if run_keys[RunId(name)] != key}
        return taken

    def end(self, connection: Connection, run_key: int) -> None:
        """Say that nothing is left to be done."""
        connection.execute(delete(moves).where(moves.c.run_key == run_key))

    def open(self, connection: Connection | None = None) -> list[Move]:
        """Return the runs that are on their way, oldest first."""
        if connection is not None:
            return [Move._make(row) for row in connection.execute(_OPEN)]
        with self._database.read() as reading:
            return [Move._make(row) for row in reading.execute(_OPEN)]

    def names(self) -> dict[Name, Name]:
        """Return under which name each run is that had another one: by its old names."""
        now = projects.alias()
        query = (
            select(projects.c.entity, projects.c.name, moved_runs.c.run_id, now.c.entity, now.c.name)
            .join_from(moved_runs, projects)
            .join(runs, runs.c.key == moved_runs.c.run_key)
            .join(now, now.c.key == runs.c.project_key)
        )
        with self._database.read() as connection:
            return {(row[0], row[1], row[2]): (row[3], row[4], row[2]) for row in connection.execute(query)}

    def run_key(self, entity: str, project: str, run_id: str) -> int | None:
        """Return the key of the run that had an id in a project and was moved out of it."""
        query = select(moved_runs.c.run_key).join_from(moved_runs, projects)
        query = query.where(
            projects.c.entity == entity, projects.c.name == project, moved_runs.c.run_id == run_id
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def old_projects(self, run_key: int) -> list[int]:
        """Return the keys of the projects that a run was moved out of."""
        query = select(moved_runs.c.project_key).where(moved_runs.c.run_key == run_key)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())


def _parts(run_ids: Sequence[RunId]) -> Iterator[Sequence[RunId]]:
    for start in range(0, len(run_ids), _IDS_AT_ONCE):
        yield run_ids[start : start + _IDS_AT_ONCE]


_OPEN = (
    select(moves.c.run_key, runs.c.run_id, moves.c.from_key, moves.c.to_key, moves.c.is_there)
    .join_from(moves, runs)
    .order_by(moves.c.run_key)
)
