"""The fields that the runs of a project have, for pickers of columns and filters that complete themselves."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from epochal.errors import UsageError
from epochal.query.field_names import name_of
from epochal.query.patterns import Matcher, search_pattern
from epochal.store.metadata import Metadata
from epochal.store.metadata.fields import Kind
from epochal.store.metrics.key_names import natural_order

MAX_FIELDS_A_PAGE = 1_000
_SECTIONS = ("run", "config", "summary", "metadata")
_TYPES = {
    Kind.NULL: "null",
    Kind.BOOL: "boolean",
    Kind.NUMBER: "number",
    Kind.TEXT: "text",
    Kind.LIST: "list",
}
_HIDDEN = {"run.end_state"}  # shown as the state
# Not stored, and of every run; counted as a field that every run has.
_DERIVED = {"run.state": "text", "run.duration": "number"}
_OF_EVERY_RUN = "run.created_at"


class RunField(NamedTuple):
    """A field of runs."""

    name: str  # as filters, orders and groups take it
    section: str
    types: list[str]  # of its values
    n_runs: int  # that have it


class RunFieldPage(NamedTuple):
    """Neighbouring fields of a list.  The cursor of a field is its name."""

    n_total: int
    fields: list[RunField]
    has_next: bool


def list_fields(
    metadata: Metadata,
    project_key: int,
    *,
    section: str | None = None,
    prefix: str = "",
    search: str | None = None,
    first: int = 100,
    after: str | None = None,
) -> RunFieldPage:
    """Return a page of the fields that some run of a project has, in natural order.

    Args:
        metadata: where the runs are.
        project_key: `ProjectRecord.key`.
        section: only fields of run, config, summary or metadata.
        prefix: only fields whose path, without the section, begins with it; needs `section`.
        search: keeps the fields whose name has this text, or matches this /regex/, whatever the case.
        first: at most so many.
        after: the name to go on behind.

    Raises:
        UsageError: an argument cannot be.
    """
    if not 1 <= first <= MAX_FIELDS_A_PAGE:
        raise UsageError(f"a page of fields has 1 to {MAX_FIELDS_A_PAGE} entries, not {first}")
    if section is not None and section not in _SECTIONS:
        raise UsageError(f"the sections are {', '.join(_SECTIONS)}; there is no {section!r}")
    if prefix and section is None:
        raise UsageError("a prefix needs a section")
    start = f"{section}.{prefix}" if section else ""
    chosen = _Choice(start, search, first, after)
    # The derived ones are counted as a field that need not have the prefix.
    found = metadata.fields.listing(project_key, chosen.choose, prefix="run." if section == "run" else start)
    fields = [
        RunField(
            name_of(field),
            field.partition(".")[0],
            [_DERIVED[field]] if field in _DERIVED else _types(info.kinds),
            info.n_runs,
        )
        for field, info in zip(chosen.fields, found, strict=True)
        if info.n_runs
    ]
    return RunFieldPage(chosen.n_total, fields, chosen.has_next)


class _Choice:
    """Chooses the fields of one page."""

    def __init__(self, start: str, search: str | None, first: int, after: str | None) -> None:
        self._start, self._search, self._first, self._after = start, search, first, after
        self.n_total = 0
        self.has_next = False
        self.fields: list[str] = []

    def choose(self, every: list[str]) -> list[str]:
        """Keep the page's fields; return under which names they are counted."""
        matching = [field for field in every if field not in _HIDDEN]
        if matching:
            matching += _DERIVED
        matching = [field for field in matching if field.startswith(self._start)]
        pattern = search_pattern(self._search)
        if pattern is not None:
            matcher = Matcher(pattern)
            matching = [field for field in matching if matcher.matches(name_of(field))]
        elif self._search:
            text = self._search.casefold()
            matching = [field for field in matching if text in name_of(field).casefold()]
        ordered = sorted((natural_order(name_of(field)), field) for field in matching)
        start = 0
        if self._after is not None:
            start = bisect_right(ordered, natural_order(self._after), key=lambda entry: entry[0])
        self.n_total = len(ordered)
        self.has_next = start + self._first < len(ordered)
        self.fields = [field for _, field in ordered[start : start + self._first]]
        return [_OF_EVERY_RUN if field in _DERIVED else field for field in self.fields]


def _types(kinds: frozenset[Kind]) -> list[str]:
    return [name for kind, name in _TYPES.items() if kind in kinds]
