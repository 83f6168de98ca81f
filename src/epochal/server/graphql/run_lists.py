"""The runs of a project: in pages, in groups, and the fields that they have."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ariadne import ObjectType

from epochal.query.groups import Aggregate, list_groups
from epochal.query.run_fields import list_fields
from epochal.query.runs import choose_runs, count_runs, list_runs
from epochal.server.graphql.connections import Connection, connection
from epochal.server.graphql.context import Info, names_below
from epochal.server.graphql.projects import project
from epochal.server.graphql.runs import documents_for
from epochal.store.metadata.records import ProjectRecord, RunRecord

run_group = ObjectType("RunGroup")
run_group.set_alias("runCount", "n_runs")

run_field = ObjectType("RunField")
run_field.set_alias("runCount", "n_runs")

run_aggregate = ObjectType("RunAggregate")
run_aggregate.set_alias("count", "n_values")


@project.field("runs")
def resolve_runs(
    record: ProjectRecord,
    info: Info,
    first: int = 50,
    after: str | None = None,
    order: str = "-created_at",
    search: str | None = None,
    filters: str | None = None,
    where: str | None = None,
) -> Connection:
    """One page of the project's runs."""
    page = list_runs(
        info.context.services.metadata,
        record.key,
        now=info.context.now,
        first=first,
        after=after,
        order=order,
        chosen=choose_runs(filters=filters, where=where, search=search),
        documents=documents_for(names_below(info)),
    )
    return connection(*page)


@project.field("runGroups")
def resolve_run_groups(
    record: ProjectRecord,
    info: Info,
    group_by: Sequence[str],
    aggregates: Sequence[str] = (),
    first: int = 50,
    after: str | None = None,
    order: str = "-count",
    search: str | None = None,
    filters: str | None = None,
    where: str | None = None,
) -> Connection:
    """One page of groups of the project's runs."""
    page = list_groups(
        info.context.services.metadata,
        record.key,
        group_by,
        now=info.context.now,
        aggregates=aggregates,
        order=order,
        chosen=choose_runs(filters=filters, where=where, search=search),
        first=first,
        after=after,
    )
    return connection(*page)


@project.field("runFields")
def resolve_run_fields(
    record: ProjectRecord,
    info: Info,
    section: str | None = None,
    prefix: str = "",
    search: str | None = None,
    first: int = 100,
    after: str | None = None,
) -> Connection:
    """One page of the fields that the project's runs have."""
    metadata = info.context.services.metadata
    page = list_fields(
        metadata, record.key, section=section, prefix=prefix, search=search, first=first, after=after
    )
    return connection(page.n_total, [(field.name, field) for field in page.fields], page.has_next)


@project.field("runCount")
def resolve_run_count(record: ProjectRecord, info: Info, filters: str | None = None) -> int:
    """How many runs there are, or match."""
    if not filters:
        return record.n_runs
    chosen = choose_runs(filters=filters)
    return count_runs(info.context.services.metadata, record.key, now=info.context.now, chosen=chosen)


@project.field("run")
def resolve_run(record: ProjectRecord, info: Info, name: str) -> RunRecord | None:
    """One run by its id; null if there is none."""
    runs = info.context.services.metadata.runs
    return runs.get(record.entity, record.name, name, documents=documents_for(names_below(info)))


@run_aggregate.field("mean")
@run_aggregate.field("min")
@run_aggregate.field("max")
@run_aggregate.field("std")
@run_aggregate.field("median")
def resolve_number(record: Aggregate, info: Info) -> float | None:
    """A number of GraphQL is finite."""
    value: float = getattr(record, info.field_name)
    return value if math.isfinite(value) else None
