"""Projects: named collections of runs, each with a numbered file for its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Row, Select, bindparam, func, or_, select, update
from sqlalchemy.sql.expression import and_

from epochal.store.metadata.base import Database, insert_missing
from epochal.store.metadata.records import CRASHED_AFTER_S, ProjectRecord
from epochal.store.metadata.tables import projects, runs

_INSERT = insert_missing(projects)
_HIGHEST = select(func.max(projects.c.key))
_KEY = select(projects.c.key).where(
    projects.c.entity == bindparam("entity_"), projects.c.name == bindparam("name_")
)
_TOUCH = (
    update(projects)
    .where(projects.c.key == bindparam("key_"), projects.c.last_active < bindparam("at_"))
    .values(last_active=bindparam("at_"))
)


class Projects:
    """By (entity, name)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, entity: str, name: str, *, now: float) -> ProjectRecord | None:
        """Return one project as it is at `now` (Unix seconds)."""
        query = _select(now).where(projects.c.entity == entity, projects.c.name == name)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _record(row)

    def page(
        self,
        *,
        now: float,
        entity: str | None = None,
        first: int = 50,
        after: tuple[float, int] | None = None,
    ) -> list[ProjectRecord]:
        """Return at most `first` projects by last activity, newest first.

        Args:
            now: Unix seconds, for the number of running runs.
            entity: only its projects.
            first: how many.
            after: (last_active, key) of the project to go on behind.
        """
        query = _select(now).order_by(projects.c.last_active.desc(), projects.c.key.desc()).limit(first)
        if entity is not None:
            query = query.where(projects.c.entity == entity)
        if after is not None:
            active, key = after
            earlier = projects.c.last_active < active
            query = query.where(or_(earlier, and_(projects.c.last_active == active, projects.c.key < key)))
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def count(self, entity: str | None = None) -> int:
        """Return how many projects there are, of all entities or of one."""
        query = select(func.count()).select_from(projects)
        if entity is not None:
            query = query.where(projects.c.entity == entity)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def ensure(self, connection: Connection, entity: str, name: str, *, now: float, above: int = 0) -> int:
        """Return the key of a project, which is made if it is new.

        Args:
            connection: of `write`.
            entity: of the project.
            name: of the project.
            now: Unix seconds.
            above: a new project's key is higher than this one.
        """
        row: dict[str, object] = {"entity": entity, "name": name, "created_at": now, "last_active": now}
        if above > (connection.execute(_HIGHEST).scalar_one() or 0):
            row["key"] = above + 1
        connection.execute(_INSERT, row)
        return int(connection.execute(_KEY, {"entity_": entity, "name_": name}).scalar_one())

    def key_of(self, entity: str, name: str) -> int | None:
        """Return the key of a project that is there."""
        with self._database.read() as connection:
            return connection.execute(_KEY, {"entity_": entity, "name_": name}).scalar_one_or_none()

    def entity_of(self, key: int) -> str | None:
        """Return whose project this is."""
        with self._database.read() as connection:
            return connection.execute(select(projects.c.entity).where(projects.c.key == key)).scalar()

    def names_of(self, keys: Sequence[int]) -> list[tuple[str, str]]:
        """Return the entities and names of projects that are there, in the order of `keys`."""
        query = select(projects.c.key, projects.c.entity, projects.c.name).where(projects.c.key.in_(keys))
        with self._database.read() as connection:
            found = {key: (entity, name) for key, entity, name in connection.execute(query)}
        return [found[key] for key in keys]

    def touch(self, connection: Connection, signs: Iterable[tuple[int, float]]) -> None:
        """Say when runs of projects, given by project key, gave a sign of life."""
        newest: dict[int, float] = {}
        for key, at in signs:
            newest[key] = max(at, newest.get(key, at))
        if newest:
            connection.execute(_TOUCH, [{"key_": key, "at_": at} for key, at in newest.items()])


def store_file(project_key: int) -> str:
    """Return the name of the file that holds a project's history."""
    return f"{project_key}.db"


def _select(now: float) -> Select[tuple[object, ...]]:
    of_project = select(func.count()).select_from(runs).where(runs.c.project_key == projects.c.key)
    running = of_project.where(runs.c.heartbeat_at >= now - CRASHED_AFTER_S, runs.c.end_state.is_(None))
    return select(
        projects.c.key,
        projects.c.entity,
        projects.c.name,
        projects.c.created_at,
        projects.c.last_active,
        of_project.scalar_subquery().label("n_runs"),
        running.scalar_subquery().label("n_running"),
    )


def _record(row: Row[tuple[object, ...]]) -> ProjectRecord:
    return ProjectRecord(**row._mapping, store_file=store_file(row._mapping["key"]))
