"""Console output is copied to the runs, and the user's streams stay the user's."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TextIO, cast

import pytest

from epochal.sdk import console


class Screen(io.TextIOWrapper):
    """A terminal to look at."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="utf-8", write_through=True)

    def seen(self) -> str:
        return self.bytes.getvalue().decode()


Captured = list[tuple[str, str]]


@contextlib.contextmanager
def on(stream: object) -> Iterator[None]:
    """Make `stream` the standard output.  Not a fixture: pytest sets its own for every phase of a test."""
    before = sys.stdout
    sys.stdout = cast("TextIO", stream)
    try:
        yield
    finally:
        sys.stdout = before


def on_a_screen(test: Callable[[Screen], None]) -> Callable[[], None]:
    """Run the test with a screen as standard output."""

    def run() -> None:
        screen = Screen()
        with on(screen):
            test(screen)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@contextlib.contextmanager
def capturing() -> Iterator[Captured]:
    """Give what a run would get."""
    lines: Captured = []

    def sink(stream: str, text: str) -> None:
        lines.append((stream, text))

    console.capture(sink)
    try:
        yield lines
    finally:
        console.release(sink)


def text_of(captured: Captured, stream: str = "stdout") -> str:
    return "".join(text for name, text in captured if name == stream)


@on_a_screen
def test_everything_that_is_printed_is_seen_and_captured(screen: Screen) -> None:
    with capturing() as captured:
        print("a", 1, sep="-", end="!\n")
        sys.stdout.writelines(["two\n", "three\n"])
        sys.stdout.write("ünï ✓ \r 50%")
        print("warning", file=sys.stderr)

    assert screen.seen() == text_of(captured) == "a-1!\ntwo\nthree\nünï ✓ \r 50%"
    assert text_of(captured, "stderr") == "warning\n"


@on_a_screen
def test_the_streams_stay_the_same_objects_with_all_they_can_do(screen: Screen) -> None:
    with capturing():
        assert sys.stdout is screen
        assert sys.stdout.encoding == "utf-8"
        assert not sys.stdout.isatty()
        assert sys.stdout.buffer is screen.buffer
        assert sys.stdout.write("four") == 4


@on_a_screen
def test_who_holds_the_stream_since_before_the_run_is_captured_too(screen: Screen) -> None:
    handler = logging.StreamHandler(screen)

    with capturing() as captured:
        handler.emit(logging.makeLogRecord({"msg": "epoch 1"}))

    assert text_of(captured) == "epoch 1\n"


@on_a_screen
def test_after_the_last_run_the_streams_are_exactly_what_they_were(screen: Screen) -> None:
    before = dict(vars(screen))
    with capturing():
        with capturing():
            pass
        assert vars(screen) != before

    assert vars(screen) == before
    assert sys.stdout is screen


@on_a_screen
def test_every_live_run_gets_what_is_printed(screen: Screen) -> None:
    with capturing() as outer:
        print("one")
        with capturing() as inner:
            print("two")
        print("three")

    assert text_of(outer) == "one\ntwo\nthree\n"
    assert text_of(inner) == "two\n"


@on_a_screen
def test_a_sink_that_fails_or_prints_disturbs_nobody(screen: Screen) -> None:
    def bad_sink(stream: str, text: str) -> None:
        print("[sink]", end="")
        raise RuntimeError

    with capturing() as captured:
        console.capture(bad_sink)
        print("hello", end="")
        console.release(bad_sink)

    assert screen.seen() == "hello[sink]"
    assert text_of(captured) == "hello"


@on_a_screen
def test_a_write_that_fails_fails_as_before_and_is_not_captured(screen: Screen) -> None:
    screen.reconfigure(encoding="ascii")
    with capturing() as captured:
        with pytest.raises(TypeError):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]
        with pytest.raises(UnicodeEncodeError):
            print("ü", end="")

    assert captured == []


