from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import select

from epochal.errors import BlockError, DeletedRunError
from epochal.ids import RunId
from epochal.ingest.run_log_file import RunLogFile
from epochal.runlog.format import RecordType
from epochal.runlog.reader import RunLogReader
from epochal.store.metadata import LossRecord, MetricDefinition, RunExit, run_state
from epochal.store.metadata.tables import schema
from epochal.wire.block import Block, Column
from epochal.wire.build import build_block, header_frame

if TYPE_CHECKING:
    from tests.ingest.conftest import Clock, DataFolder, RunLog

    NewLog = Callable[..., RunLog]

START = 1_700_000_000.0  # where the clock stands


def blocks_of(path: Path, max_bytes: int = 1 << 20) -> list[Block]:
    """Return the whole run log in blocks that were read `max_bytes` at a time."""
    blocks: list[Block] = []
    with RunLogReader(path) as reader:
        offset = 0
        while True:
            frames, losses = reader.read(max_bytes)
            if offset == 0:
                frames.insert(0, header_frame(reader.header, reader.first_offset))
            if not frames and not losses:
                return blocks
            blocks.append(
                build_block(reader.header, frames, losses, first_offset=offset, end_offset=reader.offset)
            )
            offset = reader.offset


def rest_of(data: DataFolder, path: Path) -> list[Block]:
    """Return the one block that the ingest wants next of the run log."""
    file = RunLogFile(path)
    block = file.read(data.ingest.progress, 1 << 20)
    file.close()
    return [] if block is None else [block]


