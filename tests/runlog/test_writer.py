"""What the writer promises when all goes well, and when nothing does."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import msgspec
import pytest

from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import read_all
from epochal.runlog.writer import RunLogWriter

HEADER = Header(run_id="r1", project="p", entity=None, writer="w1", kind="primary", start_time=1.5)
encode = msgspec.msgpack.encode


def steps_of(path: Path) -> list[object]:
    return [f.record[2] for f in read_all(path)[0] if f.record[0] == RecordType.ROW]


def test_every_row_of_many_threads_is_there_once(tmp_path: Path) -> None:
    writer = RunLogWriter(tmp_path / "w1.runlog", HEADER)

    def log(part: int) -> None:
        for i in range(500):
            writer.append(encode((1, 1.0, part * 500 + i, {"a": 1})))

    threads = [threading.Thread(target=log, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()

    assert sorted(steps_of(tmp_path / "w1.runlog")) == list(range(4000))  # type: ignore[type-var]


def test_a_row_is_in_the_file_as_soon_as_append_returns(tmp_path: Path) -> None:
    writer = RunLogWriter(tmp_path / "w1.runlog", HEADER)

    for step in range(3):
        writer.append(encode((1, 1.0, step, {})))
        assert steps_of(tmp_path / "w1.runlog") == list(range(step + 1))
    writer.close()


@pytest.mark.parametrize("disk", ["good", "full for a while"])
def test_a_signal_handler_that_logs_in_the_middle_of_a_write_neither_hangs_nor_tears(
    tmp_path: Path, disk: str
) -> None:
    """The handler runs between any two bytecodes of append itself; a plain lock would hang here."""
    limits = {10_000: 300_000, 30_000: resource.RLIM_INFINITY} if disk != "good" else {}
    script = f"""
    import itertools, resource, signal, msgspec
    from pathlib import Path
    from epochal.runlog.format import Header
    from epochal.runlog.writer import RunLogWriter
    header = Header(run_id="r", project="p", entity=None, writer="w", kind="primary", start_time=1.0)
    writer = RunLogWriter(Path({str(tmp_path / "w.runlog")!r}), header)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    numbers = itertools.count()  # a handler may be interrupted by the next alarm: numbers must not repeat
    def handler(*_):
        writer.append(msgspec.msgpack.encode((1, 1.0, 1_000_000 + next(numbers), {{}})))
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    for step in range(60_000):
        if step in {limits}:
            resource.setrlimit(resource.RLIMIT_FSIZE, ({limits}[step], resource.RLIM_INFINITY))
        writer.append(msgspec.msgpack.encode((1, 1.0, step, {{}})))
    signal.setitimer(signal.ITIMER_REAL, 0)
    writer.close()
    print(next(numbers))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    n_alarms = int(run.stdout)
    assert n_alarms > 0
    steps = steps_of(tmp_path / "w.runlog")
    assert sorted(steps) == [*range(60_000), *range(1_000_000, 1_000_000 + n_alarms)]  # type: ignore[type-var]
    assert read_all(tmp_path / "w.runlog")[1].losses == []


