"""What define_metric said, by run and merged over a project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import Insert, insert

from epochal.store.metadata.base import Database, encode, upsert
from epochal.store.metadata.records import MetricDefinition
from epochal.store.metadata.tables import project_definitions, run_definitions

_decode = msgspec.msgpack.Decoder(MetricDefinition).decode


class SaidDefinition(NamedTuple):
    """A definition, and who said it."""

    project_key: int
    run_key: int
    said_at: float  # Unix seconds: when the run was created
    definition: MetricDefinition


class Definitions:
    """By (run, name), and by (project, name) with the newest run's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_run(self, run_key: int) -> list[MetricDefinition]:
        """Return the definitions of a run by name."""
        table = run_definitions
        query = select(table.c.data).where(table.c.run_key == run_key).order_by(table.c.name)
        with self._database.read() as connection:
            return [_decode(data) for (data,) in connection.execute(query)]

    def of_project(self, project_key: int) -> list[MetricDefinition]:
        """Return the definitions of a project by name; for each the newest run that said something wins."""
        table = project_definitions
        query = select(table.c.data).where(table.c.project_key == project_key).order_by(table.c.name)
        with self._database.read() as connection:
            return [_decode(data) for (data,) in connection.execute(query)]

    def put(self, connection: Connection, said: Iterable[SaidDefinition]) -> None:
        """Replace definitions of runs; those of their projects, unless a newer run's hold."""
        of_runs: list[dict[str, object]] = []
        of_projects: list[dict[str, object]] = []
        for project_key, run_key, said_at, definition in said:
            row = {"name": definition.name, "data": encode(definition)}
            of_runs.append({"run_key": run_key, **row})
            of_projects.append({"project_key": project_key, "said_at": said_at, **row})
        if of_runs:
            connection.execute(_PUT_OF_RUN, of_runs)
            connection.execute(_PUT_OF_PROJECT, of_projects)


def _put_of_project() -> Insert:
    statement = insert(project_definitions)
    return statement.on_conflict_do_update(
        index_elements=list(project_definitions.primary_key),
        set_={"data": statement.excluded.data, "said_at": statement.excluded.said_at},
        where=project_definitions.c.said_at <= statement.excluded.said_at,
    )


_PUT_OF_RUN = upsert(run_definitions, "data")
_PUT_OF_PROJECT = _put_of_project()
