"""Lists and groups of runs are what plain Python makes of the same runs, whatever was logged, changed,
deleted or written to disk before.
"""

from __future__ import annotations

import atexit
import functools
import json
import math
import random
import re
import shutil
import statistics
import tempfile
from functools import cmp_to_key
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from tests.query.conftest import NOW, put_run

from epochal.query.filters import (
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    HasType,
    Matches,
    Not,
    OneOf,
    Or,
)
from epochal.query.groups import list_groups
from epochal.query.runs import choose_runs, list_runs
from epochal.store.metadata import Metadata
from epochal.store.metadata.base import next_version
from epochal.store.metadata.fields import table as table_module
from epochal.store.metadata.tables import documents, runs

ABSENT = object()
FIELDS = [
    "config.a",
    "config.b",
    "config.c.d",
    "config.c",
    "summary.x",
    "summary.y",
    "run.name",
    "run.tags",
    "run.group",
]
NAMES = {"run.name": "display_name", "run.tags": "tags", "run.group": "group"}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 2, -1.5, 0.0, 1.0, math.inf, -math.inf, math.nan, 2**63]),
    st.sampled_from(["", "a", "A", "ab", "b", "1", "true", "é", "ß", "[1.0]"]),
)
values = scalars | st.lists(scalars, max_size=3)
config = st.fixed_dictionaries(
    {}, optional={"a": values, "b": values, "c": st.fixed_dictionaries({}, optional={"d": values}) | scalars}
)
summary = st.fixed_dictionaries({}, optional={"x": values, "y": scalars})
# What happens to one of eight runs: it is put, or deleted; now and then everything is written to disk.
put = st.tuples(
    st.just("put"),
    st.integers(0, 7),
    config,
    summary,
    st.sampled_from(["", "a", "Ab", "b"]),
    st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
    st.sampled_from([None, "g", "h"]),
)
step = st.one_of(put, put, put, st.tuples(st.just("delete"), st.integers(0, 7)), st.tuples(st.just("build")))
conditions = st.one_of(
    st.builds(
        Compare,
        st.sampled_from(FIELDS),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        scalars.map(lambda v: _float(v)) | st.lists(scalars.map(lambda v: _float(v)), max_size=2).map(tuple),
    ),
    st.builds(
        OneOf,
        st.sampled_from(FIELDS),
        st.lists(scalars.map(lambda v: _float(v)), max_size=3).map(tuple),
        st.booleans(),
    ),
    st.builds(
        Matches,
        st.sampled_from(FIELDS),
        st.sampled_from(["^a", "b$", "", "[ab]+", "(a|b)+"]),
        st.booleans(),
        st.booleans(),
    ),
    st.builds(Contains, st.sampled_from(FIELDS), st.sampled_from(["a", "B", "SS", ""]), st.booleans()),
    st.builds(Exists, st.sampled_from(FIELDS)),
    st.builds(
        HasType,
        st.sampled_from(FIELDS),
        st.sampled_from(["null", "bool", "number", "string", "array", "object"]),
    ),
)
trees = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: Or(tuple(parts))),
        inner.map(Not),
    ),
    max_leaves=5,
)
orders = st.lists(st.tuples(st.sampled_from(["+", "-"]), st.sampled_from(FIELDS)), min_size=1, max_size=3)


