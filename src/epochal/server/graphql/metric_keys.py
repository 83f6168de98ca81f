"""The metric keys of a project, of some of its runs, or of one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from ariadne import ObjectType

from epochal.errors import UsageError
from epochal.ids import RunId
from epochal.query.keys import list_keys
from epochal.server.graphql.connections import Connection, connection
from epochal.server.graphql.context import Context, Info
from epochal.server.graphql.projects import project
from epochal.server.graphql.runs import run
from epochal.server.lookup import find_project
from epochal.store.metadata.records import ProjectRecord, RunRecord
from epochal.store.metrics.contract import Stream

metric_key = ObjectType("MetricKey")
metric_key.set_alias("runCount", "n_runs")


@project.field("metricKeys")
def resolve_project_keys(
    record: ProjectRecord,
    info: Info,
    runs: Sequence[RunId] | None = None,
    search: str | None = None,
    stream: str = "history",
    first: int = 1000,
    after: str | None = None,
) -> Connection:
    """Keys of the project, or of some of its runs."""
    return _keys(info.context, record, runs, search, stream, first, after)


@run.field("metricKeys")
def resolve_run_keys(
    record: RunRecord,
    info: Info,
    search: str | None = None,
    stream: str = "history",
    first: int = 1000,
    after: str | None = None,
) -> Connection:
    """Keys of one run."""
    owner = find_project(info.context.services, record.entity, record.project)
    return _keys(info.context, owner, [record.run_id], search, stream, first, after)


def _keys(
    context: Context,
    owner: ProjectRecord,
    runs: Sequence[RunId] | None,
    search: str | None,
    stream: str,
    first: int,
    after: str | None,
) -> Connection:
    if stream not in get_args(Stream):
        raise UsageError(f"a run's streams are {' and '.join(get_args(Stream))}; there is no {stream!r}")
    with context.services.stores.use(owner.store_file) as store:
        wanted = cast(Stream, stream)
        page = list_keys(store, runs, stream=wanted, search=search, first=first, after=after)
    return connection(page.n_total, [(key.key, key) for key in page.keys], page.has_next)
