"""GET /api/offsets: how far a run is stored."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from epochal.server.parameters import OffsetsParameters, read_parameters
from epochal.server.services import Services, services_of
from epochal.server.sign_in import the_caller


class OffsetsAnswer(msgspec.Struct, frozen=True):
    """Body of the answer."""

    writers: dict[str, int]  # where the next block of each must begin
    ended: bool  # the run told its end


async def offsets(request: Request) -> Response:
    """Say where the writers of a run are to go on."""
    services, asked = services_of(request), read_parameters(request, OffsetsParameters)
    entity = asked.entity or the_caller(request).user.entity
    answer = await services.workers.run(request, _read, services, entity, asked)
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _read(services: Services, entity: str, asked: OffsetsParameters) -> OffsetsAnswer:
    run = services.metadata.runs.get(entity, asked.project, asked.run, documents=())
    if run is None:  # A run that was moved is asked for under its old name by those who log to it.
        key = services.metadata.moves.run_key(entity, asked.project, asked.run)
        run = None if key is None else next(iter(services.metadata.runs.of_keys([key], documents=())), None)
    if run is None:
        return OffsetsAnswer({}, ended=False)
    writers = services.metadata.writers.of_run(run.key)
    return OffsetsAnswer({w.writer: w.applied_offset for w in writers}, ended=run.end_state is not None)
