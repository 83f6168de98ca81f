"""The fields of all runs of a project as a query sees them, at one moment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from epochal.query.filters import FilterError
from epochal.store.metadata import Metadata
from epochal.store.metadata.fields import Column, Kind
from epochal.store.metadata.fields.column import Cells, ColumnBuilder
from epochal.store.metadata.records import CRASHED_AFTER_S, SILENT_AFTER_S

# What is not stored but follows from what is, and from the time of the question.
_DERIVED = {
    "run.state": ("run.end_state", "run.heartbeat_at"),
    "run.duration": ("run.end_state", "run.heartbeat_at", "run.ended_at", "run.created_at"),
}
_LIVE_STATES = ["running", "silent", "crashed"]
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)\s+ago", re.IGNORECASE)
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


class RunView:
    """Columns by field.

    Args:
        metadata: where the runs are.
        project_key: of the project.
        fields: that will be asked for.
        now: Unix seconds.
    """

    def __init__(self, metadata: Metadata, project_key: int, fields: Iterable[str], now: float) -> None:
        stored = {name for field in fields for name in _stored(field)}
        self._read = metadata.fields.read(project_key, sorted(stored))
        self.keys: NDArray[np.int64] = self._read.keys
        self.is_there: NDArray[np.bool_] = self._read.is_there
        self.now = now
        self._derived: dict[str, Column] = {}

    def __len__(self) -> int:
        return self.keys.size

    def column(self, field: str) -> Column:
        """Return a field that was named to the constructor."""
        if field not in _DERIVED:
            column = self._read.columns[field]
            alias = _without_value(field)
            # W&B keeps a config value below its key, as config.lr.value.
            return self._read.columns[alias] if alias and not column.kinds.any() else column
        if field not in self._derived:
            made = self._states() if field == "run.state" else self._durations()
            self._derived[field] = made
        return self._derived[field]

    def _states(self) -> Column:
        ended = self._read.columns["run.end_state"]
        codes = ended.codes.copy()
        texts = [*ended.texts, *_LIVE_STATES]
        quiet_s = self.now - self._read.columns["run.heartbeat_at"].numbers
        live = np.where(quiet_s <= SILENT_AFTER_S, 0, np.where(quiet_s <= CRASHED_AFTER_S, 1, 2))
        codes = np.where(codes >= 0, codes, live + ended.n_texts).astype(np.int32)
        builder = ColumnBuilder(len(self))
        kinds = np.full(len(self), Kind.TEXT, np.uint8)
        builder.put(slice(None), Cells(kinds, None, codes, texts))
        return builder.column()

    def _durations(self) -> Column:
        columns = self._read.columns
        heartbeat = columns["run.heartbeat_at"].numbers
        is_running = (columns["run.end_state"].codes < 0) & (self.now - heartbeat <= SILENT_AFTER_S)
        alive = np.where(is_running, self.now, heartbeat)
        ended = columns["run.ended_at"].numbers
        last = np.where(np.isnan(ended), alive, ended)
        numbers = np.maximum(0.0, last - columns["run.created_at"].numbers)
        builder = ColumnBuilder(len(self))
        builder.put(slice(None), Cells(np.full(len(self), Kind.NUMBER, np.uint8), numbers, None, []))
        return builder.column()


def seconds_of(said: str, now: float) -> float:
    """Return the Unix seconds of a date, a time (UTC unless it says otherwise), or of `7d ago`.

    Raises:
        FilterError: it is none of them.
    """
    ago = _AGO.fullmatch(said.strip())
    if ago:
        return now - float(ago[1]) * _SECONDS[ago[2].lower()]
    try:
        time = datetime.fromisoformat(said.strip().removesuffix("##"))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise FilterError(
            f"{said!r} is not a time; write 2026-01-31, 2026-01-31T12:00:00Z, 7d ago (s, min, h, d, w), "
            "or Unix seconds"
        ) from error


def _without_value(field: str) -> str | None:
    is_alias = field.startswith("config.") and field.endswith(".value")
    return field.removesuffix(".value") if is_alias and field != "config.value" else None


def _stored(field: str) -> Iterable[str]:
    alias = _without_value(field)
    return _DERIVED.get(field) or ((field, alias) if alias else (field,))
