"""Groups are ordered and paged, and what cannot be asked of them is refused clearly."""

from __future__ import annotations

import pytest
from tests.query.conftest import NOW, PutRun

from epochal.errors import UsageError
from epochal.query.groups import list_groups
from epochal.store.metadata import Metadata


@pytest.fixture(autouse=True)
def _runs(put: PutRun) -> None:
    for i, (model, width, acc) in enumerate(
        [("a", 1, 0.5), ("a", 2, 0.7), ("b", 1, 0.9), ("a", 1, None), (None, 1, 0.1), ("c", 1.0, 0.2)]
    ):
        put(f"r{i}", config={"model": model, "width": width}, summary={} if acc is None else {"acc": acc})


def groups(metadata: Metadata, by: list[str], **asked: object) -> list[tuple[list[object], int]]:
    page = list_groups(metadata, 1, by, now=NOW, **asked)  # type: ignore[arg-type]
    return [(group.values, group.n_runs) for _, group in page.groups]


@pytest.mark.parametrize(
    ("order", "models"),
    [
        ("-count", ["a", "b", "c", None]),
        ("+count", ["b", "c", None, "a"]),
        ("config.model", ["a", "b", "c", None]),
        ("-mean(summary.acc)", ["b", "a", "c", None]),
        ("+max(summary_metrics.acc)", [None, "c", "a", "b"]),
        ("-median(config.none)", ["a", "b", "c", None]),
    ],
)
def test_groups_are_ordered_by_size_value_or_number(
    metadata: Metadata, order: str, models: list[str | None]
) -> None:
    assert [values for values, _ in groups(metadata, ["config.model"], order=order)] == [[m] for m in models]


def test_groups_of_several_fields_have_all_pairs_that_occur(metadata: Metadata) -> None:
    found = groups(metadata, ["config.model", "config.width"], order="+config.model")

    assert found == [(["a", 1], 2), (["a", 2], 1), (["b", 1], 1), (["c", 1], 1), ([None, 1], 1)]


def test_pages_of_groups_fit_together(metadata: Metadata) -> None:
    seen: list[object] = []
    after: str | None = None
    while True:
        page = list_groups(metadata, 1, ["config.model"], now=NOW, first=3, after=after)
        assert page.n_total == 4
        seen += [group.values for _, group in page.groups]
        if not page.has_next:
            break
        after = page.groups[-1][0]
    assert seen == [["a"], ["b"], ["c"], [None]]


@pytest.mark.parametrize(
    ("by", "asked", "says"),
    [
        ([], {}, "by 1 to 8 fields"),
        (["loss"], {}, "no field"),
        (["state"] * 9, {}, "by 1 to 8 fields"),
        (["state"], {"order": "name"}, "groups are ordered by"),
        (["state"], {"order": "sum(config.a)"}, "groups are ordered by"),
        (["state"], {"after": "-1"}, "not a cursor"),
        (["state"], {"first": 0}, "1 to 1000"),
        (["state"], {"aggregates": ["config.a"] * 51}, "at most 50"),
    ],
)
def test_a_wrong_argument_gets_a_clear_error(
    metadata: Metadata, by: list[str], asked: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        groups(metadata, by, **asked)