def _float(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf


def empty_store(folder: Path) -> Metadata:
    """Return a store with a project `p`; copied, because making one takes longer than an example."""
    shutil.copy(_template(), folder / "metadata.db")
    return Metadata(folder / "metadata.db")


@functools.cache
def _template() -> Path:
    path = Path(tempfile.mkdtemp(prefix="epochal-test-")) / "metadata.db"
    atexit.register(shutil.rmtree, path.parent)
    metadata = Metadata(path)
    with metadata.write() as connection:
        metadata.projects.ensure(connection, "local", "p", now=NOW)
    metadata.close()
    return path


class Oracle:
    """The same runs as plain dicts."""

    def __init__(self) -> None:
        self.runs: dict[int, dict[str, Any]] = {}

    def value(self, key: int, field: str) -> Any:
        at: Any = self.runs[key]
        for part in field.split("."):
            if not isinstance(at, dict) or part not in at:
                return ABSENT
            at = at[part]
        return (
            [_float(item) if not isinstance(item, list) else "…" for item in at]
            if isinstance(at, list)
            else _float(at)
        )

    def matches(self, key: int, tree: Filter) -> bool:
        match tree:
            case And(parts):
                return all(self.matches(key, part) for part in parts)
            case Or(parts):
                return any(self.matches(key, part) for part in parts)
            case Not(part):
                return not self.matches(key, part)
        value = self.value(key, tree.field)
        is_given = value is not ABSENT and value is not None
        match tree:
            case Exists():
                return value is not ABSENT
            case HasType(_, name):
                return type_of(value) == name
            case Compare(_, operator, wanted):
                return compared(value, operator, wanted, is_given=is_given)
            case OneOf(_, wanted_values, negated):
                found = any(compared(value, "=", one, is_given=is_given) for one in wanted_values)
                return is_given and not found if negated else found
            case Matches(_, pattern, ignore_case, negated):
                flags = re.IGNORECASE if ignore_case else 0
                found = any(re.search(pattern, text, flags) for text in texts_of(value))
                return is_given and not found if negated else found
            case Contains(_, text, negated):
                found = any(text.casefold() in one.casefold() for one in texts_of(value))
                return is_given and not found if negated else found
        raise AssertionError(tree)

    def compare(self, a: int, b: int, by: list[tuple[str, str]]) -> int:
        for sign, field in by:
            x, y = place_of(self.value(a, field)), place_of(self.value(b, field))
            if x[0] != y[0]:
                return -1 if x[0] < y[0] else 1
            if x[1] != y[1]:
                return (-1 if x[1] < y[1] else 1) * (-1 if sign == "-" else 1)
        return (a - b) * (-1 if by[0][0] == "-" else 1)


def type_of(value: Any) -> str | None:
    if value is ABSENT:
        return None
    types = {type(None): "null", bool: "bool", float: "number", str: "string", list: "array", dict: "object"}
    return types[type(value)]


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or (a != a and b != b))


