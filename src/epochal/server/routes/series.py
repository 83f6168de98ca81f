"""POST /api/series: the lines of many charts in one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from epochal.errors import UsageError
from epochal.ids import RunId
from epochal.query.series import read_charts, read_group_charts
from epochal.server.arrow import groups_stream, series_stream
from epochal.server.bodies import read_json
from epochal.server.lookup import find_project
from epochal.server.services import Services, services_of
from epochal.store.metrics.contract import GroupQuery, MetricX, SeriesQuery

MEDIA_TYPE = "application/vnd.apache.arrow.stream"


class SeriesRequestQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One chart, of runs or of groups of runs."""

    runs: tuple[RunId, ...] | None = None
    group: tuple[tuple[RunId, ...], ...] | None = None  # in place of `runs`
    keys: tuple[str, ...]
    stream: Literal["history", "system"] = "history"
    x: Literal["step", "time", "relative"] | MetricX = "step"
    range: tuple[float, float] | None = None  # in units of x, both ends included
    buckets: int = 1000

    def as_query(self) -> SeriesQuery:
        """Return the query of runs for the store."""
        return SeriesQuery(
            runs=self.runs or (),
            keys=self.keys,
            stream=self.stream,
            x=self.x,
            x_range=self.range,
            n_buckets=self.buckets,
        )

    def as_group_query(self) -> GroupQuery:
        """Return the query of groups for the store."""
        return GroupQuery(
            groups=self.group or (),
            keys=self.keys,
            stream=self.stream,
            x=self.x,
            x_range=self.range,
            n_buckets=self.buckets,
        )


class SeriesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Body of POST /api/series."""

    entity: str | None = None
    project: str
    queries: tuple[SeriesRequestQuery, ...]


async def series(request: Request) -> Response:
    """Answer all queries of one request."""
    services = services_of(request)
    asked = await read_json(request, SeriesRequest)
    content = await services.workers.run(request, _answer, services, asked)
    return Response(content, media_type=MEDIA_TYPE)


def _answer(services: Services, asked: SeriesRequest) -> bytes:
    are_grouped = _are_grouped(asked.queries)
    project = find_project(services, asked.entity, asked.project)
    axes = [query.x for query in asked.queries]
    with services.stores.use(project.store_file) as store:
        if are_grouped:
            group_queries = [query.as_group_query() for query in asked.queries]
            return groups_stream(axes, list(read_group_charts(store, group_queries)))
        return series_stream(axes, list(read_charts(store, [query.as_query() for query in asked.queries])))


def _are_grouped(queries: Sequence[SeriesRequestQuery]) -> bool:
    """Return whether queries are for groups.

    Raises:
        UsageError: some are and others are not, or one names runs beside its groups.
    """
    if any((query.runs is None) == (query.group is None) for query in queries):
        raise UsageError("a query has either `runs` or `group`")
    are_grouped = {query.group is not None for query in queries}
    if len(are_grouped) > 1:
        raise UsageError("queries with and without `group` in one request; send them in two")
    return True in are_grouped