def test_ctrl_c_at_any_moment_leaves_a_file_that_goes_on(tmp_path: Path) -> None:
    """Every tenth of a millisecond, so that some come in twos, into the clean-up after another."""
    script = f"""
    import os, signal, msgspec
    from pathlib import Path
    from epochal.runlog.format import Header
    from epochal.runlog.writer import RunLogWriter
    header = Header(run_id="r", project="p", entity=None, writer="w", kind="primary", start_time=1.0)
    writer = RunLogWriter(Path({str(tmp_path / "w.runlog")!r}), header)
    returned = os.open({str(tmp_path / "returned")!r}, os.O_WRONLY | os.O_CREAT)
    payloads = [msgspec.msgpack.encode((1, 1.0, step, {{}})) for step in range(20_000)]
    def handler(_, frame):
        while frame is not None:  # only where it hits the writer, and not this script's own bookkeeping
            if frame.f_code.co_filename.endswith("writer.py"):
                raise KeyboardInterrupt
            frame = frame.f_back
    signal.signal(signal.SIGALRM, handler)
    interrupts = 0
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0001)
    for step in range(20_000):
        try:
            writer.append(payloads[step])
        except KeyboardInterrupt:
            interrupts += 1
        else:
            os.write(returned, step.to_bytes(4, "little"))
    signal.setitimer(signal.ITIMER_REAL, 0)
    writer.close()
    print(interrupts)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert int(run.stdout) > 10
    confirmed = (tmp_path / "returned").read_bytes()
    returned = {int.from_bytes(confirmed[i : i + 4], "little") for i in range(0, len(confirmed), 4)}
    steps = steps_of(tmp_path / "w.runlog")
    assert returned <= set(steps)
    assert len(steps) == len(set(steps))
    assert read_all(tmp_path / "w.runlog")[1].losses == []


def test_a_full_disk_neither_raises_nor_loses_and_heals_by_itself(tmp_path: Path) -> None:
    """A file-size limit makes the kernel refuse in mid-write, as a full disk does."""
    path = tmp_path / "w1.runlog"
    troubles: list[str] = []
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writer = RunLogWriter(path, HEADER, on_trouble=troubles.append)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, old[1]))
        for step in range(1000):
            writer.append(encode((1, 1.0, step, {"loss": 0.5})))
        assert path.stat().st_size == 5000
        assert not writer.flush(timeout_s=0.2)
        assert len(troubles) == 1
        assert "training goes on" in troubles[0]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)

    assert writer.flush(timeout_s=20)
    writer.append(encode((1, 1.0, 1000, {})))
    assert writer.close(timeout_s=20)
    assert steps_of(path) == list(range(1001))
    assert read_all(path)[1].losses == []


def test_what_no_longer_fits_into_memory_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "w1.runlog"
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writer = RunLogWriter(path, HEADER, max_buffer_bytes=10_000)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, old[1]))
        for step in range(1000):
            writer.append(encode((1, 1.0, step, {"loss": 0.5})))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)

    assert not writer.close(timeout_s=20)  # not everything is in the file, and it says so
    kept = steps_of(path)
    assert 0 < len(kept) < 1000
    assert kept == list(range(len(kept)))
    assert writer.lost_rows == 1000 - len(kept)
    [told] = [f.record for f in read_all(path)[0] if f.record[0] == RecordType.LOST]
    assert isinstance(told[2], dict)
    assert told[2]["n_records"] == writer.lost_rows


def test_a_file_that_is_deleted_while_it_is_written_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    writer = RunLogWriter(tmp_path / "w1.runlog", HEADER, on_trouble=told.append)
    (tmp_path / "w1.runlog").unlink()
    for step in range(500):
        writer.append(encode((1, 1.0, step, {"loss": 0.5})))
    writer.close()
    assert len(told) == 1
    assert "was deleted" in told[0]


def test_a_closed_descriptor_is_opened_again(tmp_path: Path) -> None:
    """Programs that become daemons close every descriptor they find."""
    writer = RunLogWriter(tmp_path / "w1.runlog", HEADER)
    writer.append(encode((1, 1.0, 0, {})))
    os.close(writer._fd)
    writer.append(encode((1, 1.0, 1, {})))
    writer.close()

    assert steps_of(tmp_path / "w1.runlog") == [0, 1]


def test_rows_never_go_into_what_the_program_opened_instead(tmp_path: Path) -> None:
    """A daemon closes everything and opens its own files, which get the lowest numbers."""
    script = f"""
    import os, msgspec
    from pathlib import Path
    from epochal.runlog.format import Header
    from epochal.runlog.writer import RunLogWriter
    header = Header(run_id="r", project="p", entity=None, writer="w", kind="primary", start_time=1.0)
    writer = RunLogWriter(Path({str(tmp_path / "w.runlog")!r}), header)
    os.closerange(3, 4096)
    theirs = [os.open(f"{tmp_path}/theirs{{i}}", os.O_WRONLY | os.O_CREAT) for i in range(20)]
    for step in range(200):
        writer.append(msgspec.msgpack.encode((1, 1.0, step, {{}})))
    writer.close()
    os.write(theirs[0], b"still open")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60, check=True)

    assert sorted(p.stat().st_size for p in tmp_path.glob("theirs*")) == [0] * 19 + [len("still open")]
    assert steps_of(tmp_path / "w.runlog") == list(range(200))


def test_an_existing_file_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "w1.runlog").write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        RunLogWriter(tmp_path / "w1.runlog", HEADER)

    assert (tmp_path / "w1.runlog").read_bytes() == b"precious"


def test_appending_after_close_is_counted_and_harmless(tmp_path: Path) -> None:
    writer = RunLogWriter(tmp_path / "w1.runlog", HEADER)
    writer.close()
    writer.append(encode((1, 1.0, 0, {})))

    assert writer.lost_rows == 1
    assert steps_of(tmp_path / "w1.runlog") == []


def test_a_thread_that_appends_while_another_closes_is_told_and_no_row_vanishes(tmp_path: Path) -> None:
    class TooLateError(Exception):
        pass

    def refuse(payload: bytes) -> None:
        raise TooLateError

    writer = RunLogWriter(tmp_path / "w1.runlog", HEADER)
    n_appended = 0
    is_begun = threading.Event()

    def work() -> None:
        nonlocal n_appended
        with contextlib.suppress(TooLateError):
            while True:
                writer.append(encode((1, 1.0, n_appended, {})))
                n_appended += 1
                is_begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    is_begun.wait()
    writer.close(refuse=refuse)
    thread.join()

    assert writer.lost_rows == 0
    assert steps_of(tmp_path / "w1.runlog") == list(range(n_appended))
