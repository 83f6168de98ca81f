"""A run that is moved to another project is whole there, and nowhere else, whatever comes in between."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select

from epochal.care.check import check_folder
from epochal.errors import DeletedRunError, UsageError
from epochal.ids import RunId
from epochal.ingest.moving import MovingThread
from epochal.ingest.outcome import writer_of
from epochal.ingest.run_log_file import RunLogFile
from epochal.query.filter_text import parse_text_filter
from epochal.query.runs import count_runs, list_runs
from epochal.runlog.format import RecordType
from epochal.store.metadata.fields import build as build_module
from epochal.store.metadata.tables import alerts
from epochal.store.metrics.contract import RunGoneError
from epochal.store.metrics.embedded.moving import EmbeddedRunCopy
from epochal.wire.block import Block

if TYPE_CHECKING:
    from tests.ingest.conftest import DataFolder, RunLog

NewLog = Callable[..., "RunLog"]
R1 = RunId("r1")


def next_blocks(data: DataFolder, log: RunLog) -> list[Block]:
    """Return what the ingest wants next of a run log, under the names in its header."""
    file = RunLogFile(log.path)
    block = file.read(data.ingest.progress, 1 << 20)
    file.close()
    return [] if block is None else [block]


def then(do: Callable[[], object]) -> Callable[[int], None]:
    """Return what does `do` whenever it is told of progress."""

    def told(_: int) -> None:
        do()

    return told


def filled(data: DataFolder, new_log: NewLog, run: str = "r1", writer: str = "writer01") -> RunLog:
    """Log a run of the project p."""
    log = new_log(run, writer)
    log.write(RecordType.CONFIG, {"lr": 0.5}, [])
    log.write(RecordType.DEFINE_METRIC, {"name": "loss", "summary": ["min"]})
    log.write(RecordType.CONSOLE, "stdout", "hello\n")
    for step in range(100):
        log.row(step, {"loss": 1 / (step + 1), "note": f"at {step}"})
    data.ingest.accept(next_blocks(data, log))
    return log


def move_run(data: DataFolder, source: str, target: str, run: RunId = R1) -> bool:
    """Move a run, as the server's thread does; return whether there was one."""
    n_runs = data.ingest.ask_to_move("local", source, [run], ("local", target))
    for move in data.metadata.moves.open():
        data.ingest.carry_out(move)
    return n_runs == 1


def key(data: DataFolder, project: str) -> int:
    found = data.metadata.projects.key_of("local", project)
    assert found is not None
    return found


def matching(data: DataFolder, project: str, where: str) -> list[str]:
    """Return the ids of the runs of a project that a filter matches, as lists and counts have them."""
    chosen = parse_text_filter(where)
    page = list_runs(data.metadata, key(data, project), now=data.clock(), chosen=chosen)
    assert page.n_total == len(page.edges)
    assert count_runs(data.metadata, key(data, project), now=data.clock(), chosen=chosen) == page.n_total
    return sorted(edge.run.run_id for edge in page.edges)


def test_a_moved_run_has_everything_in_its_new_project_and_nothing_in_its_old_one(
    data: DataFolder, new_log: NewLog
) -> None:
    log = filled(data, new_log)
    filled(data, new_log, "r2", "writer02")
    run, rows, counts = data.run(), data.rows(), data.counts()
    said = {"source": "w", "place": 1, "created_at": 1.0, "level": "INFO", "title": "t", "text": "x"}
    with data.metadata.write() as connection:
        connection.execute(insert(alerts), said | {"project_key": key(data, "p"), "run_key": run.key})

    assert move_run(data, "p", "q", R1)

    with data.metadata.read() as connection:
        assert connection.execute(select(alerts.c.project_key)).scalars().all() == [key(data, "q")]

    moved = data.run(project="q")
    assert (moved.key, moved.config, moved.summary) == (run.key, run.config, run.summary)
    assert (moved.n_rows, moved.last_step, moved.tags) == (run.n_rows, run.last_step, run.tags)
    for restart in (False, True):
        if restart:
            data.reopen()
        assert data.rows(project="q") == rows
        assert data.counts(project="q") == counts
        assert data.rows() == []
        assert data.metadata.runs.get("local", "p", R1) is None
        assert [d.name for d in data.metadata.definitions.of_project(key(data, "q"))] == ["loss"]
        log.row(100 + restart, {"loss": 0.0})
        data.ingest.accept(next_blocks(data, log))
        rows.append((100 + restart, {"loss": 0.0}))
        counts["loss"] += 1
        assert data.rows(project="q") == rows
        assert data.metadata.runs.get("local", "p", R1) is None
    assert check_folder(data.path).n_problems == 0


