"""Many charts in one request, checked before any work is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite

from epochal.errors import UsageError
from epochal.store.metrics.contract import MetricStore, MetricX, SeriesAnswer, SeriesQuery

# What a page of many panels may ask for, with room; above it an answer would be too large for a browser.
MAX_QUERIES = 500
MAX_RUNS = 2_000
MAX_SERIES = 200_000
MAX_BUCKETS = 20_000
MAX_QUERY_BUCKETS = 20_000_000  # of 68 bytes, which are in memory together


def read_charts(store: MetricStore, queries: Sequence[SeriesQuery]) -> Iterator[SeriesAnswer]:
    """Yield the answer to each query in order.

    Raises:
        UsageError: the request is too large, or asks for something that cannot be; before any answer.
    """
    check_queries(queries)
    return (store.read_series(query) for query in queries)


def check_queries(queries: Sequence[SeriesQuery]) -> None:
    """Make sure that a request can be answered.

    Raises:
        UsageError: it says which limit it is over, or what cannot be.
    """
    if len(queries) > MAX_QUERIES:
        raise UsageError(f"{len(queries)} queries in one request; at most {MAX_QUERIES} are answered")
    for number, query in enumerate(queries):
        for problem in _problems(query):
            raise UsageError(f"queries[{number}]: {problem}")
    n_series = sum(len(query.runs) * len(query.keys) for query in queries)
    if n_series > MAX_SERIES:
        raise UsageError(
            f"{n_series:,} series in one request; at most {MAX_SERIES:,} are answered: "
            "ask for fewer runs or keys"
        )


def _problems(query: SeriesQuery) -> Iterator[str]:
    if len(query.runs) > MAX_RUNS:
        yield f"{len(query.runs):,} runs; at most {MAX_RUNS:,} are drawn in one chart"
    if not 1 <= query.n_buckets <= MAX_BUCKETS:
        yield f"{query.n_buckets} buckets; there can be 1 to {MAX_BUCKETS:,}"
    n_buckets = len(query.runs) * len(query.keys) * query.n_buckets
    if n_buckets > MAX_QUERY_BUCKETS:
        yield f"up to {n_buckets:,} buckets; at most {MAX_QUERY_BUCKETS:,} are answered: ask for fewer"
    for what, values in (("run", query.runs), ("key", query.keys)):
        twice = _first_repeated(values)
        if twice is not None:
            yield f"the {what} {twice!r} is named twice"
    if query.x_range is not None:
        low, high = query.x_range
        if not (isfinite(low) and isfinite(high)):
            yield f"the range from {low} to {high} has an end that is not a number"
        elif low > high:
            yield f"the range from {low:g} to {high:g} ends before it begins"
    if query.stream == "system" and (query.x == "step" or isinstance(query.x, MetricX)):
        yield "system metrics have no steps; their x is time or relative"


def _first_repeated(values: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
