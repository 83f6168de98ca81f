"""Filters in the style of MongoDB mean what W&B's scripts mean by them."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.errors import UsageError
from epochal.query.filter_json import parse_json_filter
from epochal.query.filters import (
    EVERY_RUN,
    And,
    Compare,
    Exists,
    Filter,
    FilterError,
    HasType,
    Matches,
    Not,
    OneOf,
    Or,
)

LR = Compare("config.lr", ">", 0.1)
DONE = Compare("run.state", "=", "finished")


@pytest.mark.parametrize(
    ("said", "tree"),
    [
        ({}, EVERY_RUN),
        ({"$or": [{"$and": []}]}, EVERY_RUN),
        ({"state": "finished"}, DONE),
        ({"config.lr": {"$gt": 0.1}, "state": "finished"}, And((LR, DONE))),
        ({"$and": [{"config.lr": {"$gt": 0.1}}, {"state": "finished"}]}, And((LR, DONE))),
        ({"$or": [{"config.lr": {"$gt": 0.1}}, {"state": "finished"}]}, Or((LR, DONE))),
        ({"$nor": [{"state": "finished"}]}, Not(DONE)),
        ({"$not": {"state": "finished"}}, Not(DONE)),
        ({"config.lr": {"$not": {"$gt": 0.1}}}, Not(LR)),
        ({"config.lr": {"$gt": 0.1, "$lte": 1}}, And((LR, Compare("config.lr", "<=", 1.0)))),
        ({"name": "abc"}, Compare("run.id", "=", "abc")),
        ({"display_name": {"$regex": "^a"}}, Matches("run.name", "^a")),
        ({"displayName": {"$regex": "^a", "$options": "i"}}, Matches("run.name", "^a", ignore_case=True)),
        ({"jobType": {"$ne": None}}, Compare("run.job_type", "!=", None)),
        ({"tags": {"$in": ["a", "b"]}}, OneOf("run.tags", ("a", "b"))),
        ({"tags": {"$nin": ["a"]}}, OneOf("run.tags", ("a",), negated=True)),
        ({"tags": ["a"]}, Compare("run.tags", "=", ("a",))),
        ({"config.a": {"$exists": False}}, Not(Exists("config.a"))),
        ({"config.a": {"$exists": True}}, Exists("config.a")),
        ({"keys_info.keys.loss": {"$exists": True}}, Exists("summary.loss")),
        ({"config.a": {"$type": "array"}}, HasType("config.a", "array")),
        ({"summary_metrics._step": {"$gte": 5}}, Compare("run.last_step", ">=", 5.0)),
        ({"summary_metrics.loss": {"$lt": math.inf}}, Compare("summary.loss", "<", math.inf)),
        ({"config.big": 10**400}, Compare("config.big", "=", math.inf)),
    ],
)
def test_json_means_this_tree(said: dict[str, Any], tree: Filter) -> None:
    assert parse_json_filter(json.dumps(said)) == tree
    assert parse_json_filter(said) == tree


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("{", "column 2: this is not JSON"),
        ("[1]", "expected an object"),
        ('{"$where": "1"}', "there is no \\$where"),
        ('{"config.a": {"$where": 1}}', "no operator '\\$where'"),
        ('{"config.a": {"b": 1}}', "no operator 'b'"),
        ('{"config.a": {}}', "expected an operator"),
        ('{"$or": []}', "at least one"),
        ('{"$and": {}}', "takes a list"),
        ('{"config.a": {"$in": 1}}', "takes a list"),
        ('{"config.a": {"$in": [[1]]}}', "expected a number"),
        ('{"config.a": {"$regex": "("}}', "not a regular expression"),
        ('{"config.a": {"$regex": 1}}', "is a text"),
        ('{"config.a": {"$regex": "a", "$options": "xs"}}', "ignore the case"),
        ('{"config.a": {"$exists": "yes"}}', "true or false"),
        ('{"config.a": {"$type": 2}}', "is one of"),
        ('{"loss": 1}', "no field 'loss'"),
        ('{"config.": 1}', "no field"),
        ('{"$and": [' * 200 + "{}" + "]}" * 200, "levels deep"),
        ("[" * 100_000, "not JSON"),
        (json.dumps({"config.a": {"$in": list(range(10_001))}}), "at most 10000 values"),
        (json.dumps({f"config.a{i}": 1 for i in range(51)}), "at most 50 different fields"),
        (json.dumps({"$or": [{"config.a": 1}] * 501}), "at most 500 conditions"),
        (" " * 1_000_001, "at most 1,000,000 characters"),
        (json.dumps({"name": {"$regex": "a" * 501}}), "at most 500 characters"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_reason(said: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_json_filter(said)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$and", "$or", "$not", "$gt", "$in", "$regex", "config.a", "state", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_understood_or_refused(said: Any) -> None:
    with contextlib.suppress(UsageError):
        parse_json_filter(json.dumps(said))


def test_a_filter_error_is_a_usage_error_so_that_the_server_answers_400() -> None:
    assert issubclass(FilterError, UsageError)