@pytest.mark.parametrize("has_parts", [False, True])
def test_a_moved_run_shows_in_the_filters_of_its_new_project_and_not_of_the_old_one(
    data: DataFolder, new_log: NewLog, has_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "RUNS_A_PART", 2)
    for i, project in enumerate("pppqqqp"):
        log = new_log(f"r{i}", f"writer0{i}", project=project)
        log.write(RecordType.CONFIG, {"lr": i, "in": project}, [])
        log.row(0, {"acc": i})
        data.ingest.accept(next_blocks(data, log))
    if has_parts:
        for project in "pq":
            data.metadata.fields.build(key(data, project))
    assert matching(data, "p", "config.lr >= 0") == ["r0", "r1", "r2", "r6"]
    assert matching(data, "q", "config.lr >= 0") == ["r3", "r4", "r5"]

    def move(run: str, *ways: str) -> None:
        for way in ways:
            assert move_run(data, way[0], way[1], RunId(run))

    def check(in_p: list[str], in_q: list[str]) -> None:
        for project, runs in (("p", in_p), ("q", in_q)):
            assert matching(data, project, "config.lr >= 0") == runs
            assert matching(data, project, "summary.acc >= 0") == runs
            assert matching(data, project, "id ~ /r/") == runs
            names = {i.field: i.n_runs for i in data.metadata.fields.listing(key(data, project))}
            assert names["config.in"] == len(runs)

    move("r1", "pq")
    check(["r0", "r2", "r6"], ["r1", "r3", "r4", "r5"])
    move("r3", "qp")
    move("r1", "qp")
    move("r0", "pq")
    check(["r1", "r2", "r3", "r6"], ["r0", "r4", "r5"])
    if has_parts:
        for project in "pq":
            data.metadata.fields.build(key(data, project))
    check(["r1", "r2", "r3", "r6"], ["r0", "r4", "r5"])
    move("r6", "pq", "qp", "pq")
    data.reopen()
    check(["r1", "r2", "r3"], ["r0", "r4", "r5", "r6"])


def test_blocks_find_a_run_that_was_moved_twice_and_one_that_came_back(
    data: DataFolder, new_log: NewLog
) -> None:
    log = filled(data, new_log)
    for step, way in enumerate(("pq", "qs", "sp", "ps"), 100):
        target = way[1]
        assert move_run(data, way[0], target, R1)
        log.row(step, {"loss": 0.0})
        blocks = next_blocks(data, log)
        outcomes = data.ingest.accept_each(blocks)
        assert set(outcomes) == {writer_of(blocks[0])}
        assert outcomes[writer_of(blocks[0])] == (blocks[0].end_offset, None)
        assert len(data.rows(project=target)) == step + 1
        assert [n for n in "pqs" if data.metadata.runs.get("local", n, R1)] == [target]
    data.ingest.finish([(log.header, log.path)])
    data.reopen()
    assert data.ingest.progress(log.header).offset == log.path.stat().st_size
    assert check_folder(data.path).n_problems == 0


def test_a_run_that_was_moved_and_deleted_does_not_come_back_under_any_name(
    data: DataFolder, new_log: NewLog
) -> None:
    log = filled(data, new_log)
    blocks = blocks_again(data, log)
    move_run(data, "p", "q", R1)
    data.ingest.delete_run("local", "q", R1)

    for _ in range(2):
        with pytest.raises(DeletedRunError):
            data.ingest.accept(blocks)
        data.reopen()
    filled(data, new_log, "r2", "writer02")
    with pytest.raises(DeletedRunError):
        data.ingest.accept(blocks)


def blocks_again(data: DataFolder, log: RunLog) -> list[Block]:
    """Return the first blocks of a run log, as a sender without a memory has them."""
    file = RunLogFile(log.path)
    data.ingest.progress(log.header)
    block = file.read(lambda _: type(data.ingest.progress(log.header))(), 1 << 20)
    file.close()
    assert block is not None
    return [block]


