"""The embedded store against dictionaries, over random histories, in blocks, in chunks and in between."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from epochal.ids import RunId
from epochal.store.metrics.contract import Buckets, MetricX, SeriesQuery, XAxis
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.chunks import ChunkSizes

if TYPE_CHECKING:
    from tests.store.metrics.conftest import Journal, LoggedRow, Oracle

R1 = RunId("r1")
KEYS = ("a", "b", "c")

# So small that a few dozen points have several levels.
TINY = ChunkSizes(
    points_a_chunk=8,
    buckets_a_chunk=4,
    points_a_bucket=2,
    buckets_a_bucket=2,
    other_chunk_bytes=64,
    merge_width=3,
)

values: st.SearchStrategy[object] = st.one_of(
    st.floats(width=64),
    st.integers(-5, 5),
    st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf, True, False, 2**62 + 1, 1e308, -1e308]),
    st.sampled_from([None, "text", [1, 2.0], {"_type": "histogram", "values": [1]}]),
)
data = st.dictionaries(st.sampled_from(KEYS), values, max_size=3)
plain_values: st.SearchStrategy[object] = st.floats(-10, 10) | st.integers(0, 9)
plain_data = st.fixed_dictionaries({"a": plain_values, "b": plain_values})


class Burst(NamedTuple):
    """Rows of one writer in one block."""

    writer: str
    first_step: int  # after the greatest step so far, negative for late ones
    steps: list[int]  # from there
    seconds: list[float]  # after the row before
    data: list[dict[str, object]]
    compact: bool


@st.composite
def bursts(draw: st.DrawFn) -> Burst:
    n = draw(st.integers(1, 40))
    in_order = draw(st.booleans())
    steps = list(range(n)) if in_order else draw(st.lists(st.integers(0, 30), min_size=n, max_size=n))
    seconds = st.just(1.0) if draw(st.booleans()) else st.floats(-2, 5)
    row: st.SearchStrategy[dict[str, object]] = plain_data if draw(st.booleans()) else data
    return Burst(
        draw(st.sampled_from(["w1", "w2"])),
        draw(st.sampled_from([0, 0, 0, 1, -1, -5, -40])),
        steps,
        draw(st.lists(seconds, min_size=n, max_size=n)),
        draw(st.lists(row, min_size=n, max_size=n)),
        draw(st.booleans()),
    )


class Question(NamedTuple):
    key: str
    x: XAxis
    x_range: tuple[float, float] | None
    n_buckets: int


ends = st.one_of(
    st.integers(0, 40), st.integers(-10, 200), st.floats(-10, 200), st.sampled_from([-math.inf, math.inf])
)
questions = st.builds(
    Question,
    st.sampled_from(KEYS),
    st.sampled_from(["step", "time", "relative", MetricX("b")]),
    st.one_of(st.none(), st.tuples(ends, ends)),
    st.sampled_from([1, 2, 3, 5, 8, 13, 40, 1000]),
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(bursts(), min_size=1, max_size=8),
    st.lists(questions, min_size=1, max_size=6),
    st.sampled_from([1, 100, 1000, 1 << 20]),
)
def test_every_answer_is_that_of_plain_dictionaries(
    new_journal: type[Journal],
    new_oracle: type[Oracle],
    history: list[Burst],
    asked: list[Question],
    window_bytes: int,
) -> None:
    oracle = new_oracle()
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedMetricStore(
            Path(folder) / "m.db", background=False, sizes=TINY, window_bytes=window_bytes
        )
        write(store, new_journal, oracle, history, asked[0])
        try:
            check_rows(store, oracle)
            check_keys(store, oracle)
            check_values(store, oracle)
            for question in asked:
                check_series(store, oracle, question)
            store.compact()
            check_rows(store, oracle)
            check_values(store, oracle)
            check_keys(store, oracle)
            for question in asked:
                check_series(store, oracle, question)
        finally:
            store.close()


def write(
    store: EmbeddedMetricStore,
    new_journal: type[Journal],
    oracle: Oracle,
    history: list[Burst],
    asked: Question,
) -> None:
    """Write bursts, and look at the series after each, so that what readers keep grows with it."""
    journals: dict[str, Journal] = {}
    greatest, now = 0, 0.0
    for burst in history:
        journal = journals.setdefault(burst.writer, new_journal("r1", burst.writer))
        rows: list[LoggedRow] = []
        for step, seconds, logged in zip(burst.steps, burst.seconds, burst.data, strict=True):
            now += seconds
            rows.append((max(0, greatest + burst.first_step + step), now, logged))
        greatest = max(greatest, *(row[0] for row in rows))
        oracle.log(rows)
        store.append([journal.block(rows)])
        if burst.compact:
            store.compact()
        check_series(store, oracle, asked)


def check_rows(store: EmbeddedMetricStore, oracle: Oracle) -> None:
    assert written(store.scan_rows(R1)) == written(oracle.rows())
    some = written(store.scan_rows(R1, ["c", "a"], first_step=3, last_step=60))
    assert some == written(row for row in oracle.rows(["c", "a"]) if 3 <= row[0] <= 60)


def check_values(store: EmbeddedMetricStore, oracle: Oracle) -> None:
    for key, steps in oracle.values.items():
        others = [(s, t, v) for s, (t, v) in sorted(steps.items()) if not isinstance(v, (bool, int, float))]
        limit, max_bytes = len(others) % 5 + 1, 10 * (len(others) % 3)
        assert paged_steps(store, key, limit) == [(step, time) for step, time, _ in others]
        assert paged_values(store, key, limit, max_bytes) == [repr(other) for other in others]


def paged_steps(store: EmbeddedMetricStore, key: str, limit: int) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    at: int | None = 0
    while at is not None:
        steps, times, at = store.value_steps(R1, key, first_step=at, limit=limit)
        assert steps.size <= limit
        found += zip(steps.tolist(), times.tolist(), strict=True)
    return found


def paged_values(store: EmbeddedMetricStore, key: str, limit: int, max_bytes: int) -> list[str]:
    found: list[str] = []
    at: int | None = 0
    while at is not None:
        page, at = store.values(R1, key, first_step=at, limit=limit, max_bytes=max_bytes)
        assert len(page) <= limit
        found += [repr((value.step, value.time, value.value)) for value in page]
    return found


def written(rows: Iterable[tuple[int, float, dict[str, object]]]) -> list[str]:
    """Return rows as text, in which NaN is NaN and 1 is not 1.0; the order of keys is no promise."""
    return [repr((step, time, sorted(values.items()))) for step, time, values in rows]


def check_keys(store: EmbeddedMetricStore, oracle: Oracle) -> None:
    found = {info.key: (info.first_step, info.last_step) for info in store.keys([R1])}
    expected = {key: (min(steps), max(steps)) for key, steps in oracle.values.items()}
    assert found == expected
    names = store.key_names()
    assert list(names) == sorted(expected)
    untyped = [replace(info, type="other") for info in store.key_infos(list(names))]
    everything = store.keys()
    assert untyped == [replace(info, type="other") for info in everything]


def check_series(store: EmbeddedMetricStore, oracle: Oracle, question: Question) -> None:
    query = SeriesQuery(
        runs=(R1,),
        keys=(question.key,),
        x=question.x,
        x_range=question.x_range,
        n_buckets=question.n_buckets,
    )
    (info,), buckets = store.read_series(query)
    again = store.read_series(query).buckets
    assert [column.tobytes() for column in again] == [column.tobytes() for column in buckets]
    points = placed(oracle, question)
    low, high = question.x_range or (-math.inf, math.inf)
    inside = [point for point in points if low <= point[0] <= high]
    before = [point for point in points if point[0] < low][-1:]
    after = [point for point in points if point[0] > high][:1]
    if low > high:
        return  # nothing is promised about a range that ends before it begins

    numbers = oracle.numbers(question.key)
    assert info.last_step == (numbers[-1][0] if numbers else None)
    assert info.n_points == len(inside)
    assert info.exact == (len(inside) <= question.n_buckets)
    assert sum(buckets.n_points.tolist()) == len(before) + len(inside) + len(after)
    at = check_buckets(buckets, 0, before, 1)
    n_inside = buckets.x.size - len(before) - len(after)
    assert n_inside <= question.n_buckets
    at = check_buckets(buckets, at, inside, n_inside)
    assert check_buckets(buckets, at, after, 1) == buckets.x.size


def placed(oracle: Oracle, question: Question) -> list[tuple[float, float]]:
    """Return the points as (x, value), by x, then step."""
    points: list[tuple[float, int, float]] = []
    along = {step: value for step, _, value in oracle.numbers("b")}
    for step, time, value in oracle.numbers(question.key):
        if question.x == "step":
            points.append((float(step), step, value))
        elif question.x == "time":
            points.append((time, step, value))
        elif question.x == "relative":
            points.append((time - oracle.first_time, step, value))
        elif step in along and math.isfinite(along[step]):
            points.append((along[step], step, value))
    return [(x, value) for x, _, value in sorted(points, key=lambda point: point[:2])]


def check_buckets(buckets: Buckets, at: int, points: list[tuple[float, float]], n_buckets: int) -> int:
    """Check that the buckets from `at` on tell exactly about `points`, in order; return where they end."""
    if not points:
        return at
    for _ in range(n_buckets):
        n = int(buckets.n_points[at])
        own, points = points[:n], points[n:]
        check_bucket(buckets, at, own)
        at += 1
    assert points == []
    return at


def check_bucket(buckets: Buckets, at: int, points: list[tuple[float, float]]) -> None:
    values = [value for _, value in points]
    finite = [value for value in values if math.isfinite(value)]
    assert (buckets.x[at], buckets.x_last[at]) == (points[0][0], points[-1][0])
    assert repr(float(buckets.first[at])) == repr(values[0])
    assert repr(float(buckets.last[at])) == repr(values[-1])
    assert buckets.n_nan[at] == sum(math.isnan(value) for value in values)
    assert buckets.n_posinf[at] == values.count(math.inf)
    assert buckets.n_neginf[at] == values.count(-math.inf)
    if finite:
        assert (buckets.low[at], buckets.high[at]) == (min(finite), max(finite))
        mean = math.fsum(value / len(finite) for value in finite)
        scale = max(map(abs, finite))
        assert buckets.mean[at] == pytest.approx(mean, abs=1e-9 * scale)
    else:
        assert math.isnan(buckets.low[at])
        assert math.isnan(buckets.high[at])
        assert math.isnan(buckets.mean[at])
