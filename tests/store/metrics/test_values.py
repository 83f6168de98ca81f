"""Values that are no numbers: found by key and step, in bounded answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from epochal.ids import RunId
from epochal.store.metrics.contract import LoggedValue, MetricStore

if TYPE_CHECKING:
    from tests.store.metrics.conftest import Journal

R1 = RunId("r1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("words", "text"),
        ({"_type": "histogram", "values": [1], "bins": [0, 1]}, "histogram"),
        ({"_type": "image-file", "path": "a.png"}, "media"),
        ({"_type": "table-file", "path": "t.json"}, "table"),
        ([1, 2], "other"),
        (None, "other"),
    ],
)
def test_a_value_is_told_with_its_type(
    metrics: MetricStore, new_journal: type[Journal], value: object, expected: str
) -> None:
    metrics.append([new_journal().block([(3, 1.5, {"a": value}), (4, 2.5, {"a": 1.0})])])

    assert metrics.values(R1, "a") == ([LoggedValue(3, 1.5, expected, value)], None)  # type: ignore[arg-type]
    steps, times, following = metrics.value_steps(R1, "a")
    assert (steps.tolist(), times.tolist(), following) == ([3], [1.5], None)


def test_a_number_written_over_a_value_takes_its_place(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal()
    metrics.append([journal.block([(i, 0.0, {"a": f"text {i}"}) for i in range(5)])])
    metrics.append([journal.block([(2, 1.0, {"a": 7.0}), (3, 1.0, {"a": "newer"})])])

    values, _ = metrics.values(R1, "a")

    assert [(v.step, v.value) for v in values] == [(0, "text 0"), (1, "text 1"), (3, "newer"), (4, "text 4")]


def test_an_answer_of_large_values_has_as_many_as_fit_and_one_in_any_case(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    metrics.append([new_journal().block([(i, 0.0, {"a": "x" * 1000}) for i in range(10)])])

    values, following = metrics.values(R1, "a", max_bytes=3500)
    assert ([value.step for value in values], following) == ([0, 1, 2], 3)
    values, following = metrics.values(R1, "a", first_step=8, max_bytes=1)
    assert ([value.step for value in values], following) == ([8], 9)


def test_values_can_be_cut_to_a_range_of_steps(metrics: MetricStore, new_journal: type[Journal]) -> None:
    metrics.append([new_journal().block([(i, 0.0, {"a": str(i), "n": i}) for i in range(100)])])

    values, following = metrics.values(R1, "a", first_step=10, last_step=12)
    assert ([value.value for value in values], following) == (["10", "11", "12"], None)
    steps, _, following = metrics.value_steps(R1, "a", first_step=90, limit=4)
    assert (steps.tolist(), following) == ([90, 91, 92, 93], 94)
    assert metrics.values(R1, "n") == ([], None)
    assert metrics.values(RunId("unknown"), "a") == ([], None)


def test_a_range_beyond_all_steps_has_no_values(metrics: MetricStore, new_journal: type[Journal]) -> None:
    metrics.append([new_journal().block([(0, 0.0, {"a": "x"}), (2**63 - 1, 0.0, {"a": "y"})])])

    for first, last in ((2**63, None), (10**30, 10**31), (None, -(2**63) - 1)):
        assert metrics.values(R1, "a", first_step=first, last_step=last) == ([], None)
        assert metrics.value_steps(R1, "a", first_step=first, last_step=last).steps.size == 0
        assert list(metrics.scan_rows(R1, first_step=first, last_step=last)) == []
    values, _ = metrics.values(R1, "a", first_step=-(10**30), last_step=10**30)
    assert [value.value for value in values] == ["x", "y"]
