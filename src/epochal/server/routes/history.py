"""GET /api/history: every row of a run, exactly, streamed."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from epochal.server.export import ExportResponse
from epochal.server.history_formats import arrow_chunks, json_line_chunks
from epochal.server.lookup import find_run
from epochal.server.parameters import HistoryParameters, read_parameters
from epochal.server.services import Services, services_of
from epochal.store.metadata.records import ProjectRecord, RunRecord

_MEDIA_TYPES = {"jsonl": "application/jsonl", "arrow": "application/vnd.apache.arrow.stream"}


async def history(request: Request) -> Response:
    """Stream rows in step order, in bounded memory however many there are."""
    services, asked = services_of(request), read_parameters(request, HistoryParameters)
    project, run = await services.workers.run(
        request, find_run, services, asked.entity, asked.project, asked.run
    )
    if request.method == "HEAD":
        return Response(media_type=_MEDIA_TYPES[asked.format])
    keys = _keys(asked.keys, request.query_params.getlist("key"))
    chunks = services.workers.stream(lambda: _chunks(services, project, run, keys, asked))
    # Taken before the answer begins: what goes wrong at once is told with a status of its own.
    first = await anext(chunks, b"")
    return ExportResponse(first, chunks, media_type=_MEDIA_TYPES[asked.format])


def _keys(listed: str | None, single: list[str]) -> list[str] | None:
    """Return the keys that were asked for: those of a list with commas, and those given one by one."""
    if listed is None:
        return single or None
    return [key for key in listed.split(",") if key] + single


def _chunks(
    services: Services,
    project: ProjectRecord,
    run: RunRecord,
    keys: list[str] | None,
    asked: HistoryParameters,
) -> Iterator[bytes]:
    with services.stores.use(project.store_file) as store:
        # First, so that what is logged meanwhile is rather missing than without a column.
        batches = store.scan_batches(
            run.run_id, keys, stream=asked.stream, first_step=asked.first_step, last_step=asked.last_step
        )
        if asked.format == "arrow":
            types = store.column_types(run.run_id, keys, stream=asked.stream)
            yield from arrow_chunks(types, batches, asked.stream)
        else:
            yield from json_line_chunks(batches, asked.stream)