def test_a_run_is_not_moved_onto_another_one(data: DataFolder, new_log: NewLog) -> None:
    filled(data, new_log)
    other = new_log("r1", "writer03", project="q", folder="other")
    other.row(0, {"x": 1.0})
    data.ingest.accept(next_blocks(data, other))

    for target, why in (("q", "another run"), ("p", "already"), ("a/b", "project name"), ("..", "project")):
        with pytest.raises(UsageError, match=why):
            move_run(data, "p", target, R1)
    data.ingest.delete_run("local", "q", R1)
    with pytest.raises(UsageError, match="or had, another run"):
        move_run(data, "p", "q", R1)
    assert not move_run(data, "p", "q", RunId("nobody"))
    assert len(data.rows()) == 100


def test_blocks_that_come_during_a_move_are_taken_at_once(data: DataFolder, new_log: NewLog) -> None:
    log, other = filled(data, new_log), filled(data, new_log, "r2", "writer02")
    steps = iter(range(100, 1000))

    def log_more(_: int) -> None:
        step = next(steps)
        if step < 110:
            for log_ in (log, other):
                log_.row(step, {"loss": 0.0})
                log_.write(RecordType.CONSOLE, "stdout", f"{step} ")
            blocks = [*next_blocks(data, log), *next_blocks(data, other)]
            assert [outcome.error for outcome in data.ingest.accept_each(blocks).values()] == [None, None]
            assert len(data.rows()) == step + 1

    data.ingest.ask_to_move("local", "p", [R1], ("local", "q"))
    (move,) = data.metadata.moves.open()
    data.ingest.carry_out(move, log_more)

    assert next(steps) > 102
    assert data.rows(project="q") == data.rows("r2")
    assert data.rows() == []
    assert check_folder(data.path).n_problems == 0


def test_a_run_that_comes_up_in_the_target_meanwhile_is_left_alone(data: DataFolder, new_log: NewLog) -> None:
    """Its project took the id first; the one on its way stays where it is."""
    filled(data, new_log)
    other = new_log("r1", "writer03", project="q", folder="other")
    other.row(0, {"x": 1.0})
    data.ingest.ask_to_move("local", "p", [R1], ("local", "q"))
    (move,) = data.metadata.moves.open()
    blocks = next_blocks(data, other)

    with pytest.raises(UsageError, match="another run"):
        data.ingest.carry_out(move, then(lambda: data.ingest.accept(blocks)))

    for restart in (False, True):
        if restart:
            data.reopen()
        assert len(data.rows()) == 100
        assert data.rows(project="q") == [(0, {"x": 1.0})]


def test_all_runs_are_asked_for_or_none(data: DataFolder, new_log: NewLog) -> None:
    filled(data, new_log)
    filled(data, new_log, "r2", "writer02")
    other = new_log("r2", "writer03", project="q", folder="other")
    other.row(0, {"x": 1.0})
    data.ingest.accept(next_blocks(data, other))

    with pytest.raises(UsageError, match="The run r2 cannot be moved"):
        data.ingest.ask_to_move("local", "p", [R1, RunId("r2")], ("local", "q"))
    assert data.metadata.moves.open() == []
    assert data.ingest.ask_to_move("local", "p", [R1, RunId("nobody")], ("local", "q")) == 1
    assert data.ingest.ask_to_move("local", "p", [R1], ("local", "q")) == 1
    with pytest.raises(UsageError, match="on its way to another"):
        data.ingest.ask_to_move("local", "p", [R1], ("local", "s"))
    assert [move.run_id for move in data.metadata.moves.open()] == ["r1"]


def test_a_run_that_is_deleted_on_its_way_is_nowhere(data: DataFolder, new_log: NewLog) -> None:
    log = filled(data, new_log)
    blocks = blocks_again(data, log)
    data.ingest.ask_to_move("local", "p", [R1], ("local", "q"))
    (move,) = data.metadata.moves.open()

    with pytest.raises(RunGoneError):
        data.ingest.carry_out(move, then(lambda: data.ingest.delete_run("local", "p", R1)))

    assert data.metadata.moves.open() == []
    assert data.rows() == data.rows(project="q") == []
    with pytest.raises(DeletedRunError):
        data.ingest.accept(blocks)


