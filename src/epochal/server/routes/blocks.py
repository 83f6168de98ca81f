"""POST /api/blocks: what sidecars and `epochal sync` send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from epochal.errors import BlockError
from epochal.ingest.outcome import Outcome, WriterName
from epochal.server.admission import Share
from epochal.server.block_stream import BlockSplitter, UploadTooLargeError
from epochal.server.failures import RequestError, logger
from epochal.server.intake import EntityNotAllowedError, Taken
from epochal.server.services import Services, services_of
from epochal.server.settings import ServerSettings
from epochal.server.sign_in import the_caller
from epochal.server.workers import ClientGoneError

MEDIA_TYPE = "application/vnd.epochal.blocks"
# A body of the largest size over a line of 1 MB/s, or a small one over a very bad line.
_MAX_BODY_S = 600.0
# Long enough to be rare, and shorter than what senders wait for an answer.
_MAX_WAIT_S = 20.0


async def blocks(request: Request) -> Response:
    """Store the blocks of the body, and say how far each writer is stored."""
    services = services_of(request)
    _check_head(request, services.settings)
    with services.admission.share() as share:
        bodies = await _read(request, services, share)
        taken = await services.intake.take(the_caller(request), bodies)
    return _answer(taken)


def _check_head(request: Request, settings: ServerSettings) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != MEDIA_TYPE:
        raise RequestError(
            415,
            "not_blocks",
            f"The body is declared as {media_type[:100] or 'nothing'}.",
            f"Send blocks with `Content-Type: {MEDIA_TYPE}`.",
            "Content-Type header",
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RequestError(
            415,
            "not_blocks",
            f"The body is compressed with {encoding[:100]}.",
            "Blocks are compressed already.",
            "Content-Encoding header",
        )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:19]) > settings.max_upload_bytes:
        raise UploadTooLargeError(settings.max_upload_bytes)


async def _read(request: Request, services: Services, share: Share) -> list[bytes]:
    """Return the blocks of the body, each still packed.

    Raises:
        RequestError: it is too large, too slow, or is not what it should be, or there is no room for it.
    """
    splitter = BlockSplitter(services.settings.max_upload_bytes)
    parts = request.stream()
    try:
        async with asyncio.timeout(_MAX_BODY_S):
            while part := await _next_part(parts, services.settings.body_timeout_s):
                await _grow(share, len(part))
                splitter.feed(part)
    except TimeoutError:
        raise RequestError(
            408, "body_too_slow", "The body did not come in time.", "Send it in smaller parts.", "body"
        ) from None
    except ClientDisconnect as error:
        raise ClientGoneError from error
    return splitter.finish()


async def _next_part(parts: AsyncGenerator[bytes, None], timeout_s: float) -> bytes:
    async with asyncio.timeout(timeout_s):
        return await anext(parts, b"")


async def _grow(share: Share, n_bytes: int) -> None:
    """Wait for room.  Whoever sent this waits with what follows; nothing of it is lost."""
    try:
        async with asyncio.timeout(_MAX_WAIT_S):
            await share.grow(n_bytes)
    except TimeoutError:
        raise RequestError(
            503,
            "busy",
            "This server is busy with what others send.",
            "Send it again later.",
            headers={"retry-after": "5"},
        ) from None


def _answer(taken: Taken) -> Response:
    outcomes = taken.writers.values()
    if taken.unreadable and not outcomes:
        raise _not_valid(taken.unreadable[0][1])
    refusals = [outcome.error for outcome in outcomes if isinstance(outcome.error, EntityNotAllowedError)]
    if refusals and len(refusals) == len(outcomes):
        raise refusals[0]
    answer: dict[str, Any] = {"writers": [_entry(name, o) for name, o in taken.writers.items()]}
    if taken.unreadable:
        answer["unreadable"] = [
            {"block": number, "error": _not_valid(error).failure} for number, error in taken.unreadable
        ]
    return Response(msgspec.json.encode(answer), 200, taken.headers, "application/json")


def _entry(name: WriterName, outcome: Outcome) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "entity": name.entity,
        "project": name.project,
        "run": name.run_id,
        "writer": name.writer,
        "offset": outcome.offset,
    }
    if outcome.error is not None:
        error = outcome.error
        entry["error"] = (error if isinstance(error, RequestError) else _not_valid(error)).failure
    return entry


def _not_valid(error: Exception) -> RequestError:
    if not isinstance(error, BlockError):
        logger.error("a block could not be stored", exc_info=error)
        error = BlockError("a block that this server stumbled over; its own output says where")
    return RequestError(
        400,
        "block_not_valid",
        f"This cannot be stored: {error}"[:1000],
        "It stays in the run log. Sending it again does not help; a newer Epochal may.",
        "body",
    )
