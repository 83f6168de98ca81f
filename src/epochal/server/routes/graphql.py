"""POST /graphql: the control plane."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from epochal.server.bodies import read_json
from epochal.server.graphql.context import Context
from epochal.server.graphql.execute import GraphQLRequest, answer
from epochal.server.services import services_of
from epochal.server.sign_in import the_caller


async def graphql(request: Request) -> Response:
    """Answer one query."""
    services = services_of(request)
    asked = await read_json(request, GraphQLRequest)
    context = Context(services, the_caller(request), services.clock())
    status, body = await services.workers.run(request, answer, services.schema, asked, context)
    return Response(msgspec.json.encode(body), status, media_type="application/json")