def test_a_run_is_there_as_soon_as_its_header_is(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()

    wanted = data.ingest.accept(blocks_of(log.path))

    run = data.run()
    assert wanted == {("r1", "writer01"): log.path.stat().st_size}
    assert (run.name, run.created_at, run.heartbeat_at, run.end_state) == (
        "r1",
        START - 100,
        START - 100,
        None,
    )
    assert (run.last_step, run.n_rows, run.config, run.summary) == (None, 0, {}, {})


def test_every_record_has_its_effect(data: DataFolder, new_log: NewLog, clock: Clock) -> None:
    log = new_log()
    log.write(RecordType.ATTRIBUTES, {"name": "brave-otter-1", "tags": ["a"], "notes": "n", "group": "g"})
    log.write(RecordType.CONFIG, {"lr": 0.1, "deep": {"a": 1}, "gone": 1}, [])
    log.write(RecordType.CONFIG, {"deep": {"b": 2}}, ["gone"])
    log.write(RecordType.METADATA, {"host": "here", "gpus": []})
    log.write(RecordType.METADATA, {"gpus": ["x"]})
    log.row(0, {"loss": 0.9, "deep": {"acc": 1}})
    log.row(1, {"loss": 0.5})
    log.write(RecordType.ATTRIBUTES, {"tags": ["a", "b"], "job_type": "train"})

    data.ingest.accept(blocks_of(log.path))

    run = data.run()
    assert (run.name, run.tags, run.notes, run.group, run.job_type) == (
        "brave-otter-1",
        ("a", "b"),
        "n",
        "g",
        "train",
    )
    assert run.config == {"lr": 0.1, "deep": {"b": 2}}
    assert run.metadata == {"host": "here", "gpus": ["x"]}
    assert run.summary == {"loss": 0.5, "deep.acc": 1}
    assert (run.last_step, run.n_rows, run.heartbeat_at) == (1, 2, START - 92)
    assert run_state(run, START - 90) == "running"
    assert data.rows() == [(0, {"loss": 0.9, "deep.acc": 1}), (1, {"loss": 0.5})]
    (change,) = data.changes.all
    assert (change.run, change.last_step) == ("r1", 1)
    assert change.what == {"history", "summary", "run", "keys"}


def test_definitions_decide_the_summary_from_where_they_were_said(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()
    log.row(0, {"loss": 100.0, "acc": 0.1, "hidden": 1, "t/a": 3})
    log.write(RecordType.DEFINE_METRIC, {"name": "loss", "summary": ["min", "mean"], "goal": "minimize"})
    log.write(RecordType.DEFINE_METRIC, {"name": "t/*", "summary": ["max"], "step_metric": "epoch"})
    log.write(RecordType.DEFINE_METRIC, {"name": "hidden", "summary": ["none"], "hidden": True})
    log.row(1, {"loss": 4.0, "t/a": 2, "hidden": 2})
    log.row(2, {"loss": 8, "t/a": 1})
    log.write(RecordType.SUMMARY, [[["acc"], 0.7], [["best", "acc"], 0.8]], [])
    log.row(3, {"loss": math.nan})

    data.ingest.accept(blocks_of(log.path))

    assert data.run().summary == {
        "loss.min": 4.0,
        "loss.mean": 6.0,
        "t/a.max": 2.0,
        "acc": 0.7,
        "best.acc": 0.8,
    }
    assert data.metadata.definitions.of_run(data.run().key) == [
        MetricDefinition(name="hidden", hidden=True, summary=("none",)),
        MetricDefinition(name="loss", summary=("min", "mean"), goal="minimize"),
        MetricDefinition(name="t/*", step_metric="epoch", summary=("max",)),
    ]


def test_a_summary_value_set_between_two_rows_is_overwritten_by_the_second(
    data: DataFolder, new_log: NewLog
) -> None:
    log = new_log()
    log.row(0, {"a": 1.0, "b": 1.0})
    log.write(RecordType.SUMMARY, [[["a"], "set"], [["b"], "set"]], [])
    log.row(1, {"a": 2.0})
    log.write(RecordType.SUMMARY, [], [["gone"]])

    data.ingest.accept(blocks_of(log.path))

    assert data.run().summary == {"a": 2.0, "b": "set"}


@pytest.mark.parametrize("max_bytes", [16, 60, 200, 1 << 20])
def test_how_a_run_log_is_cut_into_blocks_changes_nothing(
    data: DataFolder, new_log: NewLog, max_bytes: int
) -> None:
    log = new_log()
    log.write(RecordType.DEFINE_METRIC, {"name": "loss", "summary": ["min", "max", "mean", "first", "last"]})
    values: list[float | int | str | bool] = [3, 1.5, True, "text", 2, math.inf, -1]
    for step, value in enumerate(values):
        log.row(step, {"loss": float(step % 3), "mixed": value})
        log.write(RecordType.SUMMARY, [[["note", str(step)], step]], [])

    for block in blocks_of(log.path, max_bytes):
        data.ingest.accept([block])

    run = data.run()
    assert run.summary == {
        "loss.min": 0.0,
        "loss.max": 2.0,
        "loss.mean": 6 / 7,
        "loss.first": 0.0,
        "loss.last": 0.0,
        "mixed": -1,
        **{f"note.{step}": step for step in range(7)},
    }
    assert run.n_rows == 7
    assert data.rows() == [(s, {"loss": float(s % 3), "mixed": v}) for s, v in enumerate(values)]


@pytest.mark.parametrize("max_bytes", [16, 100, 1 << 20])
def test_without_definitions_the_summary_is_the_last_value_of_every_key(
    data: DataFolder, new_log: NewLog, max_bytes: int
) -> None:
    log = new_log()
    values: list[object] = [3, 1.5, "text", None, [1], -7, 2.5, True, {"_type": "histogram"}, False]
    for step, value in enumerate(values):
        log.row(step, {"mixed": value, f"only.at.{step}": value})

    for block in blocks_of(log.path, max_bytes):
        data.ingest.accept([block])

    only = {f"only.at.{step}": value for step, value in enumerate(values)}
    assert data.run().summary == {"mixed": False, **only}
    assert data.run().summary["only.at.7"] is True


def test_blocks_sent_twice_late_or_with_a_gap_are_stored_once(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()
    for step in range(10):
        log.row(step, {"loss": float(step)})
    first, second, *rest = blocks_of(log.path, 80)

    assert data.ingest.accept([second])["r1", "writer01"] == 0  # type: ignore[index]
    assert data.ingest.accept([first, first])["r1", "writer01"] == first.end_offset  # type: ignore[index]
    assert data.ingest.accept([rest[0]])["r1", "writer01"] == first.end_offset  # type: ignore[index]
    assert data.ingest.accept([first, second])["r1", "writer01"] == second.end_offset  # type: ignore[index]
    end = data.ingest.accept([first, second, *rest])["r1", "writer01"]  # type: ignore[index]

    assert end == log.path.stat().st_size
    assert data.counts() == {"loss": 10}
    assert data.run().n_rows == 10


def test_unplaced_rows_get_the_runs_next_free_steps(data: DataFolder, new_log: NewLog) -> None:
    first, second, third = (
        new_log(),
        new_log(writer="w2", kind="secondary"),
        new_log(writer="w3", kind="secondary"),
    )
    first.row(0, {"a": 0})
    first.row(1, {"a": 1})
    second.unplaced(0, {"b": 10})
    second.unplaced(1, {"b": 11})
    second.unplaced(1, {"c": 11})
    second.row(100, {"b": 12})
    second.unplaced(2, {"b": 13})
    third.unplaced(0, {"d": 20})

    for log in (first, second, third):
        data.ingest.accept(blocks_of(log.path))

    assert data.rows() == [
        (0, {"a": 0}),
        (1, {"a": 1}),
        (2, {"b": 10}),
        (3, {"b": 11, "c": 11}),
        (100, {"b": 12}),
        (101, {"b": 13}),
        (102, {"d": 20}),
    ]


@pytest.mark.parametrize("restart", [False, True])
def test_parts_of_one_unplaced_row_in_different_blocks_keep_one_step(
    data: DataFolder, new_log: NewLog, restart: bool
) -> None:
    """A value that lives on an accelerator is written when it is ready, after later rows."""
    first, second = new_log(), new_log(writer="w2", kind="secondary")
    first.row(7, {"x": 1})
    for ordinal in (0, 1, 2):
        second.unplaced(ordinal, {"a": ordinal})
    data.ingest.accept(blocks_of(first.path) + blocks_of(second.path))
    first.row(50, {"x": 2})
    data.ingest.accept(rest_of(data, first.path))
    if restart:
        data.reopen()

    second.unplaced(1, {"late": 1})
    second.unplaced(3, {"a": 3})
    data.ingest.accept(rest_of(data, second.path))

    assert data.rows() == [
        (7, {"x": 1}),
        (8, {"a": 0}),
        (9, {"a": 1, "late": 1}),
        (10, {"a": 2}),
        (50, {"x": 2}),
        (51, {"a": 3}),
    ]


def test_metadata_that_a_crash_left_behind_catches_up(data: DataFolder, new_log: NewLog) -> None:
    """The store has a block that the metadata does not know of: what a kill between the two leaves."""
    log, second = new_log(), new_log(writer="w2", kind="secondary")
    log.row(0, {"loss": 1.0})
    second.unplaced(0, {"b": 1})
    data.ingest.accept(blocks_of(log.path) + blocks_of(second.path))
    before = (data.path / "metadata.db").read_bytes(), (data.path / "metadata.db-wal").read_bytes()
    log.row(5, {"loss": 0.5})
    second.unplaced(1, {"b": 2})
    second.unplaced(2, {"b": 3})
    for path in (log.path, second.path):
        data.ingest.accept(rest_of(data, path))
    whole = data.run()
    data.close()
    for name, content in zip(("metadata.db", "metadata.db-wal"), before, strict=True):
        (data.path / name).write_bytes(content)
    (data.path / "metadata.db-shm").unlink(missing_ok=True)

    data.reopen()

    assert data.run() == whole
    second.unplaced(1, {"part": 2})
    data.ingest.accept(rest_of(data, second.path))
    assert data.rows() == [
        (0, {"loss": 1.0}),
        (1, {"b": 1}),
        (5, {"loss": 0.5}),
        (6, {"b": 2, "part": 2}),
        (7, {"b": 3}),
    ]


def test_lost_metadata_never_mixes_a_project_with_the_history_of_another(
    data: DataFolder, new_log: NewLog
) -> None:
    one = new_log("r1", project="one")
    two = new_log("r2", "writer02", project="two")
    one.row(0, {"a": 1})
    two.row(0, {"b": 2})
    data.ingest.accept(blocks_of(one.path) + blocks_of(two.path))
    data.close()
    for path in data.path.glob("metadata.db*"):
        path.unlink()

    data.reopen()
    data.ingest.accept(blocks_of(two.path))
    data.ingest.accept(blocks_of(one.path))

    assert data.rows("r1", "one") == [(0, {"a": 1})]
    assert data.rows("r2", "two") == [(0, {"b": 2})]
    assert data.counts("r2", "two") == {"b": 1}


def test_a_store_that_fails_leaves_nothing_half_done(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0})
    (good,) = blocks_of(log.path)
    # Only the store looks at row indices.
    bad = msgspec.structs.replace(
        good, columns=[msgspec.structs.replace(good.columns[0], rows=b"\xff\x00\x00\x00")]
    )

    with pytest.raises(BlockError):
        data.ingest.accept([bad])
    assert data.ingest.progress(log.header).offset == 0
    assert data.run().n_rows == 0

    data.ingest.accept([good])
    assert data.rows() == [(0, {"loss": 1.0})]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project", "a/b"),
        ("project", ""),
        ("project", "x" * 1000),
        ("run_id", "../../etc"),
        ("entity", "a\nb"),
        ("writer", ""),
        ("times", b"\x00"),
        ("steps", (2**63 - 1, 5)),
        ("end_offset", 0),
        ("columns", [Column("loss", "f", None, b"\x00" * 7)]),
        ("columns", [Column("loss", "f", None, [1.0, 2.0])]),
        ("columns", [Column("loss", "v", None, [1.0])]),
        ("columns", [Column("loss", "i", b"\x00" * 3, b"\x00" * 8)]),
    ],
)
def test_a_wrong_block_is_refused_and_nothing_of_its_company_is_stored(
    data: DataFolder, new_log: NewLog, field: str, value: object
) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0})
    log.row(5, {"loss": 1.0})
    (good,) = blocks_of(log.path)

    with pytest.raises(BlockError):
        data.ingest.accept([good, msgspec.structs.replace(good, **{field: value})])

    assert data.metadata.projects.count() == 0
    assert list((data.path / "projects").iterdir()) == []


