"""GET /api/history: every row of a run, exactly, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from epochal.server.history_formats import arrow_chunks, json_line_chunks
from epochal.server.lookup import find_run
from epochal.server.parameters import HistoryParameters, read_parameters
from epochal.server.services import Services, services_of
from epochal.store.metadata.records import ProjectRecord, RunRecord
from epochal.store.metrics.contract import MetricStore, Row

_MEDIA_TYPES = {"jsonl": "application/jsonl", "arrow": "application/vnd.apache.arrow.stream"}


async def history(request: Request) -> Response:
    """Stream rows in step order, in bounded memory however many there are."""
    services, asked = services_of(request), read_parameters(request, HistoryParameters)
    project, run = await services.workers.run(
        request, find_run, services, asked.entity, asked.project, asked.run
    )
    if request.method == "HEAD":
        return Response(media_type=_MEDIA_TYPES[asked.format])
    chunks = services.workers.stream(lambda: _chunks(services, project, run, asked))
    # Taken before the answer begins: what goes wrong at once is told with a status of its own.
    first = await anext(chunks, b"")
    return StreamingResponse(_joined(first, chunks), media_type=_MEDIA_TYPES[asked.format])


def _chunks(
    services: Services, project: ProjectRecord, run: RunRecord, asked: HistoryParameters
) -> Iterator[bytes]:
    with services.stores.use(project.store_file) as store:
        if asked.format == "arrow":
            # Arrow wants every column's type before the first row, so the rows are read twice.  Rows that are
            # logged meanwhile are left to the next request.
            last = run.last_step if asked.last_step is None else asked.last_step
            yield from arrow_chunks(lambda: _rows(store, run, asked, last), asked.stream)
        else:
            yield from json_line_chunks(_rows(store, run, asked, asked.last_step), asked.stream)


def _rows(
    store: MetricStore, run: RunRecord, asked: HistoryParameters, last_step: int | None
) -> Iterator[Row]:
    keys = None if asked.keys is None else [key for key in asked.keys.split(",") if key]
    return store.scan_rows(
        run.run_id, keys, stream=asked.stream, first_step=asked.first_step, last_step=last_step
    )


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk
