"""The hot path: one call of `log()`.

Encode the row, hand it to the run log's writer, count the step.  Everything that is not a plain dict of
plain values leaves this path early and costs what it costs; a plain one is never looked at value by value.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from time import time
from typing import TYPE_CHECKING

from epochal.runlog.format import RecordType
from epochal.sdk import steps
from epochal.sdk.limits import MAX_ROW_BYTES, MAX_VALUE_BYTES
from epochal.sdk.terminal import terminal
from epochal.sdk.values import encode

if TYPE_CHECKING:
    from epochal.sdk.device import Resolver
    from epochal.sdk.media.base import MediaFolder, StoredMedia
    from epochal.sdk.row import RowParts
    from epochal.sdk.step_sync import StepSync

_ROW = int(RecordType.ROW)
_UNPLACED_ROW = int(RecordType.UNPLACED_ROW)

_HAS_GLOBAL_LOCK = bool(getattr(sys, "_is_gil_enabled", lambda: True)())

Append = Callable[[bytes], None]


class RowLog:
    """Gives rows their steps and writes them through `append`.

    Args:
        append: writes one encoded record; never blocks for long and never raises.
        first_step: of the next row.
        is_placed: whether this writer counts the run's steps.  Another writer of the run numbers its
            rows, and the run's next free step is found when they are read.
        media: writes the files of media values.
    """

    def __init__(self, append: Append, *, first_step: int, is_placed: bool, media: MediaFolder) -> None:
        self._append = append
        self._kind = _ROW if is_placed else _UNPLACED_ROW
        self._step = first_step
        self._open_at = -1  # the newest step of a row that was left open
        self._named = -1  # of a writer that does not count steps: the highest that a caller named
        # Held for the counting only.  Re-entrant, because a signal handler may log in the middle of it.
        self._lock = threading.RLock()
        self._sync: StepSync | None = None  # once a metric has a step metric
        self._media = media
        self._resolver: Resolver | None = None
        self._is_finished = False

    def log(
        self,
        data: Mapping[str, object],
        step: int | None = None,
        commit: bool | None = None,
        sync: bool | None = None,
    ) -> None:
        """Log a row: metrics, media and other values by key.

        When this returns, the row is in the operating system's hands and survives the end of this process.
        A value on an accelerator is written when it is known; nothing waits for it.

        Args:
            data: values by key; nested dicts become keys with dots.  What nothing can store becomes text.
            step: of the row; the current step if None.  Any order is accepted: a row is never refused for its
                step, and the last value logged for a key and a step counts.
            commit: False leaves the row open for the next call; True ends it.  None ends it unless
                `step` is given.
            sync: accepted from old scripts.

        Raises:
            TypeError: `data` is not a mapping, or `step` is not an integer.
            UsageError: the run is finished.
        """
        if step is not None or commit is False or type(data) is not dict or not _HAS_GLOBAL_LOCK:
            self._log_any(data, step, commit)
            return
        if self._sync is not None:
            data = self._sync.fill(data)
        # No lock: with its global lock CPython changes threads and runs signal handlers at calls and backward
        # jumps only, and there is none here.  A lock costs a tenth of the whole call.
        at = self._step
        self._step = at + 1
        now = time()
        try:
            payload = encode((self._kind, now, at, data))
        except Exception:  # noqa: BLE001  whatever a value raises, the slow way stores the others
            self._log_slowly(self._kind, now, at, data)
            return
        if len(payload) > MAX_VALUE_BYTES:
            self._append_large(self._kind, now, at, data)
            return
        self._append(payload)

    def _log_any(self, data: Mapping[str, object], step: object, commit: bool | None) -> None:
        if not isinstance(data, Mapping):
            raise TypeError(f"log() takes a dict of values by key, not {type(data).__name__}")
        kind, at, is_late = self._kind, -1, False
        wanted = None if step is None else steps.as_step(step)
        if wanted is not None and wanted < 0:
            terminal.warn_once(
                "negative step",
                f"A row with the step {wanted} is not stored: steps begin at 0. It is said once.",
            )
            return
        with self._lock:
            if wanted is not None and kind == _UNPLACED_ROW:
                # Another writer's counter numbers rows, not steps; a step that is named needs neither.
                kind, at = _ROW, wanted
                self._named = max(self._named, wanted)
            else:
                is_late = wanted is not None and wanted < self._step
                at = self._place(wanted, commit)
        # A row of the past has its step metrics, or had none: the newest value would move it on their axes.
        if self._sync is not None and not is_late:
            data = self._sync.fill(data)
        now = time()
        try:
            payload = encode((kind, now, at, data))
        except Exception:  # noqa: BLE001  whatever a value raises, the slow way stores the others
            self._log_slowly(kind, now, at, data)
            return
        if len(payload) > MAX_VALUE_BYTES:
            self._append_large(kind, now, at, data)
        else:
            self._append(payload)

    def _place(self, step: int | None, commit: bool | None) -> int:
        """Return the step of a row and move the current one; the lock is held."""
        while True:
            current = self._step
            at, following = steps.place(current, step, commit)
            # The fast way may have counted on meanwhile.  Like there, nothing comes between these two lines.
            if self._step == current:
                self._step = following
                if at == following:
                    self._open_at = at
                return at

    def _rows_so_far(self) -> tuple[int, int]:
        """Return the highest step of a row that this writer wrote, and how many ordinals it gave.

        A step counts from the moment on in which it is taken: no row is written at one that did not.
        """
        n_taken = self._step + (self._open_at == self._step)
        return (n_taken - 1, 0) if self._kind == _ROW else (self._named, n_taken)

    def _log_slowly(self, kind: int, now: float, at: int, data: Mapping[str, object]) -> None:
        """Write a row whose values the encoder does not take as they are."""
        from epochal.sdk import row as slow  # with all it needs, only when it is needed

        try:
            parts = slow.split(data, lambda media, path: self._store(media, path, at))
            slow.warn_about_model(data)
            if parts.host or not parts.late:
                self._append_checked(kind, now, at, parts.host)
            if parts.late:
                self._resolve_later(kind, now, at, parts)
        except Exception as error:  # noqa: BLE001  training goes on
            terminal.internal("storing a row", error)

    def _append_checked(self, kind: int, now: float, at: int, data: Mapping[str, object]) -> None:
        payload = encode((kind, now, at, data))
        if len(payload) > MAX_VALUE_BYTES:
            self._append_large(kind, now, at, data)
        else:
            self._append(payload)

    def _append_large(self, kind: int, now: float, at: int, data: Mapping[str, object]) -> None:
        """Write a row that may hold a value over the limit, or be over the limit itself, without what is."""
        from epochal.sdk.row import fitting

        payload = encode((kind, now, at, fitting(data)))
        if len(payload) > MAX_ROW_BYTES:
            terminal.error_once(
                "row too large",
                f"A call of log() with {len(payload) >> 20} MiB is not stored; one call has at most "
                f"{MAX_ROW_BYTES >> 20} MiB. Your script goes on. Save such data as a file instead.",
            )
            return
        self._append(payload)

    def _resolve_later(self, kind: int, now: float, at: int, parts: RowParts) -> None:
        from epochal.sdk.device import LateRow, Resolver

        if self._resolver is None:
            self._resolver = Resolver()

        def write(data: dict[str, object]) -> None:
            # After finish() gave up on it, the user was told so.
            if not self._is_finished:
                self._append_checked(kind, now, at, data)

        self._resolver.put(LateRow(parts.late, write))

    def _store(self, media: StoredMedia, path: tuple[str, ...], at: int) -> Mapping[str, object]:
        return media.store(self._media, ".".join(path), at)

    def _become_unplaced(self) -> None:
        """In a forked child: number rows from here on, with a lock and a resolver of our own."""
        self._lock = threading.RLock()
        self._resolver = None
        self._kind, self._step = _UNPLACED_ROW, 0
        self._open_at = self._named = -1

    def _wait_for_devices(self, timeout_s: float) -> int:
        """Wait for values on devices; return how many rows still lack one."""
        return 0 if self._resolver is None else self._resolver.wait(timeout_s)
