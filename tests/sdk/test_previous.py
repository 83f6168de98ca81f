"""What a resumed run takes over from run logs of which it reads the end only."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.runlog.checkpoint import go_to_last
from epochal.runlog.format import RecordType
from epochal.runlog.reader import Frame, RunLogReader, read_all
from epochal.runlog.writer import CHECKPOINT_EVERY_BYTES, RunLogWriter
from epochal.sdk import previous
from epochal.sdk.previous import Previous
from epochal.sdk.session import Session

Rows = Callable[[epochal.Run], dict[int, dict[str, Any]]]
TEXT = "x" * 200


def log_of(run: epochal.Run) -> Path:
    return next(p for p in Path(run.sync_dir).glob("*.runlog") if not p.name.startswith("sidecar-"))


def checkpoints(path: Path) -> list[Frame]:
    return [f for f in read_all(path)[0] if f.record[0] == RecordType.CHECKPOINT]


def taken_over(path: Path) -> Previous:
    found = Previous()
    with RunLogReader(path) as reader:
        found.add(reader)
    return found


def by_reading_all(path: Path) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Return next step, config and attributes by every record of the file but the checkpoints."""
    last_step, n_unplaced = -1, 0
    config: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for record in (frame.record for frame in read_all(path)[0]):
        items: Any = record[2:]
        if record[0] == RecordType.ROW:
            last_step = max(last_step, items[0])
        elif record[0] == RecordType.UNPLACED_ROW:
            n_unplaced = max(n_unplaced, items[0] + 1)
        elif record[0] == RecordType.CONFIG:
            config = {k: v for k, v in {**config, **items[0]}.items() if k not in items[1]}
        elif record[0] == RecordType.ATTRIBUTES:
            attributes |= items[0]
    return last_step + 1 + n_unplaced, config, attributes


def do_anything(run: epochal.Run, chance: random.Random) -> None:
    what = chance.randrange(10)
    if what == 0:
        run.config.update({f"k{chance.randrange(5)}": chance.random()}, allow_val_change=True)
    elif what == 1 and "k1" in run.config:
        del run.config["k1"]
    elif what == 2:
        run.tags = [f"t{chance.randrange(5)}"]
    elif what == 3:
        run.log({"a": TEXT}, step=chance.randrange(run.step + 3))
    elif what == 4:
        run.log({"b": TEXT}, commit=False)
    elif what == 5:
        run.log({"b": TEXT}, step=run.step + 2, commit=True)
    else:
        run.log({"a": TEXT})


@pytest.mark.parametrize("seed", range(5))
def test_the_end_of_a_run_log_says_what_all_of_it_says_wherever_it_is_cut(seed: int, tmp_path: Path) -> None:
    """A process killed at any byte leaves just that: the first bytes of the file."""
    chance = random.Random(seed)
    run = epochal.init(project="demo", id="r1", config={"k0": 0})
    path = log_of(run)
    while path.stat().st_size < 2.2 * CHECKPOINT_EVERY_BYTES:
        do_anything(run, chance)
    found = checkpoints(path)
    assert len(found) >= 2

    data, copy = path.read_bytes(), tmp_path / "cut.runlog"
    ends = [frame.offset for frame in found] + [frame.end for frame in found] + [len(data)]
    cuts = {end + by for end in ends for by in (-400, -1, 0, 1, 5, 9, 400)}
    cuts |= {chance.randrange(CHECKPOINT_EVERY_BYTES, len(data)) for _ in range(8)}
    for cut in cuts:
        copy.write_bytes(data[:cut])
        got = taken_over(copy)
        assert (got.next_step, got.config, got.attributes) == by_reading_all(copy), cut


def test_only_what_follows_the_last_checkpoint_is_read(run: epochal.Run) -> None:
    for _ in range(12_000):
        run.log({"a": TEXT})
    with RunLogReader(log_of(run)) as reader:
        assert go_to_last(reader) is not None
        assert reader.torn_bytes() < 1.1 * CHECKPOINT_EVERY_BYTES < log_of(run).stat().st_size / 8


