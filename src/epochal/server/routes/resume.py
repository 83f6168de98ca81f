"""GET /api/resume: what a session that goes on with a run has to know."""

from __future__ import annotations

import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from epochal.query.resuming import Resumable, resumable
from epochal.server.parameters import ResumeParameters, read_parameters
from epochal.server.services import Services, services_of
from epochal.server.sign_in import the_caller


async def resume(request: Request) -> Response:
    """Say how a run stands, to whoever goes on with it; nil if it is not known."""
    services, asked = services_of(request), read_parameters(request, ResumeParameters)
    entity = asked.entity or the_caller(request).user.entity
    answer = await services.workers.run(request, _read, services, entity, asked)
    return Response(msgspec.msgpack.encode(answer), media_type="application/msgpack")


def _read(services: Services, entity: str, asked: ResumeParameters) -> Resumable | None:
    return resumable(services.metadata, entity, asked.project, asked.run, now=time.time())
