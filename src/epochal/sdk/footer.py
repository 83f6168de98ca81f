"""What is printed when a run ends: its curves in a line each, its summary, and where to see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from epochal.errors import RunLogError
from epochal.runlog.columns import LoggedRow, columns_of
from epochal.runlog.format import RecordType
from epochal.runlog.reader import RunLogReader

# At the end of a long run only its last part is read: finish() must not take long.
MAX_BYTES_READ = 4 << 20
# A metric costs ten times what a value of it does, and nobody looks for ten among so many.
MAX_METRICS_READ = 5_000
_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 40


def sparkline(numbers: Sequence[float]) -> str:
    """Return finite numbers as at most 40 bars; each bar is the mean of its share of them."""
    finite = [v for v in numbers if math.isfinite(v)]
    if not finite:
        return ""
    n = min(_WIDTH, len(finite))
    edges = [i * len(finite) // n for i in range(n + 1)]
    means = [math.fsum(finite[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    if not math.isfinite(low) or not math.isfinite(high) or high <= low:
        return _BARS[0] * n
    return "".join(_BARS[min(7, int((v - low) / (high - low) * 8))] for v in means)


def recent_rows(path: Path) -> list[LoggedRow] | None:
    """Return the last rows of the run log; None if they hold more metrics than a footer goes through."""
    rows: list[LoggedRow] = []
    try:
        start = path.stat().st_size - MAX_BYTES_READ
        with RunLogReader(path, max(0, start)) as reader:
            while True:
                frames, losses = reader.read()
                records = [frame.record for frame in frames]
                rows += [LoggedRow(r[2], r[1], r[3]) for r in records if r[0] == RecordType.ROW]  # type: ignore[arg-type]
                if not frames and not losses:
                    break
    except (OSError, RunLogError):
        return []
    n_metrics = len(set[object]().union(*(row.data for row in rows)))
    return rows if n_metrics <= MAX_METRICS_READ else None


def history_lines(rows: Sequence[LoggedRow], max_metrics: int) -> list[str]:
    """Return a line with name and sparkline for each metric of `rows`."""
    series = {
        key: values for key, values in _numbers(rows).items() if len(values) > 1 and not key.startswith("_")
    }
    shown = sorted(series)[:max_metrics]
    width = max((len(key) for key in shown), default=0)
    lines = [f"  {key:<{width}} {sparkline(series[key])}" for key in shown]
    return [*lines, f"  … and {len(series) - len(shown)} more"] if len(series) > len(shown) else lines


def summary_lines(summary: dict[str, Any], max_values: int) -> list[str]:
    """Return a line for each of the summary's numbers and short texts."""
    flat = {key: value for key, value in _flat(summary, "") if not key.startswith("_")}
    shown = sorted(flat)[:max_values]
    width = max((len(key) for key in shown), default=0)
    lines = [f"  {key:<{width}} {_short(flat[key])}" for key in shown]
    return [*lines, f"  … and {len(flat) - len(shown)} more"] if len(flat) > len(shown) else lines


def _numbers(rows: Sequence[LoggedRow]) -> dict[str, list[float]]:
    columns, _ = columns_of(rows) if rows else ([], [])
    numbers: dict[str, list[float]] = {}
    for column in columns:
        if column.kind in ("f", "i"):
            numbers.setdefault(column.key, []).extend(column.values)  # type: ignore[arg-type]
    return numbers


def _flat(tree: dict[str, Any], prefix: str) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    for key, value in tree.items():
        if isinstance(value, dict) and "_type" not in value:
            pairs += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= 60):
            pairs.append((f"{prefix}{key}", value))
    return pairs


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
