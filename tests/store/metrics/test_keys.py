"""The keys of a project: right whatever is in chunks, and found among very many."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.ids import RunId
from epochal.store.metrics.contract import KeyInfo, MetricStore
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.key_names import KeyNames, natural_order

if TYPE_CHECKING:
    from tests.store.metrics.conftest import Journal

names_of_keys = st.lists(
    st.text(st.sampled_from("aB1209./\n\0ßİ"), max_size=8) | st.text(max_size=5), unique=True, max_size=30
)


@given(names_of_keys, names_of_keys, st.text(st.sampled_from("ab1.\n\0S"), min_size=1, max_size=3))
def test_names_are_sorted_and_found_however_they_came(first: list[str], more: list[str], text: str) -> None:
    more = [name for name in more if name not in first]
    expected = sorted([*first, *more], key=natural_order)

    names = KeyNames.of(first).with_names(more)

    assert list(names) == expected
    folded = text.casefold()
    found = [i for i, name in enumerate(expected) if folded in name.casefold()]
    assert names.with_text(text).tolist() == found


@given(names_of_keys, st.text(st.sampled_from("aB12."), max_size=6))
def test_a_list_of_names_goes_on_behind_any_name(names: list[str], name: str) -> None:
    found = KeyNames.of(names)

    behind = [other for other in found if natural_order(other) > natural_order(name)]
    assert len(found) - found.place_behind(name) == len(behind)


@pytest.mark.parametrize("n_new", [1, 3, 400])
def test_new_names_go_to_their_places_among_many(n_new: int) -> None:
    rng = random.Random(n_new)
    names = [f"layer.{rng.randrange(10**6)}.{kind}" for kind in ("Weight", "bias") for _ in range(1000)]
    names = list(dict.fromkeys(names))
    old, new = names[n_new:], names[:n_new]

    assert list(KeyNames.of(old).with_names(new)) == sorted(names, key=natural_order)


def test_a_project_counts_the_runs_that_have_a_key_whatever_it_is_there(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    one, two = new_journal("r1"), new_journal("r2")
    metrics.append([one.block([(0, 0.0, {"a": 1.0, "b": "x"}), (5, 0.0, {"a": "text"})])])
    metrics.append([two.block([(7, 0.0, {"a": 2.0})])])
    metrics.append([two.block([(9, 0.0, {"a": 3.0, "c": 1})])])

    found = metrics.key_infos(list(metrics.key_names()))

    assert found == [
        KeyInfo(key="a", type="number", count=4, n_runs=2, first_step=0, last_step=9),
        KeyInfo(key="b", type="text", count=1, n_runs=1, first_step=0, last_step=0),
        KeyInfo(key="c", type="number", count=1, n_runs=1, first_step=9, last_step=9),
    ]
    assert metrics.key_infos(["c", "unknown"]) == found[2:]


def test_keys_that_differ_in_a_control_character_are_told_apart(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    keys = ["", "a\0b", "a\nb", "a\1b", "a b", "A\nb"]
    metrics.append([new_journal().block([(i, 0.0, {key: 1.0}) for i, key in enumerate(keys)])])

    found = list(metrics.key_names())

    assert sorted(found) == sorted(keys)
    assert {info.key: info.first_step for info in metrics.key_infos(found)} == {
        key: step for step, key in enumerate(keys)
    }


def test_the_keys_of_a_deleted_run_are_gone_at_once_and_for_good(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    metrics.append([new_journal("r1").block([(0, 0.0, {"a": 1.0, "mine": 1.0})])])
    metrics.append([new_journal("r2").block([(7, 0.0, {"a": 2.0})])])
    assert list(metrics.key_names()) == ["a", "mine"]

    metrics.delete_run(RunId("r1"))

    assert list(metrics.key_names()) == ["a"]
    assert [info.n_runs for info in metrics.key_infos(["a", "mine"])] == [1]
    metrics.compact()  # type: ignore[attr-defined]
    assert list(metrics.key_names()) == ["a"]
    assert [(info.n_runs, info.count) for info in metrics.key_infos(["a", "mine"])] == [(1, 1)]


def test_keys_that_come_up_later_are_there_at_once(metrics: MetricStore, new_journal: type[Journal]) -> None:
    journal = new_journal()
    for step in range(5):
        metrics.append([journal.block([(step, 0.0, {"a": 1.0, f"k{10 - step}": 1.0, f"t{step}": "x"})])])
        names = list(metrics.key_names())
        assert names == [
            "a",
            *(f"k{10 - s}" for s in range(step, -1, -1)),
            *(f"t{s}" for s in range(step + 1)),
        ]

    assert list(metrics.key_names(stream="system")) == []


def test_a_damaged_block_of_one_run_does_not_take_the_keys_of_others(
    tmp_path: Path, new_journal: type[Journal]
) -> None:
    store = EmbeddedMetricStore(tmp_path / "m.db", background=False)
    for run in ("r1", "r2"):
        store.append([new_journal(run).block([(0, 0.0, {f"of {run}": 1.0})])])
    store.close()
    with closing(sqlite3.connect(tmp_path / "m.db", isolation_level=None)) as connection:
        connection.execute("UPDATE blocks SET body = zeroblob(50) WHERE block_no = 1")

    store = EmbeddedMetricStore(tmp_path / "m.db", background=False)
    assert list(store.key_names()) == ["of r2"]
    assert [info.key for info in store.key_infos(["of r1", "of r2"])] == ["of r2"]
    store.close()


def test_the_table_of_keys_says_what_the_series_say(tmp_path: Path, new_journal: type[Journal]) -> None:
    """After compactions, values of changing kinds, and deletions."""
    rng = random.Random(1)
    store = EmbeddedMetricStore(tmp_path / "m.db", background=False)
    journals = {run: new_journal(run) for run in ("r1", "r2", "r3", "r4")}
    for _ in range(40):
        run = rng.choice(["r1", "r2", "r3", "r4"])
        values = {rng.choice("abcdef"): rng.choice([1.0, 2, "x", [1]]) for _ in range(3)}
        store.append([journals[run].block([(rng.randrange(12), 0.0, values)])])
        if rng.random() < 0.3:
            store.compact()
    store.compact()
    store.delete_run(RunId("r3"))
    store.compact()

    with closing(sqlite3.connect(store.path)) as connection:
        said = connection.execute("SELECT stream, key, n_points, n_runs FROM keys ORDER BY 1, 2").fetchall()
        counted = connection.execute(
            "SELECT stream, key, sum(n_points), count(DISTINCT run_no) FROM series "
            "WHERE kind > 0 AND n_points > 0 GROUP BY stream, key ORDER BY 1, 2"
        ).fetchall()
    store.close()

    assert said == counted
    assert len(said) == 6