def compared(value: Any, operator: str, wanted: Any, *, is_given: bool) -> bool:
    if wanted is None:
        return {"=": not is_given, "!=": is_given}.get(operator, False)
    if not is_given:
        return False
    if isinstance(wanted, tuple):
        is_same = isinstance(value, list) and len(value) == len(wanted) and all(map(same, value, wanted))
        return {"=": is_same, "!=": not is_same}.get(operator, False)
    is_equal = same(value, wanted) or (isinstance(value, list) and any(same(item, wanted) for item in value))
    if operator in ("=", "!="):
        return is_equal == (operator == "=")
    if type(value) is not type(wanted):
        return False
    return bool(
        {"<": value < wanted, "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted}[operator]
    )


def texts_of(value: Any) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def place_of(value: Any) -> tuple[int, Any]:
    """Return (class, value): classes are in this order whatever the direction."""
    if value is ABSENT or value is None:
        return (10 if value is ABSENT else 9), 0
    if isinstance(value, (bool, float)):
        return (8, 0) if value != value else (0, float(value))
    if isinstance(value, str):
        return 1, value
    if isinstance(value, list):
        return 2, list_text(value)
    return 3, 0


def list_text(value: list[Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def apply(metadata: Metadata, oracle: Oracle, what: tuple[Any, ...]) -> None:
    if what[0] == "put":
        _, i, said_config, said_summary, name, tags, group = what
        key = put_run(
            metadata,
            f"r{i}",
            config=said_config,
            summary=said_summary,
            name=name,
            tags=tuple(tags),
            group=group,
        )
        run = {"name": name, "tags": tags} | ({"group": group} if group else {})
        oracle.runs[key] = {"config": said_config, "summary": said_summary, "run": run}
    elif what[0] == "delete":
        for key in [k for k in oracle.runs if run_id_of(metadata, k) == f"r{what[1]}"]:
            with metadata.write() as connection:
                next_version(connection)
                connection.execute(delete(documents).where(documents.c.run_key == key))
                connection.execute(delete(runs).where(runs.c.key == key))
            del oracle.runs[key]
    else:
        metadata.fields.build(1, pause=lambda _: None)


def run_id_of(metadata: Metadata, key: int) -> str | None:
    found = metadata.runs.of_keys([key], documents=())
    return found[0].run_id if found else None


def check_list(metadata: Metadata, oracle: Oracle, tree: Filter, by: list[tuple[str, str]]) -> None:
    def compare(a: int, b: int) -> int:
        return oracle.compare(a, b, by)

    expected = sorted(
        (key for key in oracle.runs if oracle.matches(key, tree)),
        key=cmp_to_key(compare),
    )
    order = ",".join(sign + NAMES.get(field, field) for sign, field in by)
    seen: list[int] = []
    after: str | None = None
    while True:
        page = list_runs(metadata, 1, now=NOW, first=2, after=after, order=order, chosen=tree, documents=())
        assert page.n_total == len(expected)
        seen += [edge.run.key for edge in page.edges]
        if not page.has_next:
            break
        after = page.edges[-1].cursor
    assert seen == expected


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    history=st.lists(st.tuples(step, trees, orders), min_size=1, max_size=8),
    n_held=st.sampled_from([0, 2, 2048]),
    max_bytes=st.sampled_from([0, 10**8]),
)
def test_every_list_is_what_plain_python_makes_of_the_same_runs(
    history: list[tuple[Any, Filter, list[tuple[str, str]]]], n_held: int, max_bytes: int
) -> None:
    """With few held changes the documents are read for each column; without memory no column is kept."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_module, "MAX_CHANGED_RUNS", n_held)
        metadata = empty_store(Path(folder))
        metadata.fields._max_column_bytes = max_bytes
        oracle = Oracle()
        for what, tree, by in history:
            apply(metadata, oracle, what)
            check_list(metadata, oracle, tree, by)
        metadata.close()
        metadata = Metadata(Path(folder) / "metadata.db")
        check_list(metadata, oracle, history[-1][1], history[-1][2])
        metadata.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(step, min_size=1, max_size=14),
    by=st.lists(st.sampled_from(FIELDS), min_size=1, max_size=2, unique=True),
    measured=st.sampled_from(["config.a", "summary.x", "summary.y"]),
    tree=trees,
)
def test_every_group_has_its_runs_and_their_numbers(
    steps: list[Any], by: list[str], measured: str, tree: Filter
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        metadata = empty_store(Path(folder))
        oracle = Oracle()
        for what in steps:
            apply(metadata, oracle, what)
        expected: dict[Any, list[int]] = {}
        for key in oracle.runs:
            if oracle.matches(key, tree):
                group = tuple(group_value(oracle.value(key, field)) for field in by)
                expected.setdefault(group, []).append(key)
        names = [NAMES.get(field, field) for field in by]
        page = list_groups(metadata, 1, names, now=NOW, aggregates=[measured], chosen=tree, first=100)

        assert page.n_total == len(expected)
        assert sorted(g.n_runs for _, g in page.groups) == sorted(map(len, expected.values()))
        for _, group in page.groups:
            only = choose_runs(filters=group.filters)
            inside = list_runs(metadata, 1, now=NOW, chosen=And((tree, only)), documents=())
            keys = sorted(edge.run.key for edge in inside.edges)
            assert keys in [sorted(of_group) for of_group in expected.values()], group
            check_numbers(group.aggregates[0], [oracle.value(key, measured) for key in keys])
        metadata.close()


def group_value(value: Any) -> Any:
    if value is ABSENT or value is None:
        return None
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return ("list", list_text(value))
    return (type(value).__name__, "nan" if value != value else value)


def check_numbers(found: Any, group: list[Any]) -> None:
    numbers = [v for v in group if isinstance(v, float) and v == v]
    assert found.n_values == len(numbers)
    if not numbers:
        assert math.isnan(found.mean)
        assert math.isnan(found.median)
        return
    assert (found.min, found.max) == (min(numbers), max(numbers))
    if all(map(math.isfinite, numbers)):
        assert found.mean == pytest.approx(statistics.fmean(numbers))
        assert found.median == pytest.approx(statistics.median(numbers))
        assert found.std == pytest.approx(
            statistics.pstdev(numbers), rel=1e-9, abs=1e-6 * max(map(abs, numbers))
        )


def test_pages_fit_together_while_runs_come_and_change(tmp_path: Path) -> None:
    """Runs that do not move are listed once each; new ones stand where they belong, or are missed."""
    metadata = Metadata(tmp_path / "metadata.db")
    rng = random.Random(5)
    for i in range(60):
        put_run(metadata, f"r{i}", summary={"x": rng.random()})
    seen: list[str] = []
    after: str | None = None
    while True:
        page = list_runs(metadata, 1, now=NOW, first=7, after=after, order="-summary_metrics.x", documents=())
        seen += [edge.run.run_id for edge in page.edges]
        if not page.has_next:
            break
        after = page.edges[-1].cursor
        put_run(metadata, f"new{len(seen)}", summary={"x": rng.random()})
        metadata.fields.build(1, pause=lambda _: None)
    old = [run_id for run_id in seen if not run_id.startswith("new")]
    assert len(seen) == len(set(seen))
    assert len(old) == 60
    metadata.close()
