"""Every error a client sees, in one shape: code, message, hint, where.

A client branches on the code; a person reads the message and follows the hint.  What is not meant for
clients (a bug, a traceback) stays in the server's log under a number that the client is told.
"""

from __future__ import annotations

import errno
import logging
import secrets
from collections.abc import Mapping

import msgspec

from epochal.errors import (
    DamagedStoreError,
    DiskFullError,
    EpochalError,
    UnsupportedError,
    UsageError,
)

logger = logging.getLogger("epochal.server")


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong with a request."""

    code: str  # for programs: snake_case, never changed once released
    message: str  # for people: what happened
    hint: str | None = None  # what to do about it
    where: str | None = None  # which part of the request
    max_bytes: int | None = None  # of what was too large


class RequestError(EpochalError):
    """A request that is answered with a failure instead.

    Args:
        status: of HTTP, 400 to 599.
        headers: of the answer, beside the usual ones.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str | None = None,
        where: str | None = None,
        *,
        max_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.failure = Failure(code=code, message=message, hint=hint, where=where, max_bytes=max_bytes)
        self.headers = dict(headers or {})


class ProjectNotFoundError(RequestError):
    """No project of that name, or none that the caller may see."""

    def __init__(self, entity: str, project: str) -> None:
        super().__init__(
            404,
            "project_not_found",
            f"There is no project {project!r} of {entity!r}.",
            "A project appears with its first run. Check the name in the address.",
            "project",
        )


class RunNotFoundError(RequestError):
    """No run of that id in the project."""

    def __init__(self, project: str, run: str) -> None:
        super().__init__(
            404,
            "run_not_found",
            f"There is no run {run!r} in the project {project!r}.",
            "Runs are named by their id, the last part of a run's address.",
            "run",
        )


def status_and_failure(error: BaseException) -> tuple[int, Failure]:
    """Return the HTTP status and the failure that a client is told for `error`.

    An error that nobody foresaw is logged here with its traceback.
    """
    if isinstance(error, RequestError):
        return error.status, error.failure
    if isinstance(error, UnsupportedError):
        return 400, Failure(code="unsupported", message=str(error))
    if isinstance(error, UsageError):
        return 400, Failure(code="bad_request", message=str(error))
    if isinstance(error, DamagedStoreError):
        # Once more for whoever runs the server, who may not be the one who asked.
        logger.error("%s", error)
        return 500, Failure(
            code="store_damaged",
            message=str(error),
            hint="Other runs are not affected. On the server's machine, `epochal store check` says what is "
            "damaged, and `epochal store repair` mends what can be mended.",
        )
    if isinstance(error, DiskFullError) or _is_full(error):
        return 507, Failure(
            code="disk_full",
            message="The server's disk is full, so nothing more can be stored for now.",
            hint="Nothing that was acknowledged is lost. Free some space there; what waits is sent again.",
        )
    number = secrets.token_hex(4)
    logger.error("request failed, number %s", number, exc_info=error)
    return 500, Failure(
        code="internal_error",
        message=f"Something went wrong inside the server (number {number}).",
        hint="The server's own output has the details under that number.",
    )


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def encode_failure(failure: Failure) -> bytes:
    """Return the JSON body `{"error": …}`."""
    return msgspec.json.encode({"error": failure})
