"""GET /api/live: what changes, as it changes.

Source: the HTML standard, "Server-sent events".
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from epochal.query.live import FeedEvent, Subscription
from epochal.server.parameters import LiveParameters, read_parameters
from epochal.server.services import Services, services_of

_encode = msgspec.json.Encoder(order="deterministic").encode


async def live(request: Request) -> Response:
    """Follow the changes of a project, or of all."""
    services, asked = services_of(request), read_parameters(request, LiveParameters)
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    subscription = services.changes.subscribe(
        entity=asked.entity, project=asked.project, after=request.headers.get("last-event-id")
    )
    # Proxies that collect an answer before they pass it on would make it anything but live.
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(_events(services, subscription), media_type="text/event-stream", headers=headers)


async def _events(services: Services, subscription: Subscription) -> AsyncIterator[bytes]:
    try:
        # At once, so that the browser knows that it is connected.
        yield b": connected\n\n"
        while (events := await subscription.next(services.settings.live_comment_s)) is not None:
            yield b"".join(map(_encoded, events)) or b": still here\n\n"
    finally:
        subscription.close()


def _encoded(event: FeedEvent) -> bytes:
    if event.change is None:
        return f"event: reset\nid: {event.cursor}\ndata: {{}}\n\n".encode()
    return b"event: change\nid: %b\ndata: %b\n\n" % (event.cursor.encode(), _encode(event.change))
