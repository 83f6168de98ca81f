"""The runs of a project."""

from __future__ import annotations

from epochal.query.runs import list_runs
from epochal.server.graphql.connections import Connection, connection
from epochal.server.graphql.context import Info, names_below
from epochal.server.graphql.projects import project
from epochal.server.graphql.runs import documents_for
from epochal.store.metadata.records import ProjectRecord, RunRecord


@project.field("runs")
def resolve_runs(
    record: ProjectRecord,
    info: Info,
    first: int = 50,
    after: str | None = None,
    order: str = "-created_at",
    search: str | None = None,
) -> Connection:
    """One page of the project's runs."""
    page = list_runs(
        info.context.services.metadata,
        record.key,
        first=first,
        after=after,
        order=order,
        search=search,
        documents=documents_for(names_below(info)),
    )
    return connection(*page)


@project.field("run")
def resolve_run(record: ProjectRecord, info: Info, name: str) -> RunRecord | None:
    """One run by its id; null if there is none."""
    runs = info.context.services.metadata.runs
    return runs.get(record.entity, record.name, name, documents=documents_for(names_below(info)))
