from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import regex

from epochal.errors import UsageError
from epochal.ids import RunId, WriterId
from epochal.query.keys import list_keys
from epochal.query.series import check_queries, read_charts
from epochal.runlog.format import Header
from epochal.runlog.reader import Frame
from epochal.store.metrics.contract import GroupQuery, MetricX, SeriesQuery
from epochal.store.metrics.embedded.store import EmbeddedMetricStore
from epochal.store.metrics.key_names import natural_order
from epochal.wire.build import build_block

KEYS = [f"layer.{i}" for i in range(12)] + ["Loss", "acc", "train/loss", "x%y"]
R1 = RunId("r1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedMetricStore]:
    """One run that logged every key once, in no order."""
    metrics = EmbeddedMetricStore(tmp_path / "1.db")
    keys = random.Random(1).sample(KEYS, len(KEYS))
    header = Header(run_id="r1", project="p", entity=None, writer="w1", kind="primary", start_time=1.0)
    frames = [Frame(100, 200, [1, 1.0, 0, {key: float(i) for i, key in enumerate(keys)}])]
    metrics.append([build_block(header, frames, [], first_offset=0, end_offset=200)])
    assert metrics.end_offset(R1, WriterId("w1")) == 200
    yield metrics
    metrics.close()


def test_keys_come_in_the_order_of_people_in_pages_that_fit(store: EmbeddedMetricStore) -> None:
    seen: list[str] = []
    after: str | None = None
    while True:
        page = list_keys(store, first=5, after=after)
        seen += [key.key for key in page.keys]
        if not page.has_next:
            break
        after = seen[-1]

    assert page.n_total == len(KEYS)
    assert seen == ["acc", *(f"layer.{i}" for i in range(12)), "Loss", "train/loss", "x%y"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("LOSS", ["Loss", "train/loss"]),
        ("%", ["x%y"]),
        (".1", ["layer.1", "layer.10", "layer.11"]),
        ("/^L.*1$/", ["layer.1", "layer.11"]),
        ("/", ["train/loss"]),
        ("", None),
    ],
)
def test_keys_are_found_by_text_and_by_pattern(
    store: EmbeddedMetricStore, search: str, found: list[str] | None
) -> None:
    page = list_keys(store, [R1], search=search)

    assert found is None or [key.key for key in page.keys] == found
    assert page.n_total == (len(KEYS) if found is None else len(found))


@pytest.mark.parametrize(
    "pattern",
    [
        "loss",
        "^l.*1$",
        r"layer\.[0-9]$",
        r"layer\.(?:1|2)\b",
        "^$|%",
        "x%?y?$",
        r"\d{2}",
        "a*",
        r"[^a]c",
        r"\Alayer",
        r"(?<!train/)loss",
        r"c\s*+$",
        r"\Wloss",
        r"l[^e-z]y\Ser\.\D*[^0]$",
        r"\[^\\W]",
        r"^\D+$",
        "[l-p]o",
        r"(.)\1",
    ],
)
def test_a_pattern_finds_in_the_project_what_it_finds_in_each_name(
    store: EmbeddedMetricStore, pattern: str
) -> None:
    page = list_keys(store, search=f"/{pattern}/")

    expected = [key for key in KEYS if regex.search(pattern, key, regex.IGNORECASE)]
    assert sorted(key.key for key in page.keys) == sorted(expected)
    assert list_keys(store, [R1], search=f"/{pattern}/").n_total == len(expected)


def test_a_pattern_that_takes_for_ever_is_given_up(store: EmbeddedMetricStore) -> None:
    header = Header(run_id="r2", project="p", entity=None, writer="w1", kind="primary", start_time=1.0)
    frames = [Frame(100, 200, [1, 1.0, 0, {"a" * 40 + str(i): 1.0 for i in range(50)}])]
    store.append([build_block(header, frames, [], first_offset=0, end_offset=200)])

    for pattern in (r"/^(a|aa)+$\b[b]/", r"/(?=a)^(a|aa)+$\b[b]/"):
        with pytest.raises(UsageError, match="takes over"):
            list_keys(store, search=pattern)


def test_a_page_of_keys_goes_on_behind_a_key_that_is_gone(store: EmbeddedMetricStore) -> None:
    assert list_keys(store, first=1, after="layer.9.5").keys[0].key == "layer.10"


@pytest.mark.parametrize("first", [0, -1, 10_001])
def test_a_page_of_keys_has_bounds(store: EmbeddedMetricStore, first: int) -> None:
    with pytest.raises(UsageError):
        list_keys(store, first=first)


@pytest.mark.parametrize(
    "ordered",
    [
        ["a", "A2", "a10", "b"],
        ["layer.2.weight", "layer.10.bias", "layer.10.weight"],
        ["", "0", "01", "1", "2", "10", "a", "ä"],
        ["x1", "x" + "9" * 5000, "x" + "1" * 5001],
        ["Loss", "loss"],
    ],
)
def test_numbers_inside_names_sort_as_numbers(ordered: list[str]) -> None:
    assert sorted(random.Random(0).sample(ordered, len(ordered)), key=natural_order) == sorted(
        ordered, key=natural_order
    )
    folded = [natural_order(key) for key in ordered]
    assert folded == sorted(folded)


def query(**changed: object) -> SeriesQuery:
    return SeriesQuery(**{"runs": (R1,), "keys": ("acc",), **changed})  # type: ignore[arg-type]


def test_each_query_gets_its_answer_in_order(store: EmbeddedMetricStore) -> None:
    answers = list(read_charts(store, [query(keys=("acc",)), query(keys=("Loss", "acc"))]))

    assert [[info.key for info in answer.infos] for answer in answers] == [["acc"], ["Loss", "acc"]]


@pytest.mark.parametrize(
    ("queries", "says"),
    [
        ([query(runs=tuple(f"r{i}" for i in range(2001)))], r"queries\[0\]: 2,001 runs; at most 2,000"),
        ([query(), query(n_buckets=0)], r"queries\[1\]: 0 buckets; there can be 1 to 20,000"),
        ([query(n_buckets=20_001)], "20001 buckets"),
        ([query(runs=("a",), keys=tuple(map(str, range(2000))), n_buckets=20_000)], "40,000,000 buckets"),
        (
            [query(runs=tuple(map(str, range(1000))), keys=tuple(map(str, range(201))), n_buckets=1)],
            "201,000",
        ),
        ([query()] * 501, "501 queries"),
        ([query(runs=("a", "a"))], "the run 'a' is named twice"),
        ([query(keys=("k", "k"))], "the key 'k' is named twice"),
        ([query(x_range=(math.nan, 1.0))], "not a number"),
        ([query(x_range=(2.0, 1.0))], "ends before it begins"),
        ([query(stream="system")], "system metrics have no steps"),
        ([query(stream="system", x=MetricX("epoch"))], "system metrics have no steps"),
    ],
)
def test_a_request_over_a_limit_is_refused_with_the_limit(queries: list[SeriesQuery], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_queries(queries)


def test_groups_have_a_limit_of_their_own() -> None:
    runs = tuple(RunId(f"r{i}") for i in range(10_001))
    check_queries([GroupQuery(groups=(runs[1:],), keys=("a",))])
    with pytest.raises(UsageError, match=r"queries\[0\]: a group of 10,001 runs in 1,000 buckets"):
        check_queries([GroupQuery(groups=((), runs), keys=("a",))])


def test_a_large_request_within_the_limits_is_not_refused() -> None:
    check_queries([query(runs=tuple(map(str, range(2000))), keys=("a",), n_buckets=1000)] * 100)
