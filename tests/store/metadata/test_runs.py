from __future__ import annotations

import math

import msgspec
import pytest

from epochal.ids import RunId, WriterId
from epochal.store.metadata import (
    LossRecord,
    Metadata,
    MetricDefinition,
    RunExit,
    RunRecord,
    WriterRecord,
    run_state,
)
from epochal.store.metadata.definitions import SaidDefinition

NOW = 1_700_000_000.0


def add_run(
    metadata: Metadata,
    run_id: str,
    *,
    name: str | None = None,
    created_at: float = NOW,
    project: str = "digits",
) -> int:
    with metadata.write() as connection:
        project_key = metadata.projects.ensure(connection, "local", project, now=created_at)
        key = metadata.runs.ensure(connection, project_key, [RunId(run_id)], now=created_at)[RunId(run_id)]
        run = RunRecord(
            key=key,
            run_id=RunId(run_id),
            entity="local",
            project=project,
            name=name or run_id,
            created_at=created_at,
            heartbeat_at=created_at,
        )
        metadata.runs.save(connection, [run])
    return key


def project_key(metadata: Metadata, name: str = "digits") -> int:
    project = metadata.projects.get("local", name, now=NOW)
    assert project is not None
    return project.key


def test_a_run_comes_back_as_it_was_saved(metadata: Metadata) -> None:
    key = add_run(metadata, "r1")
    run = RunRecord(
        key=key,
        run_id=RunId("r1"),
        entity="local",
        project="digits",
        name="brave-otter-1",
        created_at=NOW,
        heartbeat_at=NOW + 5,
        end_state="failed",
        ended_at=NOW + 5,
        exit=RunExit(exit_code=1, traceback="ValueError: \x00 ü"),
        tags=("a", "b"),
        notes="some\nnotes",
        group="g",
        job_type="train",
        last_step=2**62,
        n_rows=7,
        config={"lr": 0.1, "deep": {"nan": [1, None, True], "big": 2**63 - 1}},
        summary={"loss.min": -math.inf},
        metadata={"host": "here"},
    )

    with metadata.write() as connection:
        metadata.runs.save(connection, [run])
        metadata.documents.put(
            connection, [(key, {"config": run.config, "summary": run.summary, "metadata": run.metadata})]
        )

    assert metadata.runs.get("local", "digits", "r1") == run
    bare = msgspec.structs.replace(run, config={}, summary={}, metadata={})
    assert metadata.runs.get("local", "digits", "r1", documents=()) == bare
    assert metadata.runs.of_keys([key, 99], documents=["config"]) == [
        msgspec.structs.replace(bare, config=run.config)
    ]


def test_nan_survives_in_documents(metadata: Metadata) -> None:
    key = add_run(metadata, "r1")
    with metadata.write() as connection:
        metadata.documents.put(connection, [(key, {"summary": {"loss": math.nan}})])

    loss = metadata.documents.get(key, "summary")["loss"]
    assert isinstance(loss, float)
    assert math.isnan(loss)


def test_a_run_that_is_not_there_is_none(metadata: Metadata) -> None:
    add_run(metadata, "r1")

    assert metadata.runs.get("local", "digits", "r2") is None
    assert metadata.runs.get("local", "other", "r1") is None
    assert metadata.runs.get("else", "digits", "r1") is None


def test_projects_are_listed_by_last_activity_with_their_numbers(metadata: Metadata) -> None:
    add_run(metadata, "a", project="old", created_at=NOW - 1000)
    add_run(metadata, "b", project="new", created_at=NOW - 200)
    add_run(metadata, "c", project="new", created_at=NOW - 301)

    new, old = metadata.projects.page(now=NOW)
    assert (new.name, new.n_runs, new.n_running) == ("new", 2, 1)
    assert (old.name, old.n_runs, old.n_running) == ("old", 1, 0)
    assert metadata.projects.page(now=NOW, first=1) == [new]
    assert metadata.projects.page(now=NOW, after=(new.last_active, new.key)) == [old]
    assert metadata.projects.page(now=NOW, entity="else") == []

    with metadata.write() as connection:
        metadata.projects.touch(connection, [(old.key, NOW - 5), (old.key, NOW)])
        metadata.projects.touch(connection, [(old.key, NOW - 5000)])
    assert [p.name for p in metadata.projects.page(now=NOW)] == ["old", "new"]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "x" * 100_000, "'; DROP TABLE runs; --", "\x00", "😀"]
)
def test_a_store_file_is_a_number_whatever_the_project_is_called(metadata: Metadata, name: str) -> None:
    add_run(metadata, name, project=name)

    project = metadata.projects.get("local", name, now=NOW)
    assert project is not None
    assert project.store_file == f"{project.key}.db"
    assert metadata.runs.get("local", name, name) is not None


@pytest.mark.parametrize(
    ("quiet_s", "state"),
    [(0, "running"), (30, "running"), (31, "silent"), (300, "silent"), (301, "crashed"), (-50, "running")],
)
def test_a_run_without_an_end_is_judged_by_its_last_sign_of_life(
    metadata: Metadata, quiet_s: float, state: str
) -> None:
    add_run(metadata, "r1", created_at=NOW)
    run = metadata.runs.get("local", "digits", "r1")
    assert run is not None

    assert run_state(run, NOW + quiet_s) == state
    ended = msgspec.structs.replace(run, end_state="killed")
    assert run_state(ended, NOW + quiet_s) == "killed"


def test_writers_losses_and_definitions_of_a_run_are_kept_once(metadata: Metadata) -> None:
    key = add_run(metadata, "r1")
    loss = LossRecord(WriterId("w1"), 120, 40, "the checksum does not match")
    writer = WriterRecord(writer=WriterId("w1"), kind="primary", started_at=NOW, path="/runs/x/w1.runlog")
    with metadata.write() as connection:
        for offset in (100, 200):
            metadata.writers.save(connection, [(key, msgspec.structs.replace(writer, applied_offset=offset))])
            metadata.losses.add(connection, [(key, loss)])

    assert metadata.writers.of_run(key) == [msgspec.structs.replace(writer, applied_offset=200)]
    assert metadata.losses.of_run(key) == [loss]
    assert metadata.writers.unfinished() == [("local", "digits", "r1", "w1", 200)]
    assert metadata.writers.finished_paths() == {}

    with metadata.write() as connection:
        finished = msgspec.structs.replace(writer, applied_offset=200, is_finished=True)
        metadata.writers.save(connection, [(key, finished)])
    assert metadata.writers.unfinished() == []
    assert metadata.writers.finished_paths() == {"/runs/x/w1.runlog": 200}


def test_the_newest_run_decides_a_projects_definitions(metadata: Metadata) -> None:
    older = add_run(metadata, "older", created_at=NOW)
    newer = add_run(metadata, "newer", created_at=NOW + 10)
    project = project_key(metadata)
    said = MetricDefinition(name="loss", step_metric="epoch", summary=("min",))
    said_later = MetricDefinition(name="loss", hidden=True, goal="minimize")

    with metadata.write() as connection:
        metadata.definitions.put(
            connection,
            [
                SaidDefinition(project, newer, NOW + 10, said_later),
                SaidDefinition(project, older, NOW, said),
                SaidDefinition(project, older, NOW, MetricDefinition(name="acc*")),
            ],
        )

    assert metadata.definitions.of_run(older) == [MetricDefinition(name="acc*"), said]
    assert metadata.definitions.of_run(newer) == [said_later]
    assert metadata.definitions.of_project(project) == [MetricDefinition(name="acc*"), said_later]
