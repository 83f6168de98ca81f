"""Lists of projects and runs: filtered, ordered, in pages that fit together."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from epochal.errors import UsageError
from epochal.query.evaluate import matching
from epochal.query.filter_json import parse_json_filter
from epochal.query.filter_text import parse_text_filter
from epochal.query.filters import EVERY_RUN, Contains, Filter, Matches, Or, both, fields_of
from epochal.query.ordering import parse_order, place_of, read_place, sort_runs
from epochal.query.patterns import search_pattern
from epochal.query.run_view import RunView
from epochal.store.metadata import Metadata, ProjectRecord, RunRecord
from epochal.store.metadata.records import Document
from epochal.store.metadata.runs import ALL_DOCUMENTS

MAX_PAGE = 1000


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
    now: float,
    first: int = 50,
    after: str | None = None,
    order: str = "-created_at",
    chosen: Filter = EVERY_RUN,
    documents: Iterable[Document] = ALL_DOCUMENTS,
) -> RunPage:
    """Return a page of the runs of a project.

    Args:
        metadata: where they are.
        project_key: `ProjectRecord.key`.
        now: Unix seconds, for what depends on the time, such as the state.
        first: at most so many.
        after: the cursor to go on behind.
        order: fields to sort by, as `parse_order` reads them.
        chosen: which of the runs.
        documents: which of the large parts to load; the others are empty.

    Raises:
        UsageError: an argument cannot be.
    """
    check_page(first)
    orders = parse_order(order)
    place = None if after is None else read_place(after, orders)
    view = RunView(metadata, project_key, {*fields_of(chosen), *(o.field for o in orders)}, now)
    slots = np.flatnonzero(matching(view, chosen))
    behind = sort_runs(view, slots, orders, place)
    page = behind[:first].tolist()
    records = {run.key: run for run in metadata.runs.of_keys(view.keys[page].tolist(), documents=documents)}
    edges = [
        RunEdge(place_of(view, orders, slot), run)
        for slot in page
        if (run := records.get(int(view.keys[slot]))) is not None
    ]
    return RunPage(slots.size, edges, behind.size > first)


def count_runs(metadata: Metadata, project_key: int, *, now: float, chosen: Filter = EVERY_RUN) -> int:
    """Return how many runs of a project a filter matches.

    Raises:
        UsageError: the filter cannot be answered.
    """
    view = RunView(metadata, project_key, fields_of(chosen), now)
    return int(matching(view, chosen).sum())


def choose_runs(
    *, filters: str | Mapping[str, Any] | None = None, where: str | None = None, search: str | None = None
) -> Filter:
    """Return the filter that is all of these together.

    Args:
        filters: JSON in the style of MongoDB.
        where: as people type it.
        search: keeps the runs whose name or id has this text, or matches this /regex/, whatever the case.

    Raises:
        UsageError: one of them cannot be understood.
    """
    return both(parse_json_filter(filters), parse_text_filter(where), _search_filter(search))


def _search_filter(search: str | None) -> Filter:
    if not search:
        return EVERY_RUN
    names = ("run.name", "run.id")
    if search_pattern(search) is None:
        return Or(tuple(Contains(name, search) for name in names))
    return Or(tuple(Matches(name, search[1:-1], ignore_case=True) for name in names))


def check_page(first: int) -> None:
    """Make sure that a page of `first` entries may be asked for.

    Raises:
        UsageError: it may not.
    """
    if not 1 <= first <= MAX_PAGE:
        raise UsageError(f"a page has 1 to {MAX_PAGE} entries, not {first}")


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
