"""Lists of projects and runs: searched, ordered, in pages that fit together."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import msgspec
import regex

from epochal.errors import UsageError
from epochal.store.metadata import Metadata, ProjectRecord, RunRecord
from epochal.store.metadata.records import Document
from epochal.store.metadata.runs import ALL_DOCUMENTS, RunOrder, RunPlace, place_of

MAX_PAGE = 1000
MAX_SEARCH_CHARACTERS = 500
# A pattern can be made to take for ever on one name, and it is typed by whoever uses the page.
SEARCH_TIMEOUT_S = 1.0

_ORDERS: dict[str, RunOrder] = {
    "created_at": "created_at",
    "heartbeat_at": "heartbeat_at",
    "display_name": "name",
}


class RunEdge(NamedTuple):
    """A run and its place in the list."""

    cursor: str
    run: RunRecord


class RunPage(NamedTuple):
    """Neighbouring runs of a list."""

    n_total: int  # in the whole list
    edges: list[RunEdge]
    has_next: bool


class ProjectEdge(NamedTuple):
    """A project and its place in the list."""

    cursor: str
    project: ProjectRecord


class ProjectPage(NamedTuple):
    """Neighbouring projects of a list."""

    n_total: int
    edges: list[ProjectEdge]
    has_next: bool


class _ProjectPlace(msgspec.Struct, frozen=True):
    last_active: float
    key: int


def list_projects(
    metadata: Metadata, *, now: float, entity: str | None = None, first: int = 50, after: str | None = None
) -> ProjectPage:
    """Return a page of projects by last activity, newest first.

    Args:
        metadata: where they are.
        now: Unix seconds.
        entity: only its projects.
        first: at most so many.
        after: the cursor to go on behind.

    Raises:
        UsageError: `first` or `after` cannot be.
    """
    check_page(first)
    place = None
    if after is not None:
        behind = _decode_cursor(after, _ProjectPlace)
        place = (behind.last_active, behind.key)
    found = metadata.projects.page(now=now, entity=entity, first=first + 1, after=place)
    edges = [ProjectEdge(_cursor(_ProjectPlace(p.last_active, p.key)), p) for p in found[:first]]
    return ProjectPage(metadata.projects.count(entity), edges, len(found) > first)


def list_runs(
    metadata: Metadata,
    project_key: int,
    *,
    first: int = 50,
    after: str | None = None,
    order: str = "-created_at",
    search: str | None = None,
    documents: Iterable[Document] = ALL_DOCUMENTS,
) -> RunPage:
    """Return a page of the runs of a project.

    Args:
        metadata: where they are.
        project_key: `ProjectRecord.key`.
        first: at most so many.
        after: the cursor to go on behind.
        order: `+` or `-` and one of created_at, heartbeat_at, display_name.
        search: keeps the runs whose name or id has this text, or matches this /regex/, whatever the case.
        documents: which of the large parts to load; the others are empty.

    Raises:
        UsageError: an argument cannot be.
    """
    check_page(first)
    column, descending = _order(order)
    place = None if after is None else _decode_cursor(after, RunPlace)
    if place is not None and isinstance(place.value, str) != (column == "name"):
        raise UsageError(f"the cursor {after!r} belongs to a list in another order than {order}")
    pattern = search_pattern(search)
    if pattern is not None:
        return _list_matching(metadata, project_key, pattern, first, place, column, descending, documents)
    found = metadata.runs.page(
        project_key,
        order=column,
        descending=descending,
        first=first + 1,
        after=place,
        search=search,
        documents=documents,
    )
    n_total = metadata.runs.count(project_key, search=search)
    return RunPage(n_total, _edges(found[:first], column), len(found) > first)


def check_page(first: int) -> None:
    """Make sure that a page of `first` entries may be asked for.

    Raises:
        UsageError: it may not.
    """
    if not 1 <= first <= MAX_PAGE:
        raise UsageError(f"a page has 1 to {MAX_PAGE} entries, not {first}")


def search_pattern(search: str | None) -> regex.Pattern[str] | None:
    """Return the pattern of a search like /regex/, or None for a search for plain text.

    Raises:
        UsageError: it is too long, or not a regular expression.
    """
    if search is None:
        return None
    if len(search) > MAX_SEARCH_CHARACTERS:
        raise UsageError(f"a search has at most {MAX_SEARCH_CHARACTERS} characters, not {len(search)}")
    if len(search) < 3 or not (search.startswith("/") and search.endswith("/")):
        return None
    try:
        return regex.compile(search[1:-1], regex.IGNORECASE)
    except regex.error as error:
        raise UsageError(f"{search} is not a regular expression: {error}") from error


class Matcher:
    """Matches many texts with one pattern, within a time for all of them.

    Args:
        pattern: from `search_pattern`.
    """

    def __init__(self, pattern: regex.Pattern[str]) -> None:
        self._pattern = pattern
        self._deadline = time.monotonic() + SEARCH_TIMEOUT_S

    def matches(self, text: str) -> bool:
        """Return whether the pattern is found in `text`.

        Raises:
            UsageError: the time is over.
        """
        left_s = self._deadline - time.monotonic()
        try:
            if left_s > 0:
                return self._pattern.search(text, timeout=left_s) is not None
        except TimeoutError:
            pass
        raise UsageError(
            f"searching for /{self._pattern.pattern}/ takes over {SEARCH_TIMEOUT_S:g} s: use a simpler one"
        )


def _list_matching(
    metadata: Metadata,
    project_key: int,
    pattern: regex.Pattern[str],
    first: int,
    place: RunPlace | None,
    column: RunOrder,
    descending: bool,
    documents: Iterable[Document],
) -> RunPage:
    matcher = Matcher(pattern)
    matching = [
        (value, key)
        for value, key, run_id, name in metadata.runs.names(project_key, order=column, descending=descending)
        if matcher.matches(name) or matcher.matches(run_id)
    ]
    start = 0
    if place is not None:
        # By value, not by key: the run at the cursor may have moved, or be gone.
        behind = (place.value, place.key)
        start = sum(at >= behind if descending else at <= behind for at in matching)
    found = metadata.runs.of_keys([key for _, key in matching[start : start + first]], documents=documents)
    return RunPage(len(matching), _edges(found, column), start + first < len(matching))


def _edges(found: Iterable[RunRecord], column: RunOrder) -> list[RunEdge]:
    return [RunEdge(_cursor(place_of(run, column)), run) for run in found]


def _order(order: str) -> tuple[RunOrder, bool]:
    column = _ORDERS.get(order[1:])
    if column is None or order[0] not in "+-":
        raise UsageError(f"runs are ordered by + or - and one of {', '.join(_ORDERS)}, not by {order!r}")
    return column, order[0] == "-"


def _cursor(place: msgspec.Struct) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(msgspec.structs.astuple(place))).decode()


_Place = TypeVar("_Place", bound=msgspec.Struct)


def _decode_cursor(cursor: str, kind: type[_Place]) -> _Place:
    try:
        values = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor), type=list[float | int | str])
        fields = dict(zip(kind.__struct_fields__, values, strict=True))
        return msgspec.convert(fields, kind)
    except (ValueError, msgspec.MsgspecError, binascii.Error) as error:
        raise UsageError(f"{cursor!r} is not a cursor that a list gave") from error