def test_records_of_shapes_that_no_version_writes_do_no_harm(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()
    for kind in RecordType:
        for items in [
            (),
            (None,),
            ("text",),
            ([],),
            ({"name": 7, "tags": 3, "set": 1}, {"x": 1}),
            ([["a"]], 5),
        ]:
            if kind != RecordType.ROW:
                log.write(kind, *items)
    log.write(RecordType.CONFIG, {"ok": 1}, None)

    data.ingest.accept(blocks_of(log.path))

    assert data.run().config["ok"] == 1


def test_losses_are_told_with_the_run(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()
    for step in range(3):
        log.row(step, {"loss": 1.0})
    log.close()
    content = bytearray(log.path.read_bytes())
    content[-60] ^= 1
    log.path.write_bytes(content)

    data.ingest.accept(blocks_of(log.path))

    (loss,) = data.metadata.losses.of_run(data.run().key)
    assert isinstance(loss, LossRecord)
    assert (loss.writer, loss.reason) == ("writer01", "the checksum does not match")
    assert data.counts() == {"loss": 2}


def test_the_same_run_id_in_two_projects_is_two_runs(data: DataFolder, new_log: NewLog) -> None:
    one, other = new_log(project="one"), new_log(project="other", writer="w2", folder="run-20261122_1-other")
    one.row(0, {"a": 1})
    other.row(0, {"b": 2})

    data.ingest.accept(blocks_of(one.path) + blocks_of(other.path))

    assert data.rows(project="one") == [(0, {"a": 1})]
    assert data.rows(project="other") == [(0, {"b": 2})]


def test_a_clock_ahead_of_ours_does_not_keep_a_run_alive(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0, "_timestamp": START + 1e6})

    data.ingest.accept(blocks_of(log.path))

    assert data.run().heartbeat_at == START


def exit_of(data: DataFolder) -> tuple[str | None, float | None, RunExit | None]:
    run = data.run()
    return run.end_state, run.ended_at, run.exit


def test_the_sidecars_word_on_the_end_counts_more(data: DataFolder, new_log: NewLog) -> None:
    trainer = new_log()
    trainer.write(RecordType.EXIT, {"state": None, "exit_code": 1, "traceback": "ValueError"})
    data.ingest.accept(blocks_of(trainer.path))
    assert exit_of(data) == ("failed", START - 99, RunExit(exit_code=1, traceback="ValueError"))

    sidecar = new_log(writer="sidecar-abcdefgh", kind="sidecar", start_time=START - 98)
    sidecar.write(RecordType.EXIT, {"state": "killed", "signal": 9, "reason": "out of memory"})
    data.ingest.accept(blocks_of(sidecar.path))

    end = RunExit(exit_code=1, signal=9, traceback="ValueError", reason="out of memory")
    assert exit_of(data) == ("killed", START - 97, end)


def test_a_resumed_run_runs_again_whatever_its_old_sidecar_says_late(
    data: DataFolder, new_log: NewLog
) -> None:
    old = new_log()
    old.write(RecordType.EXIT, {"exit_code": 0})
    data.ingest.accept(blocks_of(old.path))
    assert exit_of(data)[0] == "finished"

    new = new_log(writer="writer02", start_time=START - 50)
    data.ingest.accept(blocks_of(new.path))
    assert exit_of(data) == (None, None, None)

    late = new_log(writer="sidecar-zzzzzzzz", kind="sidecar", start_time=START - 99)
    for _ in range(60):
        late.write(RecordType.HEARTBEAT)
    late.write(RecordType.EXIT, {"state": "killed", "signal": 9})
    data.ingest.accept(blocks_of(late.path))
    assert exit_of(data) == (None, None, None)

    data.reopen()
    new.write(RecordType.EXIT, {"exit_code": 3})
    data.ingest.accept(rest_of(data, new.path))
    assert exit_of(data)[0] == "failed"


@pytest.mark.parametrize("sidecar_first", [True, False])
def test_the_sidecar_of_another_process_of_the_run_does_not_end_it(
    data: DataFolder, new_log: NewLog, sidecar_first: bool
) -> None:
    """In shared mode every process has a folder and a sidecar; the run goes on with its first one."""
    first = new_log()
    other = new_log(writer="writer02", kind="secondary", start_time=START - 90)
    sidecar = new_log(writer="sidecar-2", kind="sidecar", start_time=START - 89, watches="writer02")
    sidecar.write(RecordType.EXIT, {"state": "finished", "exit_code": 0})
    logs = [first, sidecar, other] if sidecar_first else [first, other, sidecar]

    for log in logs:
        data.ingest.accept(blocks_of(log.path))
    data.reopen()
    assert exit_of(data) == (None, None, None)

    own = new_log(writer="sidecar-1", kind="sidecar", start_time=START - 20, watches="writer01")
    own.write(RecordType.EXIT, {"state": "killed", "signal": 15})
    data.ingest.accept(blocks_of(own.path))
    assert exit_of(data)[0] == "killed"


def test_a_forked_child_does_not_end_the_run(data: DataFolder, new_log: NewLog) -> None:
    trainer, child = new_log(), new_log(writer="w2", kind="secondary", start_time=START - 10)
    child.write(RecordType.EXIT, {"exit_code": 0})

    data.ingest.accept(blocks_of(trainer.path) + blocks_of(child.path))

    assert exit_of(data) == (None, None, None)


@pytest.mark.parametrize(
    ("preempting", "end", "state"),
    [
        (True, {"exit_code": 1}, "preempted"),
        (True, {"exit_code": 0}, "finished"),
        (False, {"exit_code": 255}, "failed"),
        (False, {}, "finished"),
        (False, {"state": "crashed", "exit_code": None}, "crashed"),
        (False, {"state": "nonsense", "exit_code": 2}, "failed"),
    ],
)
def test_without_a_sidecar_the_exit_code_decides(
    data: DataFolder, new_log: NewLog, preempting: bool, end: dict[str, object], state: str
) -> None:
    log = new_log()
    if preempting:
        log.write(RecordType.ATTRIBUTES, {"preempting": True})
    log.write(RecordType.EXIT, end)

    data.ingest.accept(blocks_of(log.path))

    assert exit_of(data)[0] == state


def test_a_requeued_run_that_fails_by_itself_was_not_preempted(data: DataFolder, new_log: NewLog) -> None:
    first = new_log()
    first.write(RecordType.ATTRIBUTES, {"preempting": True})
    first.write(RecordType.EXIT, {"exit_code": 143})
    data.ingest.accept(blocks_of(first.path))
    assert exit_of(data)[0] == "preempted"
    data.reopen()

    second = new_log(writer="writer02", start_time=START - 50)
    second.write(RecordType.EXIT, {"exit_code": 1})
    data.ingest.accept(blocks_of(second.path))

    assert exit_of(data)[0] == "failed"


def test_a_deleted_run_is_gone_and_late_blocks_do_not_bring_half_of_it_back(
    data: DataFolder, new_log: NewLog
) -> None:
    log, other = new_log("r1"), new_log("r2", "writer02")
    log.row(0, {"loss": 1.0})
    other.row(0, {"loss": 2.0})
    data.ingest.accept(blocks_of(log.path) + blocks_of(other.path))
    log.row(1, {"loss": 0.5})

    assert data.ingest.delete_run("local", "p", RunId("r1"))

    for restart in (False, True):
        if restart:
            data.reopen()
        for blocks in (blocks_of(log.path), blocks_of(log.path)[1:]):
            for block in blocks:
                with pytest.raises(DeletedRunError, match="r1 was deleted"):
                    data.ingest.accept([block])
        assert data.metadata.runs.get("local", "p", RunId("r1")) is None
        assert data.rows("r1") == []
    assert data.rows("r2") == [(0, {"loss": 2.0})]
    assert not data.ingest.delete_run("local", "p", RunId("r1"))
    other.row(1, {"loss": 3.0})
    data.ingest.accept(rest_of(data, other.path))
    assert len(data.rows("r2")) == 2


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_deletion_cut_short_between_the_stores_is_ended_by_the_next_start(
    data: DataFolder, new_log: NewLog, is_finished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0})
    data.ingest.accept(blocks_of(log.path))
    if is_finished:
        data.ingest.finish([(RunLogReader(log.path).header, log.path)])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(data.metadata.runs), "delete", killed)
    with pytest.raises(KeyboardInterrupt):
        data.ingest.delete_run("local", "p", RunId("r1"))
    monkeypatch.undo()
    assert data.metadata.runs.get("local", "p", RunId("r1")) is not None
    data.reopen()

    assert data.metadata.runs.get("local", "p", RunId("r1")) is None
    log.row(1, {"loss": 0.5})
    with pytest.raises(DeletedRunError):
        data.ingest.accept(blocks_of(log.path))


