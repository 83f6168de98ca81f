"""Many charts in one request, checked before any work is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite

from epochal.errors import UsageError
from epochal.store.metrics.contract import (
    GroupAnswer,
    GroupQuery,
    MetricStore,
    MetricX,
    SeriesAnswer,
    SeriesQuery,
)

# What a page of many panels may ask for, with room; above it an answer would be too large for a browser.
MAX_QUERIES = 500
MAX_RUNS = 2_000
MAX_SERIES = 200_000
MAX_BUCKETS = 20_000
MAX_QUERY_BUCKETS = 20_000_000  # of 68 bytes, which are in memory together
MAX_GROUP_VALUES = 10_000_000  # of one group's runs in all buckets: 8 bytes each, in memory together


def read_charts(store: MetricStore, queries: Sequence[SeriesQuery]) -> Iterator[SeriesAnswer]:
    """Yield the answer to each query in order.

    Raises:
        UsageError: the request is too large, or asks for something that cannot be; before any answer.
    """
    check_queries(queries)
    return (store.read_series(query) for query in queries)


def read_group_charts(store: MetricStore, queries: Sequence[GroupQuery]) -> Iterator[GroupAnswer]:
    """Yield the answer to each query for groups in order.

    Raises:
        UsageError: the request is too large, or asks for something that cannot be; before any answer.
    """
    check_queries(queries)
    return (store.read_groups(query) for query in queries)


def check_queries(queries: Sequence[SeriesQuery | GroupQuery]) -> None:
    """Make sure that a request can be answered.

    Raises:
        UsageError: it says which limit it is over, or what cannot be.
    """
    if len(queries) > MAX_QUERIES:
        raise UsageError(f"{len(queries)} queries in one request; at most {MAX_QUERIES} are answered")
    for number, query in enumerate(queries):
        for problem in _problems(query):
            raise UsageError(f"queries[{number}]: {problem}")
    n_series = sum(_n_runs(query) * len(query.keys) for query in queries)
    if n_series > MAX_SERIES:
        raise UsageError(
            f"{n_series:,} series in one request; at most {MAX_SERIES:,} are answered: "
            "ask for fewer runs or keys"
        )


def _n_runs(query: SeriesQuery | GroupQuery) -> int:
    return len(query.runs) if isinstance(query, SeriesQuery) else sum(map(len, query.groups))


def _problems(query: SeriesQuery | GroupQuery) -> Iterator[str]:
    if not 1 <= query.n_buckets <= MAX_BUCKETS:
        yield f"{query.n_buckets} buckets; there can be 1 to {MAX_BUCKETS:,}"
    yield from _problems_of_runs(query) if isinstance(query, SeriesQuery) else _problems_of_groups(query)
    twice = _first_repeated(query.keys)
    if twice is not None:
        yield f"the key {twice!r} is named twice"
    if query.x_range is not None:
        low, high = query.x_range
        if not (isfinite(low) and isfinite(high)):
            yield f"the range from {low} to {high} has an end that is not a number"
        elif low > high:
            yield f"the range from {low:g} to {high:g} ends before it begins"
    if query.stream == "system" and (query.x == "step" or isinstance(query.x, MetricX)):
        yield "system metrics have no steps; their x is time or relative"


def _problems_of_runs(query: SeriesQuery) -> Iterator[str]:
    if len(query.runs) > MAX_RUNS:
        yield f"{len(query.runs):,} runs; at most {MAX_RUNS:,} are drawn in one chart"
    yield from _problem_of_size(len(query.runs) * len(query.keys) * query.n_buckets)
    twice = _first_repeated(query.runs)
    if twice is not None:
        yield f"the run {twice!r} is named twice"


def _problems_of_groups(query: GroupQuery) -> Iterator[str]:
    yield from _problem_of_size(len(query.groups) * len(query.keys) * query.n_buckets)
    for runs in query.groups:
        if len(runs) * query.n_buckets > MAX_GROUP_VALUES:
            yield (
                f"a group of {len(runs):,} runs in {query.n_buckets:,} buckets; runs times buckets can be "
                f"{MAX_GROUP_VALUES:,}: ask for fewer buckets"
            )
        twice = _first_repeated(runs)
        if twice is not None:
            yield f"the run {twice!r} is twice in one group"


def _problem_of_size(n_buckets: int) -> Iterator[str]:
    if n_buckets > MAX_QUERY_BUCKETS:
        yield f"up to {n_buckets:,} buckets; at most {MAX_QUERY_BUCKETS:,} are answered: ask for fewer"


def _first_repeated(values: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
