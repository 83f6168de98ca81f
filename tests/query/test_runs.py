from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from epochal.errors import UsageError
from epochal.ids import RunId
from epochal.query.runs import list_projects, list_runs
from epochal.store.metadata import Metadata, RunRecord

NOW = 1_700_000_000.0


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


def pages(metadata: Metadata, **asked: object) -> list[RunRecord]:
    """Return all runs of a list, got in pages of three."""
    runs: list[RunRecord] = []
    after: str | None = None
    while True:
        page = list_runs(metadata, 1, first=3, after=after, **asked)  # type: ignore[arg-type]
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
    whole = list_runs(metadata, 1, first=1000, order=order, search=search)

    assert pages(metadata, order=order, search=search) == [edge.run for edge in whole.edges]
    assert whole.n_total == len(whole.edges)
    expected = {None: 20, "name-1": 5, "/^name-[13]$/": 10, "/nothing/": 0, "/ID1?[0-4]/": 15}
    assert whole.n_total == expected[search]


def test_a_page_goes_on_behind_a_run_that_has_moved_meanwhile(metadata: Metadata) -> None:
    for search in (None, "/./"):
        page = list_runs(metadata, 1, first=5, order="-heartbeat_at", search=search)
        following = list_runs(
            metadata, 1, first=5, order="-heartbeat_at", search=search, after=page.edges[-1].cursor
        )
        assert [edge.run.run_id for edge in following.edges] == ["id14", "id13", "id12", "id11", "id10"]


def test_documents_come_when_they_are_asked_for(metadata: Metadata) -> None:
    assert list_runs(metadata, 1, first=1).edges[0].run.config != {}
    assert list_runs(metadata, 1, first=1, documents=()).edges[0].run.config == {}
    assert list_runs(metadata, 1, first=1, documents=(), search="/./").edges[0].run.config == {}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"first": 0}, "1 to 1000"),
        ({"first": 1001}, "1 to 1000"),
        ({"order": "created_at"}, "ordered by"),
        ({"order": ""}, "ordered by"),
        ({"order": "-key; DROP TABLE runs"}, "ordered by"),
        ({"after": "nonsense"}, "not a cursor"),
        ({"after": "kQ=="}, "not a cursor"),
        ({"search": "/[/"}, "not a regular expression"),
        ({"search": "x" * 501}, "at most 500"),
    ],
)
def test_a_wrong_argument_gets_a_clear_error(metadata: Metadata, asked: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        list_runs(metadata, 1, **asked)  # type: ignore[arg-type]


def test_a_cursor_of_a_list_in_another_order_is_refused(metadata: Metadata) -> None:
    cursor = list_runs(metadata, 1, first=1, order="-created_at").edges[0].cursor

    with pytest.raises(UsageError, match="another order"):
        list_runs(metadata, 1, order="+display_name", after=cursor)


def test_a_pattern_that_takes_for_ever_is_given_up(tmp_path: Path) -> None:
    store = Metadata(tmp_path / "metadata.db")
    with store.write() as connection:
        project = store.projects.ensure(connection, "local", "p", now=NOW)
        store.runs.ensure(connection, project, [RunId("a" * 60)], now=NOW)

    with pytest.raises(UsageError, match="simpler"):
        list_runs(store, project, search=r"/^(a|aa)+$\b[b]/")
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
