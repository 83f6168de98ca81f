from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.query.conftest import NOW, put_run

from epochal.errors import UsageError
from epochal.ids import RunId
from epochal.query.runs import RunPage, choose_runs, count_runs, list_projects, list_runs
from epochal.store.metadata import Metadata, RunRecord


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[Metadata]:
    """A project of 20 runs whose times and names repeat."""
    store = Metadata(tmp_path / "metadata.db")
    with store.write() as connection:
        project = store.projects.ensure(connection, "local", "p", now=NOW)
        for i in range(20):
            run_id = RunId(f"id{i}")
            key = store.runs.ensure(connection, project, [run_id], now=NOW)[run_id]
            run = RunRecord(
                key=key,
                run_id=run_id,
                entity="local",
                project="p",
                name=f"Name-{i % 4}",
                created_at=NOW + i % 3,
                heartbeat_at=NOW + i,
            )
            store.runs.save(connection, [run])
            store.documents.put(connection, [(key, {"config": {"i": i}})])
    yield store
    store.close()


def list_of(
    metadata: Metadata, *, search: str | None = None, where: str | None = None, **asked: Any
) -> RunPage:
    return list_runs(metadata, 1, now=NOW, chosen=choose_runs(search=search, where=where), **asked)


def pages(metadata: Metadata, **asked: Any) -> list[RunRecord]:
    """Return all runs of a list, got in pages of three."""
    runs: list[RunRecord] = []
    after: str | None = None
    while True:
        page = list_of(metadata, first=3, after=after, **asked)
        runs += [edge.run for edge in page.edges]
        if not page.has_next:
            assert page.n_total == len(runs)
            return runs
        after = page.edges[-1].cursor


@pytest.mark.parametrize("search", [None, "name-1", "/^name-[13]$/", "/ID1?[0-4]/", "/nothing/"])
@pytest.mark.parametrize(
    "order", ["-created_at", "+created_at", "-display_name", "+display_name", "-heartbeat_at"]
)
def test_pages_of_every_order_and_search_are_the_whole_list_once(
    metadata: Metadata, order: str, search: str | None
) -> None:
    whole = list_of(metadata, first=1000, order=order, search=search)

    assert pages(metadata, order=order, search=search) == [edge.run for edge in whole.edges]
    assert whole.n_total == len(whole.edges)
    expected = {None: 20, "name-1": 5, "/^name-[13]$/": 10, "/nothing/": 0, "/ID1?[0-4]/": 15}
    assert whole.n_total == expected[search]


def test_a_page_goes_on_behind_a_run_that_has_moved_meanwhile(metadata: Metadata) -> None:
    for search in (None, "/./"):
        page = list_of(metadata, first=5, order="-heartbeat_at", search=search)
        following = list_of(
            metadata, first=5, order="-heartbeat_at", search=search, after=page.edges[-1].cursor
        )
        assert [edge.run.run_id for edge in following.edges] == ["id14", "id13", "id12", "id11", "id10"]


