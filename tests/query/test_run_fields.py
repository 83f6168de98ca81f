"""The fields of a project are listed in the order a person expects, under names that filters take."""

from __future__ import annotations

import pytest
from tests.query.conftest import PutRun

from epochal.errors import UsageError
from epochal.query.field_names import field_of
from epochal.query.run_fields import list_fields
from epochal.store.metadata import Metadata


@pytest.fixture(autouse=True)
def _runs(put: PutRun) -> None:
    put("r1", config={"layer": {"10": 1, "2": "x"}, "Lr": 1}, summary={"acc": None})
    put("r2", config={"layer": {"2": 2}}, summary={"acc": 0.5, "loss": [1]}, notes="n")


def names(metadata: Metadata, **asked: object) -> list[str]:
    return [field.name for field in list_fields(metadata, 1, **asked).fields]  # type: ignore[arg-type]


def test_each_field_comes_with_its_types_and_how_many_runs_have_it(metadata: Metadata) -> None:
    found = [f for section in ("config", "summary") for f in list_fields(metadata, 1, section=section).fields]

    assert [(f.name, f.types, f.n_runs) for f in found] == [
        ("config.layer", [], 2),
        ("config.layer.2", ["number", "text"], 2),
        ("config.layer.10", ["number"], 1),
        ("config.Lr", ["number"], 1),
        ("summary.acc", ["null", "number"], 2),
        ("summary.loss", ["list"], 1),
    ]


def test_the_fields_of_every_run_are_there_with_those_that_follow_from_the_time(metadata: Metadata) -> None:
    found = {f.name: f.n_runs for f in list_fields(metadata, 1, section="run").fields}

    assert found["state"] == found["duration"] == found["display_name"] == 2
    assert found["notes"] == 1
    assert "end_state" not in found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"section": "config", "prefix": "layer."}, ["config.layer.2", "config.layer.10"]),
        ({"section": "run", "prefix": "st"}, ["state"]),
        ({"search": "L", "section": "summary"}, ["summary.loss"]),
        ({"search": r"/^config\.l.*\d$/"}, ["config.layer.2", "config.layer.10"]),
        ({"section": "metadata"}, []),
        ({"section": "config", "first": 2}, ["config.layer", "config.layer.2"]),
        ({"section": "config", "after": "config.layer.2"}, ["config.layer.10", "config.Lr"]),
        ({"section": "config", "after": "config.layer.5"}, ["config.layer.10", "config.Lr"]),
    ],
)
def test_fields_are_found(metadata: Metadata, asked: dict[str, object], expected: list[str]) -> None:
    assert names(metadata, **asked) == expected
    metadata.fields.build(1)
    assert names(metadata, **asked) == expected


def test_every_name_of_the_list_is_a_name_for_filters_of_both_kinds(metadata: Metadata) -> None:
    for name in names(metadata):
        assert field_of(name) == field_of(name, for_people=True)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"first": 0}, "1 to 1000"),
        ({"section": "other"}, "there is no 'other'"),
        ({"prefix": "a"}, "needs a section"),
        ({"search": "/(/"}, "not a regular expression"),
    ],
)
def test_a_wrong_argument_gets_a_clear_error(metadata: Metadata, asked: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        names(metadata, **asked)