def test_a_finished_run_ends_with_a_checkpoint_and_its_exit(run: epochal.Run) -> None:
    for _ in range(200):
        run.log({"a": TEXT})
    run.finish()
    kinds = [frame.record[0] for frame in read_all(log_of(run))[0]]
    assert kinds[-2:] == [RecordType.CHECKPOINT, RecordType.EXIT]


def test_a_checkpoint_that_is_damaged_is_passed_over(run: epochal.Run) -> None:
    run.config.update({"lr": 0.1})
    while len(checkpoints(log_of(run))) < 2:
        for _ in range(300):
            run.log({"a": TEXT})
    data = bytearray(log_of(run).read_bytes())
    for frame, n_left in zip(reversed(checkpoints(log_of(run))), (1, 0), strict=True):
        data[frame.end - 3] ^= 0xFF
        log_of(run).write_bytes(data)
        assert len(checkpoints(log_of(run))) == n_left
        got = taken_over(log_of(run))
        assert (got.next_step, got.config) == (run.step, {"lr": 0.1})


def test_bytes_that_look_like_a_checkpoint_in_a_logged_text_are_none(run: epochal.Run) -> None:
    for _ in range(1_500):
        run.log({"a": TEXT})
    [frame] = checkpoints(log_of(run))
    copy = log_of(run).read_bytes()[frame.offset : frame.end]
    run.log({"text": copy.decode("latin-1"), "raw": copy})
    assert taken_over(log_of(run)).next_step == 1_501


def test_a_large_config_is_repeated_less_often(run: epochal.Run) -> None:
    run.config.update({"large": "x" * 200_000})
    while log_of(run).stat().st_size < 12 * CHECKPOINT_EVERY_BYTES:
        run.log({"a": TEXT})
    assert len(checkpoints(log_of(run))) == 1


def test_what_a_value_was_when_it_was_set_is_what_is_repeated(run: epochal.Run) -> None:
    layers = [1, 2]
    run.config.update({"layers": layers})
    layers.append(3)
    run.config["layers"].append(4)
    for _ in range(1_500):
        run.log({"a": TEXT})
    assert checkpoints(log_of(run))
    assert taken_over(log_of(run)).config == {"layers": [1, 2]}


def test_a_run_goes_on_over_long_sessions_with_several_writers(rows: Rows, tmp_path: Path) -> None:
    first = epochal.init(project="demo", id="r1", config={"lr": 0.1, "gone": 1}, name="n")
    first.define_metric("loss", step_metric="epoch")
    first.log({"epoch": 7})
    for _ in range(1_500):
        first.log({"loss": TEXT})
    first.finish()
    second = epochal.init(project="demo", id="r1", resume="must")
    del second.config["gone"]
    assert isinstance(second._session, Session)
    child = second._session.open_log("secondary", bytes)
    for ordinal in range(3):
        child.record(RecordType.UNPLACED_ROW, ordinal, {"from": "child"})
    child.close()
    for _ in range(1_500):
        second.log({"loss": TEXT})
    assert rows(second)[2999]["epoch"] == 7
    second.finish()

    third = epochal.init(project="demo", id="r1", resume="must")
    third.log({"loss": 1})
    assert third.starting_step == 3_001 + 3
    assert (third.name, third.config.as_dict()) == ("n", {"lr": 0.1})
    assert rows(third)[3_004] == {"loss": 1, "epoch": 7}


def test_a_run_of_a_version_without_checkpoints_is_read_whole(run: epochal.Run, tmp_path: Path) -> None:
    for _ in range(1_500):
        run.log({"a": TEXT})
    run.config.update({"lr": 0.1})
    path = log_of(run)
    old = tmp_path / "runs" / "run-20200101_000000-old"
    old.mkdir(parents=True)
    with RunLogReader(path) as reader:
        header = reader.header
    writer = RunLogWriter(old / path.name, header)
    for frame in read_all(path)[0]:
        if frame.record[0] != RecordType.CHECKPOINT:
            kind: Any = frame.record[0]
            writer.record(kind, *frame.record[2:])
    writer.close()
    got = previous.read(tmp_path / "runs", "old", "demo", None)
    assert (got.next_step, got.config) == (1_500, {"lr": 0.1})