def test_the_thread_moves_what_an_earlier_server_left_and_tells_what_it_cannot(
    data: DataFolder, new_log: NewLog
) -> None:
    filled(data, new_log)
    filled(data, new_log, "r2", "writer02")
    data.ingest.ask_to_move("local", "p", [R1, RunId("r2")], ("local", "q"))
    other = new_log("r2", "writer03", project="q", folder="other")
    other.row(0, {"x": 1.0})
    data.ingest.accept(next_blocks(data, other))
    data.reopen()

    mover = MovingThread(data.metadata, data.ingest)
    assert [p.move.run_id for p in mover.progress(key(data, "p"))] == ["r1", "r2"]
    mover.start()
    until = time.monotonic() + 30
    while data.metadata.moves.open() and time.monotonic() < until:
        time.sleep(0.01)
    mover.stop()

    assert len(data.rows(project="q")) == 100
    (left,) = mover.progress(key(data, "q"))
    assert left.move.run_id == "r2"
    assert "another run" in (left.error or "")
    assert len(data.rows("r2")) == 100
    assert check_folder(data.path).n_problems == 0


@pytest.mark.parametrize("where", ["copy", "definitions", "clearing"])
def test_a_move_that_fails_leaves_the_run_whole_in_one_place(
    data: DataFolder, new_log: NewLog, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(data, new_log)
    rows = data.rows()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if where == "copy":
        monkeypatch.setattr(EmbeddedRunCopy, "finish", fail)
    elif where == "definitions":
        monkeypatch.setattr(data.metadata.definitions, "put", fail)
    else:
        monkeypatch.setattr(data.metadata.moves, "end", fail)
    if where == "clearing":
        move_run(data, "p", "q", R1)
    else:
        with pytest.raises(OSError, match="No space"):
            move_run(data, "p", "q", R1)
    monkeypatch.undo()

    place, empty = ("q", "p") if where == "clearing" else ("p", "q")
    for restart in (False, True):
        if restart:
            data.reopen()
        assert data.rows(project=place) == rows
        assert data.rows(project=empty) == []
    assert move_run(data, place, empty, R1)
    assert data.rows(project=empty) == rows
    assert check_folder(data.path).n_problems == 0


_MOVING = """
import sys
from pathlib import Path
from epochal.ids import RunId
from epochal.ingest.accept import Ingest
from epochal.store.metadata import Metadata
from epochal.store.metrics.embedded.store import EmbeddedMetricStore
from epochal.store.metrics.stores import MetricStores

class Nobody:
    def publish(self, change): pass

path = Path(sys.argv[1])
metadata = Metadata(path / "metadata.db")
ingest = Ingest(metadata, MetricStores(path / "projects", EmbeddedMetricStore), Nobody())
print("ready", flush=True)
while True:
    for source, target in ("pq", "qp"):
        ingest.ask_to_move("local", source, [RunId("r1")], ("local", target))
        for move in metadata.moves.open():
            ingest.carry_out(move)
"""


def test_a_kill_during_a_move_leaves_the_run_whole_in_one_place(
    data: DataFolder, new_log: NewLog, tmp_path: Path
) -> None:
    log = filled(data, new_log)
    rows, counts, luck = data.rows(), data.counts(), random.Random(7)
    for round_ in range(8):
        data.close()
        process = subprocess.Popen(
            [sys.executable, "-c", _MOVING, str(data.path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(luck.uniform(0.0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        shutil.copytree(data.path, tmp_path / f"killed{round_}")
        data._open()
        (place,) = (name for name in "pq" if data.metadata.runs.get("local", name, R1))
        assert data.rows(project=place) == rows
        assert data.counts(project=place) == counts
        other = data.metadata.projects.get("local", "pq".replace(place, ""), now=data.clock())
        if other is not None:
            with data.stores.use(other.store_file) as store:
                assert store.sizes() == {}
        assert check_folder(data.path).n_problems == 0
        if round_ % 2:
            for move in data.metadata.moves.open():
                data.ingest.carry_out(move)
            (place,) = (name for name in "pq" if data.metadata.runs.get("local", name, R1))
            assert data.rows(project=place) == rows
        log.row(100 + round_, {"loss": 0.0})
        data.ingest.accept(next_blocks(data, log))
        rows.append((100 + round_, {"loss": 0.0}))
        counts["loss"] += 1
