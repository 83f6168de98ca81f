"""Copies what the program prints to its live runs, and leaves the terminal alone.

`sys.stdout` and `sys.stderr` stay the user's objects: `isatty`, `fileno`, encoding and identity are the
same, and everybody who holds a reference (a logging handler, tqdm) is captured too.  Only their methods
`write` and `flush` are overlaid, on the instance, and `write` of their buffer, which programs write bytes to;
`writelines` and `print` go through these.  What the terminal gets is what the originals did, before
anything of ours.

Not seen: output of C code and of other programs; see epochal.sdk.console_files.  In a forked child the
overlay passes everything on and records nothing.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO, cast

from epochal.sdk import sidecar_process

# Called with "stdout" or "stderr" and the text as it was written.
Sink = Callable[[str, str], object]

_MAX_TEXT = 1 << 20  # characters per record; longer text is split

_sinks: tuple[Sink, ...] = ()  # replaced, never changed, so that writers need no lock
_overlays: list[_Overlay] = []
_lock = threading.Lock()
_forgets_in_children = False


def capture(sink: Sink) -> None:
    """Call `sink(stream, text)` after each write to standard output or error, until `release(sink)`.

    Text goes to every sink that is captured to, from the thread that writes it.  What `sink` raises is
    dropped, and what it prints itself is not captured.
    """
    global _sinks, _forgets_in_children
    with _lock:
        if not _forgets_in_children:
            _forgets_in_children = True
            os.register_at_fork(after_in_child=_in_child)
        if sink not in _sinks:
            _sinks = (*_sinks, sink)
        for name in ("stdout", "stderr"):
            _lay_over(name)


def release(sink: Sink) -> None:
    """Stop calling `sink`; with the last one the streams are exactly what they were."""
    global _sinks
    with _lock:
        _sinks = tuple(s for s in _sinks if s != sink)
        if not _sinks:
            _overlays[:] = [overlay for overlay in _overlays if not overlay.remove()]


class _Overlay:
    """Our `write` over that of one stream."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name = name
        self.stream = stream
        self.had_own = "write" in getattr(stream, "__dict__", {})  # somebody else's, from before us
        self.own_flush = getattr(stream, "__dict__", {}).get("flush")
        self.original = stream.write
        self.proxy: _Proxy | None = None
        original, feed, guard = self.original, _feed, _guard
        original_flush = getattr(stream, "flush", _nothing)

        def write(text: str, /) -> int:
            # What the stream hands on to its buffer meanwhile is text that is captured here.
            guard.n_texts += 1
            try:
                n = original(text)
            finally:
                guard.n_texts -= 1
            if _sinks:
                feed(name, text)
            return n

        def flush() -> None:
            guard.n_texts += 1
            try:
                original_flush()
            finally:
                guard.n_texts -= 1

        self.write = write
        self.flush = flush
        self.bytes = _BytesOverlay(name, stream)

    def install(self) -> None:
        try:
            self.stream.write = self.write  # type: ignore[method-assign]
            self.stream.flush = self.flush  # type: ignore[method-assign]
            self.bytes.install()
        except (AttributeError, TypeError):
            # A stream without room for an attribute of its own.
            self.proxy = _Proxy(self.stream, self.write)
            setattr(sys, self.name, self.proxy)

    def is_there(self) -> bool:
        """Tell whether it may still be on its stream; somebody may have taken every overlay off."""
        return self.proxy is not None or "write" in self.stream.__dict__

    def remove(self) -> bool:
        """Take the overlay off; return False if somebody laid theirs over it, so that it has to stay.

        One that stays passes everything on, and is used again by the next capture.
        """
        if self.proxy is not None:
            if getattr(sys, self.name) is not self.proxy:
                return False
            setattr(sys, self.name, self.stream)
            return True
        if self.is_there():
            if self.stream.__dict__["write"] is not self.write:
                return False
            self._put_back("write", self.write, self.original if self.had_own else None)
        self._put_back("flush", self.flush, self.own_flush)
        self.bytes.remove()
        return True

    def _put_back(self, method: str, ours: object, before: object) -> None:
        attributes = self.stream.__dict__
        if attributes.get(method) is ours:
            if before is None:
                del attributes[method]
            else:
                attributes[method] = before


class _BytesOverlay:
    """Our `write` over that of a stream's buffer, for bytes that come to it past the stream."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.buffer: Any = getattr(stream, "buffer", None)
        self.is_there = False
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two writes
        original, feed, guard = getattr(self.buffer, "write", None), _feed, _guard

        def write(data: Any, /) -> Any:  # noqa: ANN401 - whatever has bytes
            n = original(data)  # type: ignore[misc]
            if _sinks and not guard.n_texts:
                with contextlib.suppress(Exception):
                    content = bytes(data)
                    if 0 not in content:  # else it is no text, but data for another program
                        feed(name, decoder.decode(content))
            return n

        self.write = write

    def install(self) -> None:
        attributes = getattr(self.buffer, "__dict__", None)
        if attributes is not None and "write" not in attributes:  # else it is somebody else's by now
            with contextlib.suppress(AttributeError, TypeError):
                self.buffer.write = self.write
                self.is_there = True

    def remove(self) -> None:
        if self.is_there and self.buffer.__dict__.get("write") is self.write:
            del self.buffer.__dict__["write"]
        self.is_there = False


class _Proxy:
    """A stream whose `write` is ours and everything else the user's."""

    def __init__(self, stream: TextIO, write: Callable[[str], int]) -> None:
        self._stream = stream
        self.write = write

    def writelines(self, lines: Any) -> None:  # noqa: ANN401 - whatever the stream takes
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)

    def __iter__(self) -> Any:  # noqa: ANN401
        return iter(self._stream)

    def __enter__(self) -> _Proxy:
        self._stream.__enter__()
        return self

    def __exit__(self, *args: Any) -> None:  # noqa: ANN401
        self._stream.__exit__(*args)


class _Guard(threading.local):
    inside = False  # a sink of this thread is running: what it prints is not captured
    n_texts = 0  # writes and flushes of text streams that this thread is in the middle of


_guard = _Guard()


def _feed(name: str, text: str) -> None:
    """Give `text` to every sink; never raises, whatever they do."""
    if _guard.inside:
        return
    _guard.inside = True
    try:
        for part in _parts(text):
            for sink in _sinks:
                sink(name, part)
        sidecar_process.check()
    except Exception:  # noqa: BLE001, S110 - printing must go on; a note about it would print again
        pass
    finally:
        _guard.inside = False


def _parts(text: str) -> tuple[str, ...]:
    """Return `text` in pieces that a record takes: not too long, and without lone surrogates."""
    if not text:
        return ()
    text = str.__str__(text)  # of a subclass, the plain text
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) <= _MAX_TEXT:
        return (text,)
    return tuple(text[i : i + _MAX_TEXT] for i in range(0, len(text), _MAX_TEXT))


def _nothing() -> None:
    """Flush a stream that has no flush."""


def _lay_over(name: str) -> None:
    stream = cast("TextIO | None", getattr(sys, name, None))
    if stream is None or not callable(getattr(stream, "write", None)) or _is_covered(stream):
        return
    overlay = _Overlay(name, stream)
    overlay.install()
    _overlays.append(overlay)


def _is_covered(stream: object) -> bool:
    """Tell whether one of our overlays is on `stream`, on top or under somebody else's."""
    return any(stream is o.proxy or (stream is o.stream and o.is_there()) for o in _overlays)


def _in_child() -> None:
    global _sinks, _lock
    _sinks = ()
    _lock = threading.Lock()
    _guard.inside = False
