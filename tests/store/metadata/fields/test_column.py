"""Values go into chunks and columns and come out as they were."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from epochal.store.metadata.fields.cells import MISSING, Kind, cell, find, leaves, list_text
from epochal.store.metadata.fields.chunk import pack, unpack
from epochal.store.metadata.fields.column import Column, ColumnBuilder, encode_cells

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=4), st.just({})
)
values = st.one_of(scalars, st.lists(scalars, max_size=3))


def shown(value: Any) -> tuple[Kind, Any]:
    kind, number, text = cell(value)
    return kind, text or (str(number) if kind in (Kind.BOOL, Kind.NUMBER) else "")


def content(column: Column) -> list[tuple[Kind, Any]]:
    found = []
    for i, kind in enumerate(column.kinds.tolist()):
        if kind in (Kind.TEXT, Kind.LIST):
            found.append((Kind(kind), column.text_at(i)))
        else:
            number = str(float(column.numbers[i])) if kind in (Kind.BOOL, Kind.NUMBER) else ""
            found.append((Kind(kind), number))
    return found


@given(st.lists(st.one_of(values, st.just(MISSING)), max_size=12))
def test_a_chunk_gives_back_what_was_packed(said: list[Any]) -> None:
    rows = [i for i, value in enumerate(said) if value is not MISSING]
    data, n_cells, kinds = pack(rows, [said[i] for i in rows], len(said)) if rows else (b"", 0, 0)
    builder = ColumnBuilder(len(said))
    if rows:
        found, cells = unpack(data, len(said))
        builder.put(slice(None) if found is None else found, cells)

    assert content(builder.column()) == [shown(value) for value in said]
    assert n_cells == len(rows)
    assert kinds == sum(1 << kind for kind in {cell(said[i])[0] for i in rows})


@given(st.lists(values, min_size=1, max_size=8), st.lists(st.tuples(st.integers(0, 11), values), max_size=20))
def test_a_column_follows_its_changes(said: list[Any], changes: list[tuple[int, Any]]) -> None:
    builder = ColumnBuilder(len(said))
    builder.put(slice(None), encode_cells(said))
    column = builder.column()
    now: list[Any] = list(said)
    for slot, value in changes:
        before = content(column)
        older = column
        column = column.changed(max(len(now), slot + 1), np.array([slot]), [value])
        now += [MISSING] * (slot + 1 - len(now))
        now[slot] = value
        assert content(column) == [shown(value) for value in now]
        assert content(older) == before
        ranks, texts = column.rank_texts().tolist(), column.texts
        assert [text for _, text in sorted(zip(ranks, texts, strict=True))] == sorted(texts)


def test_texts_that_no_run_has_any_more_are_let_go() -> None:
    column = ColumnBuilder(3).column().changed(3, np.array([0]), ["kept"])
    for i in range(5000):
        column = column.changed(3, np.array([1]), [f"text {i}"])

    assert column.n_texts < 2000
    assert [column.text_at(0), column.text_at(1)] == ["kept", "text 4999"]


def test_a_column_that_would_not_change_stays_the_same_object() -> None:
    column = ColumnBuilder(2).column().changed(2, np.array([0, 1]), [math.nan, "a"])

    assert column.changed(2, np.array([1, 0]), ["a", math.nan]) is column
    assert column.changed(2, np.array([1]), ["b"]) is not column


documents = st.recursive(
    st.dictionaries(st.text("ab", min_size=1, max_size=2), st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.text("ab", min_size=1, max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(documents)
def test_every_field_of_a_document_is_found_by_its_path(document: dict[str, Any]) -> None:
    for field, value in leaves("config", document):
        found = find(document, field.removeprefix("config."))
        assert (found if not isinstance(found, dict) else {}) == value
    assert find(document, "a.b.c.d.e") is MISSING


def test_a_document_is_cut_where_it_would_fill_the_index() -> None:
    wide = {str(i): i for i in range(50_000)}
    deep: dict[str, Any] = {}
    at = deep
    for _ in range(200):
        at["a"] = {}
        at = at["a"]

    assert len(list(leaves("config", wide))) == 20_000
    assert len(list(leaves("config", deep))) == 32
    assert len(list_text(list(range(1000)))) < 600
