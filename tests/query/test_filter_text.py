"""Filters as people type them mean what they say, and what cannot be understood is pointed at."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.errors import UsageError
from epochal.query.filter_text import parse_text_filter
from epochal.query.filters import (
    EVERY_RUN,
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    FilterError,
    Matches,
    Not,
    OneOf,
    Or,
)

LR = Compare("config.lr", ">", 0.1)
DONE = Compare("run.state", "=", "finished")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", EVERY_RUN),
        ("config.lr > 0.1", LR),
        ("config.lr>.1", LR),
        ("config.lr = -1e-3", Compare("config.lr", "=", -0.001)),
        ("summary.loss = inf", Compare("summary.loss", "=", math.inf)),
        ("summary_metrics.loss<-Inf", Compare("summary.loss", "<", -math.inf)),
        ("config.info = info", Compare("config.info", "=", "info")),
        ("config.x = nano", Compare("config.x", "=", "nano")),
        ("config.x = 'it\\'s \"so\"'", Compare("config.x", "=", 'it\'s "so"')),
        ("state = finished", DONE),
        ('state == "finished"', DONE),
        ("name ~ /res(net)?/", Matches("run.name", "res(net)?")),
        ("name ~ /a\\/b/i", Matches("run.name", "a/b", ignore_case=True)),
        ("id !~ 'x'", Matches("run.id", "x", negated=True)),
        ("display_name contains Otter", Contains("run.name", "Otter")),
        ("notes not contains 'a b'", Contains("run.notes", "a b", negated=True)),
        ("tags in [best, 'a b', 1, null]", OneOf("run.tags", ("best", "a b", 1.0, None))),
        ("tags in ()", OneOf("run.tags", ())),
        ("group not in (a)", OneOf("run.group", ("a",), negated=True)),
        ("config.sizes = [1, 2]", Compare("config.sizes", "=", (1.0, 2.0))),
        ("config.a is null", Compare("config.a", "=", None)),
        ("config.a is not null", Compare("config.a", "!=", None)),
        ("config.a exists", Exists("config.a")),
        ("config.amp = true", Compare("config.amp", "=", True)),
        ("summary.train/loss.min <= 1", Compare("summary.train/loss.min", "<=", 1.0)),
        ("config.`a b`.c = 1", Compare("config.a b.c", "=", 1.0)),
        ("config.größe = 1", Compare("config.größe", "=", 1.0)),
        ("not state = finished", Not(DONE)),
        ("NOT NOT state = finished", DONE),
        ("config.lr > 0.1 and state = finished", And((LR, DONE))),
        ("config.lr > 0.1 or state = finished and config.lr > 0.1", Or((LR, And((DONE, LR))))),
        ("(config.lr > 0.1 or state = finished) and config.lr > 0.1", And((Or((LR, DONE)), LR))),
        ("created_at > '7d ago'", Compare("run.created_at", ">", "7d ago")),
    ],
)
def test_a_text_means_this_tree(text: str, tree: Filter) -> None:
    assert parse_text_filter(text) == tree


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("config.lr >> 1", 12, "expected a number"),
        ("config.lr >", 12, "expected a number"),
        ("config.lr", 10, "expected =, !="),
        ("loss > 1", 1, "no field 'loss'"),
        ("stat = 'x'", 1, "did you mean 'state'"),
        ("config.lr > 1 state = 'x'", 15, "expected `and`"),
        ("(config.lr > 1", 15, r"expected \)"),
        ("name ~ /abc", 8, "no closing /"),
        ("name ~ /(/", 8, "not a regular expression"),
        ("name = 'abc", 8, "no closing '"),
        ("tags in best", 9, "expected a list"),
        ("tags in [a b]", 12, "expected ]"),
        ("config.a is 1", 13, "expected null"),
        ("config.lr ; DROP TABLE runs", 11, "cannot stand here"),
        ("and", 4, "no field 'and'"),
        ("1 = 1", 1, "expected a field"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, column: int, says: str) -> None:
    with pytest.raises(FilterError, match=says) as caught:
        parse_text_filter(text)

    if text != "and":
        assert caught.value.column == column
        assert str(caught.value).splitlines()[-1].index("^") - 2 == column - 1


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000,
        "not " * 4_000 + "config.a = 1",
        "config.a = 1 and " * 600 + "config.a = 1",
        "config.a in [" + "1," * 9_000 + "1" * 9_000,
        "config.a = 1 or " * 1_500,
        "x" * 30_000,
    ],
)
def test_a_filter_that_is_too_large_is_refused(text: str) -> None:
    try:
        parse_text_filter(text)
    except UsageError:
        return
    assert text.startswith("not "), "a chain of nots is one condition"


@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    for tried in (text, f"config.a {text}", f"config.a = {text}", f"name ~ {text}"):
        with contextlib.suppress(UsageError):
            parse_text_filter(tried)
