"""Request bodies: read in bounded size and time, decoded into structs."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from epochal.server.failures import RequestError
from epochal.server.services import services_of
from epochal.server.workers import ClientGoneError

T = TypeVar("T")


async def read_json(request: Request, kind: type[T]) -> T:
    """Return the request's JSON body as a `kind`.

    Raises:
        RequestError: it is not declared as JSON (415; a foreign page cannot send that unasked), too large
            (413), too slow (408), or does not decode (400).
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError(
            415,
            "not_json",
            f"The body is declared as {media_type[:100] or 'nothing'}.",
            "Send JSON with `Content-Type: application/json`.",
            "Content-Type header",
        )
    body = await _read(request)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            400,
            "bad_body",
            f"The body cannot be read: {error}.",
            "docs/formats/data-plane.md describes it.",
            "body",
        ) from error


async def _read(request: Request) -> bytes:
    settings = services_of(request).settings
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > settings.max_body_bytes:
        raise _too_large(settings.max_body_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > settings.max_body_bytes:
                    raise _too_large(settings.max_body_bytes)
    except TimeoutError:
        raise RequestError(
            408,
            "body_too_slow",
            f"The body did not arrive within {settings.body_timeout_s:g} s.",
            where="body",
        ) from None
    except ClientDisconnect as error:
        raise ClientGoneError from error
    return bytes(body)


def _too_large(limit: int) -> RequestError:
    return RequestError(
        413,
        "body_too_large",
        f"The body has more than {limit} bytes.",
        "Ask for less in one request, or start the server with a larger --max-body-bytes.",
        "body",
    )
