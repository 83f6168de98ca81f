"""POST /api/series: the lines of many charts in one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from epochal.ids import RunId
from epochal.query.series import read_charts
from epochal.server.arrow import series_stream
from epochal.server.bodies import read_json
from epochal.server.lookup import find_project
from epochal.server.services import Services, services_of
from epochal.store.metrics.contract import MetricX, SeriesQuery

MEDIA_TYPE = "application/vnd.apache.arrow.stream"


class SeriesRequestQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One chart."""

    runs: tuple[RunId, ...]
    keys: tuple[str, ...]
    stream: Literal["history", "system"] = "history"
    x: Literal["step", "time", "relative"] | MetricX = "step"
    range: tuple[float, float] | None = None  # in units of x, both ends included
    buckets: int = 1000

    def as_query(self) -> SeriesQuery:
        """Return the query for the store."""
        return SeriesQuery(
            runs=self.runs,
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
    project = find_project(services, asked.entity, asked.project)
    queries: Sequence[SeriesQuery] = [query.as_query() for query in asked.queries]
    with services.stores.use(project.store_file) as store:
        answers = list(read_charts(store, queries))
    return series_stream([query.x for query in queries], answers)
