"""What define_metric said, by run and merged over a project."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from epochal.store.metadata.base import Database, encode, upsert
from epochal.store.metadata.records import MetricDefinition
from epochal.store.metadata.tables import project_definitions, run_definitions

_decode = msgspec.msgpack.Decoder(MetricDefinition).decode


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

    def put(
        self,
        connection: Connection,
        project_key: int,
        run_key: int,
        said: Iterable[MetricDefinition],
        *,
        said_at: float,
    ) -> None:
        """Replace definitions of a run that began at `said_at`; a project's, unless a newer one's hold."""
        rows = [{"name": definition.name, "data": encode(definition)} for definition in said]
        if not rows:
            return
        connection.execute(upsert(run_definitions, "data"), [{"run_key": run_key, **row} for row in rows])
        merged = insert(project_definitions)
        newest = merged.on_conflict_do_update(
            index_elements=list(project_definitions.primary_key),
            set_={"data": merged.excluded.data, "said_at": merged.excluded.said_at},
            where=project_definitions.c.said_at <= merged.excluded.said_at,
        )
        connection.execute(newest, [{"project_key": project_key, "said_at": said_at, **row} for row in rows])
