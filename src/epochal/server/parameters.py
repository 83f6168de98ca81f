"""Query parameters of an address, checked."""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec
from starlette.requests import Request

from epochal.server.failures import RequestError

T = TypeVar("T", bound=msgspec.Struct)


class RunAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Names one run."""

    entity: str | None = None
    project: str
    run: str


class HistoryParameters(RunAddress, frozen=True, kw_only=True):
    """Of GET /api/history."""

    keys: str | None = None  # separated by commas; beside it `key`, any number of times
    stream: Literal["history", "system"] = "history"
    first_step: int | None = None
    last_step: int | None = None
    format: Literal["jsonl", "arrow"] = "jsonl"


class ValuesParameters(RunAddress, frozen=True, kw_only=True):
    """Of GET /api/values."""

    key: str
    stream: Literal["history", "system"] = "history"
    first_step: int | None = None
    last_step: int | None = None
    limit: int | None = None
    only: Literal["steps"] | None = None


class ConsoleParameters(RunAddress, frozen=True, kw_only=True):
    """Of GET /api/console."""

    search: str | None = None
    label: str | None = None  # of the writer
    after: int | None = None
    before: int | None = None
    limit: int = 1000


class OffsetsParameters(RunAddress, frozen=True, kw_only=True):
    """Of GET /api/offsets."""


class ResumeParameters(RunAddress, frozen=True, kw_only=True):
    """Of GET /api/resume."""


class LiveParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Of GET /api/live."""

    entity: str | None = None
    project: str | None = None


def read_parameters(request: Request, kind: type[T]) -> T:
    """Return the parameters of the request's address as a `kind`.

    Raises:
        RequestError: one is missing, or is not what it should be.
    """
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(
            400,
            "bad_parameter",
            f"The address cannot be answered: {error}.",
            "docs/formats/data-plane.md lists the parameters.",
            "address",
        ) from error
