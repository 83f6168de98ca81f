"""Whatever a server does, every row of a run log is there in the end, once."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epochal.runlog.writer import RunLogWriter
from epochal.upload.outgoing_folder import OutgoingFolder
from epochal.upload.sender import Sender

Write = Callable[..., RunLogWriter]
Make = Callable[..., Sender]
Send = Callable[..., float]

ROWS = [{"i": i, "loss": i * 0.5, "name": f"row {i}"} for i in range(500)]


def folder_of(writer: RunLogWriter) -> OutgoingFolder:
    return OutgoingFolder(writer.path.parent)


def test_rows_arrive_as_they_were_logged(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    folder = folder_of(write_log(ROWS))

    send_all(sender_to(peer), folder)

    assert peer.rows() == list(enumerate(ROWS))
    assert folder.n_left_bytes == 0
    assert folder.entity == "ada"


def test_rows_that_come_later_are_sent_from_where_the_last_ones_ended(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send, log_rows: Callable[..., None]
) -> None:
    writer = write_log(ROWS[:100])
    folder, sender = folder_of(writer), sender_to(peer)
    send_all(sender, folder)
    log_rows(writer, ROWS[100:], 100)
    send_all(sender, folder)

    assert peer.rows() == list(enumerate(ROWS))
    (blocks,) = peer.blocks.values()
    assert [b.first_offset for b in blocks[1:]] == [b.end_offset for b in blocks[:-1]]


def test_a_second_sender_goes_on_where_the_server_is(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    """Another machine that sees the same files, or the sidecar that replaces a killed one."""
    writer = write_log(ROWS)
    first = sender_to(peer, max_body_bytes=2048)
    folder = folder_of(writer)
    folder.look()
    first.step([folder])
    assert 0 < len(peer.rows()) < len(ROWS)

    send_all(sender_to(peer, ask_bytes=0), folder_of(writer))
    send_all(first, folder)

    assert peer.rows() == list(enumerate(ROWS))


@pytest.mark.parametrize("seed", range(4))
def test_failures_of_every_kind_lose_and_double_nothing(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send, seed: int
) -> None:
    folders = [folder_of(write_log(ROWS, run=f"r{n}", writer=f"w{n}")) for n in range(5)]
    peer.fail_sometimes(0.5, seed)

    send_all(sender_to(peer, max_body_bytes=4096), *folders)

    for n in range(5):
        assert peer.counts("i", f"r{n}") == Counter(range(len(ROWS)))


def test_a_server_that_lost_its_last_blocks_gets_them_again(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send, log_rows: Callable[..., None]
) -> None:
    writer = write_log(ROWS[:400])
    folder, sender = folder_of(writer), sender_to(peer, max_body_bytes=2048)
    send_all(sender, folder)
    (blocks,) = peer.blocks.values()
    assert len(blocks) > 2
    del blocks[1:]

    log_rows(writer, ROWS[400:], 400)
    send_all(sender, folder)

    assert peer.rows() == list(enumerate(ROWS))


def test_a_key_that_is_not_good_stops_it_at_once_and_for_good(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    folder, sender = folder_of(write_log(ROWS)), sender_to(peer, key="wrong")

    send_all(sender, folder)

    assert sender.trouble is not None
    assert sender.trouble.is_final
    assert "401" in sender.trouble.why
    assert len(peer.requests) == 1


def test_a_smaller_bound_of_the_server_is_kept_to(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    peer.max_body_bytes = 3000
    folder = folder_of(write_log(ROWS))

    send_all(sender_to(peer), folder)

    assert peer.rows() == list(enumerate(ROWS))


@pytest.mark.parametrize("at", [0, 50, 499])
@pytest.mark.parametrize("bound", ["max_body_bytes", "max_block_bytes"])
def test_a_row_larger_than_the_server_takes_is_named_as_lost_and_the_rest_follows(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send, bound: str, at: int
) -> None:
    setattr(peer, bound, 3000)
    rows = [*ROWS[:at], {"i": at, "text": random.Random(1).randbytes(50_000).hex()}, *ROWS[at + 1 :]]
    folder = folder_of(write_log(rows))

    send_all(sender_to(peer), folder)

    assert peer.counts("i") == Counter(i for i in range(len(ROWS)) if i != at)
    (log,) = folder.logs
    assert len(log.losses) == 1
    assert log.losses[0].n_bytes > 80_000
    (blocks,) = peer.blocks.values()
    assert [tuple(loss) for b in blocks for loss in [(x.offset, x.n_bytes) for x in b.losses]] == [
        (log.losses[0].offset, log.losses[0].n_bytes)
    ]


def test_one_writer_that_cannot_be_stored_does_not_stop_the_others(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    peer.refuses = lambda block: "block_not_valid" if block.run_id == "bad" else None
    folders = [folder_of(write_log(ROWS, run=run, writer=run)) for run in ("a", "bad", "z")]

    send_all(sender_to(peer), *folders)

    assert peer.counts("i") == Counter(list(range(len(ROWS))) * 2)
    assert [folder.why_stopped is None for folder in folders] == [True, False, True]


def test_a_damaged_frame_is_all_that_is_lost(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    writer = write_log(ROWS)
    writer.close()
    data = bytearray(writer.path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    writer.path.write_bytes(data)
    folder = folder_of(writer)

    send_all(sender_to(peer), folder)

    counts = peer.counts("i")
    assert len(counts) == len(ROWS) - 1
    assert set(counts.values()) == {1}
    assert len(next(iter(folder.logs)).losses) == 1


def test_a_log_of_which_not_even_the_header_is_whole_waits(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send, tmp_path: Path
) -> None:
    writer = write_log(ROWS)
    whole = writer.path.read_bytes()
    writer.path.write_bytes(whole[:20])
    folder, sender = folder_of(writer), sender_to(peer)
    send_all(sender, folder)
    assert peer.rows() == []

    writer.path.write_bytes(whole)
    send_all(sender, folder)

    assert peer.rows() == list(enumerate(ROWS))


def test_a_file_that_is_no_run_log_is_said_and_left(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    writer = write_log(ROWS)
    (writer.path.parent / "x.runlog").write_bytes(b"something else altogether")
    folder = folder_of(writer)

    send_all(sender_to(peer), folder)

    assert peer.rows() == list(enumerate(ROWS))
    assert "x.runlog" in str(folder.why_stopped)


def test_a_cap_on_the_line_is_kept(peer: Any, write_log: Write, sender_to: Make, send_all: Send) -> None:
    folder = folder_of(write_log(ROWS * 20))

    waited_s = send_all(sender_to(peer, max_bytes_per_s=2000.0), folder)

    n_bytes = sum(n for _, _, n in peer.requests)
    assert n_bytes > 8000
    assert waited_s > n_bytes / 2000.0 * 0.7


def test_what_a_server_asks_to_wait_is_waited(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    answers = iter(["429"])
    peer.headers = {}
    peer.fault = lambda path: next(answers, None)
    folder, sender = folder_of(write_log(ROWS)), sender_to(peer)
    folder.look()
    assert sender.step([folder]) < 1.0  # Retry-After: 0

    send_all(sender, folder)

    assert peer.rows() == list(enumerate(ROWS))


def test_a_quota_that_is_nearly_used_up_is_spread_over_its_window(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    peer.headers = {"RateLimit-Limit": "1000", "RateLimit-Remaining": "20", "RateLimit-Reset": "30"}
    folder, sender = folder_of(write_log(ROWS * 4)), sender_to(peer, max_body_bytes=8192)
    folder.look()

    first = sender.step([folder])

    assert 10.0 < first <= 30.0
    peer.headers = {}
    send_all(sender, folder)
    assert len(peer.rows()) == len(ROWS) * 4


def test_a_slow_line_gets_small_bodies(peer: Any, write_log: Write, sender_to: Make, send_all: Send) -> None:
    """So that something is acknowledged every few seconds."""
    sender = sender_to(peer)
    sender._pace.succeeded(10_000, 10.0, None)

    assert sender._pace.body_bytes < 20_000


def test_a_file_that_cannot_be_read_holds_nobody_up_and_is_tried_again(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    writer = write_log(ROWS)
    write_log(ROWS, writer="w2")
    folder, sender = folder_of(writer), sender_to(peer)
    folder.look()
    aside = writer.path.rename(writer.path.with_name("aside"))
    writer.path.mkdir()  # Opened, it is there; read, it is an error.
    while any(log.has_more for log in folder.logs):
        sender.clock.now += sender.step([folder])  # type: ignore[attr-defined]
    assert "cannot be read" in str(folder.why_stopped)
    assert peer.counts("i") == Counter(range(len(ROWS)))

    writer.path.rmdir()
    aside.rename(writer.path)
    send_all(sender, folder)

    assert folder.why_stopped is None
    assert peer.counts("i") == Counter(dict.fromkeys(range(len(ROWS)), 2))


def test_a_pipe_named_like_a_run_log_is_not_opened(
    peer: Any, write_log: Write, sender_to: Make, send_all: Send
) -> None:
    writer = write_log(ROWS)
    os.mkfifo(writer.path.with_name("pipe.runlog"))

    send_all(sender_to(peer), folder_of(writer))

    assert peer.rows() == list(enumerate(ROWS))


def test_no_files_are_held_open_for_a_server_that_is_down(
    write_log: Callable[..., RunLogWriter], sender_to: Callable[..., Sender], peer: Any
) -> None:
    folders = [OutgoingFolder(write_log([{"i": 0}], run=f"r{n}").path.parent) for n in range(20)]
    sender = sender_to(peer)
    peer.fault = lambda path: "503"

    n_open = len(os.listdir("/dev/fd"))  # noqa: PTH208
    for folder in folders:
        folder.look()
    sender.step(folders)

    assert sender.trouble is not None
    assert len(os.listdir("/dev/fd")) <= n_open  # noqa: PTH208
    assert all(folder.has_more for folder in folders)