def test_documents_come_when_they_are_asked_for(metadata: Metadata) -> None:
    assert list_of(metadata, first=1).edges[0].run.config != {}
    assert list_of(metadata, first=1, documents=()).edges[0].run.config == {}
    assert list_of(metadata, first=1, documents=(), search="/./").edges[0].run.config == {}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"first": 0}, "1 to 1000"),
        ({"first": 1001}, "1 to 1000"),
        ({"order": ""}, "ordered by"),
        ({"order": "-"}, "ordered by"),
        ({"order": "-created_at,"}, "ordered by"),
        ({"order": ",".join(["created_at"] * 11)}, "at most 10 fields"),
        ({"order": "-key; DROP TABLE runs"}, "no field"),
        ({"where": "loss > 1"}, "column 1: runs have no field"),
        ({"where": "created_at > yesterday"}, "not a time"),
        ({"after": "nonsense"}, "not a cursor"),
        ({"after": "kQ=="}, "not a cursor"),
        ({"search": "/[/"}, "not a regular expression"),
        ({"search": "x" * 501}, "at most 500"),
    ],
)
def test_a_wrong_argument_gets_a_clear_error(metadata: Metadata, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        list_of(metadata, **asked)


def test_a_cursor_of_a_list_in_another_order_is_refused(metadata: Metadata) -> None:
    cursor = list_of(metadata, first=1, order="-created_at").edges[0].cursor

    with pytest.raises(UsageError, match="another order"):
        list_of(metadata, order="+display_name", after=cursor)


def test_a_pattern_that_takes_for_ever_is_given_up(tmp_path: Path) -> None:
    store = Metadata(tmp_path / "metadata.db")
    with store.write() as connection:
        project = store.projects.ensure(connection, "local", "p", now=NOW)
        assert project == 1
        store.runs.ensure(connection, project, [RunId("a" * 60)], now=NOW)

    with pytest.raises(UsageError, match="simpler"):
        list_of(store, search=r"/^(a|aa)+$\b[b]/")
    store.close()


def test_projects_come_in_pages_too(metadata: Metadata) -> None:
    with metadata.write() as connection:
        for i in range(7):
            metadata.projects.ensure(connection, "local", f"p{i}", now=NOW + i // 2)
    seen: list[str] = []
    after: str | None = None
    while True:
        page = list_projects(metadata, now=NOW, first=2, after=after)
        seen += [edge.project.name for edge in page.edges]
        if not page.has_next:
            break
        after = page.edges[-1].cursor

    assert page.n_total == 8
    assert seen == ["p6", "p5", "p4", "p3", "p2", "p1", "p0", "p"]
    with pytest.raises(UsageError):
        list_projects(metadata, now=NOW, after="nonsense")


STATES: dict[str, dict[str, Any]] = {
    "done": {"end_state": "failed", "ended_at": NOW + 100, "heartbeat_at": NOW + 50},
    "live": {"heartbeat_at": NOW + 990},
    "quiet": {"heartbeat_at": NOW + 900},
    "gone": {"heartbeat_at": NOW + 10},
}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("state = running", {"live"}),
        ("state = silent", {"quiet"}),
        ("state in [crashed, failed]", {"gone", "done"}),
        ("duration = 100", {"done"}),
        ("duration = 1000", {"live"}),
        ("duration < 100", {"gone"}),
        ("created_at = '2023-11-14T22:13:20Z'", {"done", "live", "quiet", "gone"}),
        ("heartbeat_at >= '2023-11-14T23:13:20+01:00' and heartbeat_at < '150s ago'", {"done", "gone"}),
        ("heartbeat_at > '2min ago'", {"live", "quiet"}),
        ("ended_at is null", {"live", "quiet", "gone"}),
    ],
)
def test_what_depends_on_the_time_is_that_of_the_question(
    tmp_path: Path, where: str, found: set[str]
) -> None:
    store = Metadata(tmp_path / "times.db")
    for name, fields in STATES.items():
        put_run(store, name, **fields)

    page = list_runs(store, 1, now=NOW + 1000, chosen=choose_runs(where=where), documents=())

    assert {edge.run.run_id for edge in page.edges} == found
    assert count_runs(store, 1, now=NOW + 1000, chosen=choose_runs(where=where)) == len(found)
    store.close()


def test_a_config_key_is_found_as_w_and_b_names_it(tmp_path: Path) -> None:
    """There, config.lr.value is the value of config.lr; here that holds unless a config has such a key."""
    store = Metadata(tmp_path / "w.db")
    put_run(store, "r1", config={"lr": 0.1, "own": {"value": 2}})

    def n(filters: str) -> int:
        return count_runs(store, 1, now=NOW, chosen=choose_runs(filters=filters))

    assert n('{"config.lr.value": 0.1}') == n('{"config.lr": 0.1}') == n('{"config.own.value": 2}') == 1
    assert n('{"config.lr.value": 0.2}') == n('{"config.own": 2}') == 0
    store.close()


def test_keys_with_dots_are_the_same_field_as_nested_ones(tmp_path: Path) -> None:
    store = Metadata(tmp_path / "dots.db")
    put_run(store, "r1", config={"a.b": 1})
    put_run(store, "r2", config={"a": {"b": 1}})
    put_run(store, "r3", config={"a": {"b.c": 1}})
    put_run(store, "r4", config={"a b": {"c-d/e": 1}})

    def found(where: str) -> set[str]:
        page = list_runs(store, 1, now=NOW, chosen=choose_runs(where=where))
        return {edge.run.run_id for edge in page.edges}

    for _ in ("from the documents", "from the parts"):
        assert found("config.a.b = 1") == {"r1", "r2"}
        assert found("config.a.b.c = 1") == {"r3"}
        assert found("config.a exists") == {"r2", "r3"}
        assert found("config.`a b`.c-d/e = 1") == {"r4"}
        store.fields.build(1)
    store.close()


def test_a_text_is_compared_by_its_first_thousand_characters(tmp_path: Path) -> None:
    store = Metadata(tmp_path / "long.db")
    put_run(store, "r1", config={"text": "x" * 1000 + "y"})

    def n(where: str) -> int:
        return count_runs(store, 1, now=NOW, chosen=choose_runs(where=where))

    assert n(f"config.text = '{'x' * 1000}z'") == 1
    assert n("config.text contains y") == 0
    store.close()


@pytest.mark.parametrize("pattern", [r"^(a|aa)+$\b[b]", r"(?=a)a*a*a*a*a*b", r"a*a*a*a*a*a*b", r"(a?){50}b"])
def test_no_pattern_holds_the_server_up(tmp_path: Path, pattern: str) -> None:
    store = Metadata(tmp_path / "slow.db")
    for i in range(3):
        put_run(store, f"r{i}", name="a" * 900 + str(i))

    chosen = choose_runs(filters=json.dumps({"display_name": {"$regex": pattern}}))
    began = time.monotonic()
    with contextlib.suppress(UsageError):  # it was given up, or was quick after all
        list_runs(store, 1, now=NOW, chosen=chosen)
    assert time.monotonic() - began < 20  # not a measurement: without a clock these take days
    store.close()
