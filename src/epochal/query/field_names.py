"""What fields are called where people and programs write them, and where they are.

Config, summary and metadata are reached by a prefix and a path, a run's own fields by the names that
W&B's public interface has for them.  There `name` is the run id and `display_name` what a person sees; only
in filters as text is `name` what a person sees.
"""

from __future__ import annotations

from difflib import get_close_matches

from epochal.query.filters import FilterError

_PREFIXES = {
    "config": "config",
    "summary": "summary",
    "summary_metrics": "summary",
    "summaryMetrics": "summary",
    "metadata": "metadata",
}
_RUN_FIELDS = {
    "id": "run.id",
    "name": "run.id",
    "display_name": "run.name",
    "state": "run.state",
    "tags": "run.tags",
    "group": "run.group",
    "job_type": "run.job_type",
    "notes": "run.notes",
    "created_at": "run.created_at",
    "heartbeat_at": "run.heartbeat_at",
    "updated_at": "run.heartbeat_at",
    "ended_at": "run.ended_at",
    "duration": "run.duration",
    "compute_seconds": "run.duration",
    "last_step": "run.last_step",
    "history_line_count": "run.n_rows",
    "user": "metadata.username",
    "username": "metadata.username",
    "host": "metadata.host",
    "commit": "metadata.git.commit",
    "_step": "run.last_step",
    "_runtime": "run.duration",
    "_timestamp": "run.heartbeat_at",
}
# Names of W&B that the summary has there and not here.
_OF_SUMMARY = ("_step", "_runtime", "_timestamp")
# The name that a list of fields shows for each.
_SHOWN = {
    "run.id": "id",
    "run.name": "display_name",
    "run.state": "state",
    "run.tags": "tags",
    "run.group": "group",
    "run.job_type": "job_type",
    "run.notes": "notes",
    "run.created_at": "created_at",
    "run.heartbeat_at": "heartbeat_at",
    "run.ended_at": "ended_at",
    "run.duration": "duration",
    "run.last_step": "last_step",
    "run.n_rows": "history_line_count",
}
# Given as numbers, Unix seconds; compared with dates, too.
TIME_FIELDS = frozenset({"run.created_at", "run.heartbeat_at", "run.ended_at"})


def field_of(name: str, *, for_people: bool = False) -> str:
    """Return the field that is called `name`.

    Args:
        name: as in `config.lr`, `summary_metrics.acc`, `display_name` or `displayName`.
        for_people: `name` is what a person sees, not the id.

    Raises:
        FilterError: there can be no such field.
    """
    section, dot, path = name.partition(".")
    if dot and path and section in _PREFIXES:
        if _PREFIXES[section] == "summary" and path in _OF_SUMMARY:
            return _RUN_FIELDS[path]
        return f"{_PREFIXES[section]}.{path}"
    if name.startswith("keys_info.keys.") and len(name) > 15:
        return f"summary.{name[15:]}"
    if name == "name" and for_people:
        return "run.name"
    found = _RUN_FIELDS.get(_snake(name))
    if found is None:
        near = get_close_matches(name, [*_RUN_FIELDS, "config.", "summary.", "metadata."], 1)
        perhaps = f"; did you mean {near[0]!r}?" if near else "."
        raise FilterError(
            f"runs have no field {name!r}{perhaps} A field is config.…, summary.… (or summary_metrics.…), "
            f"metadata.…, or one of {', '.join(sorted(_SHOWN.values()))}"
        )
    return found


def name_of(field: str) -> str:
    """Return a name of a field that means the same wherever it is written."""
    return _SHOWN.get(field, field)


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isascii() and c.isupper() else c for c in name)