def test_a_run_whose_history_was_deleted_takes_nothing_before_it_is_gone(
    data: DataFolder, new_log: NewLog
) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0})
    data.ingest.accept(blocks_of(log.path))
    project = data.metadata.projects.get("local", "p", now=START)
    assert project is not None
    with data.stores.use(project.store_file) as store:
        store.delete_run(RunId("r1"), for_good=True)
    log.row(1, {"loss": 0.5})

    with pytest.raises(DeletedRunError):
        data.ingest.accept(rest_of(data, log.path))

    assert data.rows() == []
    assert data.ingest.delete_run("local", "p", RunId("r1"))
    assert data.metadata.runs.get("local", "p", RunId("r1")) is None


def test_the_metadata_keeps_nothing_of_a_deleted_run(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()
    log.write(RecordType.CONFIG, {"lr": 0.1}, [])
    log.write(RecordType.DEFINE_METRIC, {"name": "loss", "summary": ["min"]})
    log.row(-1, {"loss": 1.0})
    log.row(0, {"loss": 1.0})
    data.ingest.accept(blocks_of(log.path))
    key = data.run().key

    data.ingest.delete_run("local", "p", RunId("r1"))

    with data.metadata.write() as connection:
        for table in schema.sorted_tables:
            if "run_key" in table.c:
                assert connection.execute(select(table).where(table.c.run_key == key)).all() == []