@on_a_screen
def test_bytes_written_to_the_buffer_are_captured_once_and_in_order(screen: Screen) -> None:
    with capturing() as lines:
        print("text")
        screen.buffer.write(b"bytes\n")
        screen.buffer.write("é".encode()[:1])
        screen.buffer.write("é".encode()[1:])
        print("pending", end="")
        screen.flush()
        print("more", flush=True)
        screen.reconfigure(line_buffering=True)
        print("last")
        screen.buffer.write(b"\0binary")
    assert "".join(text for _, text in lines) == "text\nbytes\népendingmore\nlast\n"
    assert screen.seen() == "text\nbytes\népendingmore\nlast\n\0binary"


@on_a_screen
def test_after_the_last_run_buffer_and_flush_are_what_they_were(screen: Screen) -> None:
    with capturing():
        assert "write" in screen.buffer.__dict__
    assert screen.buffer.__dict__ == {}
    assert not {"write", "flush"} & set(screen.__dict__)


@on_a_screen
def test_a_lone_surrogate_is_captured_as_a_question_mark(screen: Screen) -> None:
    screen.reconfigure(errors="surrogateescape")

    with capturing() as captured:
        print("file\udcff", end="")

    assert screen.bytes.getvalue() == b"file\xff"
    assert text_of(captured) == "file?"


@on_a_screen
def test_a_very_long_text_comes_in_parts(screen: Screen) -> None:
    with capturing() as captured:
        print("x" * 3_000_000, end="")

    assert text_of(captured) == screen.seen()
    assert max(len(text) for _, text in captured) <= 1 << 20


@on_a_screen
def test_who_wrapped_the_stream_before_us_is_served_and_restored(screen: Screen) -> None:
    plain, seen = screen.write, []

    def theirs(text: str) -> int:
        seen.append(text)
        return plain(text)

    screen.write = theirs  # type: ignore[method-assign]
    with capturing() as captured:
        sys.stdout.write("x")

    assert seen == ["x"]
    assert text_of(captured) == "x"
    assert vars(screen)["write"] is theirs


@on_a_screen
def test_who_wraps_the_stream_after_us_keeps_his_wrapper_and_nothing_is_captured_twice(
    screen: Screen,
) -> None:
    with capturing() as first:
        ours = screen.write

        def theirs(text: str) -> int:
            return ours(text.upper())

        screen.write = theirs  # type: ignore[method-assign]
    print("between")
    assert vars(screen)["write"] is theirs

    with capturing() as second:
        print("once", end="")

    assert first == []
    assert text_of(second) == "ONCE"
    assert screen.seen() == "BETWEEN\nONCE"


@on_a_screen
def test_an_overlay_that_somebody_took_off_is_laid_again(screen: Screen) -> None:
    with capturing():
        del screen.write

    with capturing() as captured:
        print("again", end="")

    assert text_of(captured) == "again"


class SlottedStream:
    """A stream that takes no attribute."""

    __slots__ = ("texts",)

    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        self.texts.append(text)
        return len(text)

    def flush(self) -> None:
        self.texts.append("<flushed>")


def test_a_stream_that_takes_no_attribute_is_captured_through_a_stand_in() -> None:
    stream = SlottedStream()
    with on(stream):
        with capturing() as captured:
            print("x", flush=True)
            sys.stdout.writelines(["y"])
        stream_after: object = sys.stdout

    assert stream.texts == ["x", "\n", "<flushed>", "y"]
    assert text_of(captured) == "x\ny"
    assert stream_after is stream


def test_a_program_without_streams_runs_as_before() -> None:
    with on(None), capturing() as captured:
        print("into the void")

    assert captured == []


@on_a_screen
def test_threads_lose_no_line(screen: Screen) -> None:
    def work(name: int) -> None:
        for i in range(500):
            sys.stdout.write(f"{name}:{i}\n")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    with capturing() as captured:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    lines = text_of(captured).splitlines()
    for n in range(4):
        assert [line for line in lines if line.startswith(f"{n}:")] == [f"{n}:{i}" for i in range(500)]


CHILD = """
import os, sys
from epochal.sdk import console
captured = []
console.capture(lambda stream, text: captured.append(text))
print("parent", flush=True)
pid = os.fork()
if pid == 0:
    print("child", flush=True)
    os._exit(0 if captured == ["parent", "\\n"] else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_forked_child_prints_and_captures_nothing_into_its_parent_s_runs() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "parent\nchild\n")
