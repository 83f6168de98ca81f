"""Rows taken out of their bytes by slices are the rows that decoding gives."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochal.runlog.format import Header
from epochal.runlog.reader import RunLogReader
from epochal.runlog.writer import RunLogWriter
from epochal.wire.build import block_of_batch, build_block, header_frame
from epochal.wire.gather import gather, gather_records
from epochal.wire.uniform import MIN_ROWS, take_uniform

encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
NAN_WITH_PAYLOAD = struct.unpack(">d", bytes.fromhex("7ff8000000000abc"))[0]

# What makes two rows differ by a little: in one value's type or size, in one key, in everything.
NUMBERS: list[Any] = [0.5, -0.0, float("inf"), NAN_WITH_PAYLOAD, 0, 1, 127, 128, 255, 256, 65_535, 65_536]
NUMBERS += [2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -1, -32, -33, -(2**63), True, False]
VALUES: list[Any] = [*NUMBERS, None, "x", b"x", [1.0], {"a": 1.0}, {}, {"_type": "image-file"}]
KEYS = ["train/loss", "valid/loss", "a", "b", "é", "k" * 40, "k" * 300, "_step", "_timestamp", "x.y"]


def records(seed: int, n: int = 900) -> list[Any]:
    """Return records as training loops write them: runs of equal shape, and what comes in between."""
    chance = random.Random(seed)
    found: list[Any] = []
    step = chance.choice([0, 100, 65_400, 2**32 - 50, 2**63 - 500])
    pool = chance.choice([NUMBERS, VALUES, NUMBERS[:15]])
    while len(found) < n:
        keys = chance.sample(KEYS, chance.randrange(5))
        template = {key: chance.choice(pool) for key in keys}
        kind = chance.choice([1, 1, 1, 13])
        for _ in range(chance.choice([1, 5, 80, 300])):
            data: Any = {k: v + chance.random() if type(v) is float else v for k, v in template.items()}
            if chance.random() < 0.01 and data:
                data[chance.choice(list(data))] = chance.choice(pool)
            found.append((kind, float(step), step, data))
            step = min(step + 1, 2**63 - 1)
            if chance.random() < 0.02:
                found.append((5, 1.0, "stdout", "text"))
        found.append(
            chance.choice([(2, 1.0, {"lr": 1}, []), (1, 1.0), (1, 1, 5, {}), (1, 1.0, 2**64 - 1, {})])
        )
        found.append((15, 1.0, {"last_step": 3}))
        found.append((1, 1.0, -5, {"a": 0.5}))
    return found


@pytest.mark.parametrize("seed", range(60))
def test_slices_give_what_decoding_gives(seed: int) -> None:
    payloads = [encode(record) for record in records(seed)]

    by_slices, by_decoding = gather(payloads), gather_records([decode(p) for p in payloads])

    # As texts, because NaN is not equal to itself.
    assert repr(by_slices._replace(columns=[])) == repr(by_decoding._replace(columns=[]))
    assert {(c.key, c.kind): c for c in by_slices.columns} == {
        (c.key, c.kind): c for c in by_decoding.columns
    }


def test_the_random_records_reach_the_slices() -> None:
    """Else the test above would compare decoding with decoding."""
    taken = [len(take_uniform([encode(r) for r in records(seed)])[0]) for seed in range(60)]
    assert sum(taken) > 50


@given(st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_one_byte_that_is_different_does_not_pass(data: st.DataObject) -> None:
    """Whatever is changed in one of many equal rows, the others keep what they are."""
    rows = [encode((1, 1.0 + i, 1000 + i, {"loss": 0.5, "n": 300, "ok": True})) for i in range(2 * MIN_ROWS)]
    at = data.draw(st.integers(0, len(rows[0]) - 1))
    rows[17] = rows[17][:at] + bytes([data.draw(st.integers(0, 255))]) + rows[17][at + 1 :]

    def records_of(payloads: list[bytes]) -> list[Any]:
        found = []
        for payload in payloads:
            try:
                record = decode(payload)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            if isinstance(record, list) and len(record) >= 2 and type(record[0]) is int:
                found.append(record)
        return found

    by_slices, by_decoding = gather(rows), gather_records(records_of(rows))
    assert by_slices.n_rows == by_decoding.n_rows
    assert repr(by_slices.times) == repr(by_decoding.times)
    assert {(c.key, c.kind): repr(c.values) for c in by_slices.columns} == {
        (c.key, c.kind): repr(c.values) for c in by_decoding.columns
    }


def test_rows_of_a_training_loop_need_no_decoding() -> None:
    train: list[Any] = [
        (1, i / 3, 300 + i, {"train/loss": i / 7, "epoch": 3, "ok": i % 2 == 0}) for i in range(200)
    ]
    valid: list[Any] = [
        (1, i / 3, 300 + i, {"valid/loss": i / 7, "epoch": 3, "ok": True}) for i in range(200)
    ]
    mixed = [encode(row) for pair in zip(train, valid, strict=True) for row in pair]

    groups, rest = take_uniform(mixed)

    assert rest == []
    assert sorted(len(group.members) for group in groups) == [200, 200]


def test_a_batch_of_a_file_makes_the_block_that_its_frames_make(tmp_path: Path) -> None:
    path = tmp_path / "w.runlog"
    header = Header(run_id="r", project="p", entity=None, writer="w", kind="primary", start_time=1.0)
    writer = RunLogWriter(path, header)
    for i in range(1_000):
        writer.append(encode((1, i / 3, i, {"loss": i / 7, "epoch": i // 100})))
    writer.close()
    with RunLogReader(path) as one, RunLogReader(path) as other:
        batch, _ = one.read_batch()
        frames = [header_frame(other.header, other.first_offset), *other.read()[0]]
        assert one.offset == other.offset
        got = block_of_batch(header, batch, [], first_offset=0, end_offset=one.offset)
        assert got == build_block(header, frames, [], first_offset=0, end_offset=one.offset)
