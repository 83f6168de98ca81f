"""What `epochal sync` shows: one line while it sends, and a few at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from epochal.upload.outgoing_folder import OutgoingFolder
    from epochal.upload.sync import RunReport

MAX_LINES = 20
_WIDTH = 20


class Bar:
    """One line that is written over and over, where somebody sees it.

    Args:
        stream: of a terminal; nothing is written to anything else.
        folders: that are being sent.
        is_wanted: whether anything is to be shown.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        stream: TextIO,
        folders: Sequence[OutgoingFolder],
        *,
        is_wanted: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._folders = folders
        self._is_seen = is_wanted and stream.isatty()
        self._clock = clock
        self._began = clock()
        self._sizes = {id(f): _n_bytes(f) for f in folders} if self._is_seen else {}
        self._n_shown = 0

    def show(self, trouble: str | None) -> None:
        """Show where it is; `trouble` is why the server takes nothing now."""
        if not self._is_seen:
            return
        text = self.text(trouble)
        self._stream.write(f"\r{text:{self._n_shown}}")
        self._stream.flush()
        self._n_shown = len(text)

    def text(self, trouble: str | None) -> str:
        """Return the line."""
        total = sum(self._sizes.values())
        left = sum(_left(f, self._sizes[id(f)]) for f in self._folders)
        sent = sum(log.n_sent_bytes for f in self._folders for log in list(f.logs))
        rows = sum(log.n_rows for f in self._folders for log in list(f.logs))
        took_s = max(1e-3, self._clock() - self._began)
        share = 1.0 - left / total if total else 1.0
        parts = [
            f"[{'#' * round(_WIDTH * share):{_WIDTH}}] {share:4.0%}",
            f"{rows:,} rows",
            f"{size(sent)} at {size(sent / took_s)}/s",
        ]
        if sent and left:
            parts.append(f"{duration(left / (sent / took_s))} left")
        if trouble:
            parts.append(f"waiting: {trouble}")
        return "  ".join(parts)

    def clear(self) -> None:
        """Take the line away."""
        if self._n_shown:
            self._stream.write(f"\r{' ' * self._n_shown}\r")
            self._stream.flush()
            self._n_shown = 0


def report_lines(
    server: str, reports: Sequence[RunReport], n_deleted: int, n_deleted_bytes: int, *, is_quiet: bool
) -> list[str]:
    """Return what is said at the end: the sum, and every loss and every run that is left."""
    lines = []
    if not is_quiet:
        rows, sent = sum(r.n_rows for r in reports), sum(r.n_bytes for r in reports)
        n_new = sum(1 for r in reports if r.n_bytes)
        runs = f"{n_new} run{'s' if n_new != 1 else ''}"
        lines.append(
            f"{rows:,} rows of {runs} sent to {server} ({size(sent)} of run logs)."
            if n_new
            else f"Nothing new for {server}."
        )
    troubles = [line for report in reports for line in _trouble_lines(report)]
    lines += troubles[:MAX_LINES]
    if len(troubles) > MAX_LINES:
        lines.append(f"… and {len(troubles) - MAX_LINES} more; --json lists them all.")
    n_left = sum(1 for r in reports if r.n_left_bytes)
    if n_left:
        lines.append(f"{n_left} run{'s are' if n_left > 1 else ' is'} not all there yet: run this again.")
    if n_deleted:
        lines.append(f"{n_deleted} local run folders deleted ({size(n_deleted_bytes)}).")
    return lines


def _trouble_lines(report: RunReport) -> list[str]:
    lines = [f"{report.folder}/{x.file}: {x.n_bytes} bytes at {x.offset} lost: {x.why}" for x in report.lost]
    if report.why_left:
        left = f"{size(report.n_left_bytes)} not sent: " if report.n_left_bytes else ""
        lines.append(f"{report.folder}: {left}{report.why_left}")
    if report.n_torn_bytes:
        torn = f"{report.n_torn_bytes} bytes at the end are no whole record"
        lines.append(f"{report.folder}: {torn}: of a process that was killed, or still writes")
    return lines


def size(n_bytes: float) -> str:
    """Return a number of bytes with a unit."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes:.0f} bytes"


def duration(seconds: float) -> str:
    """Return a duration as minutes and seconds, or hours and minutes."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60}:{whole % 60:02} min"


def _n_bytes(folder: OutgoingFolder) -> int:
    folder.look_quietly()
    return sum(log.size for log in folder.logs)


def _left(folder: OutgoingFolder, size_bytes: int) -> int:
    """Bytes that are not sent yet: all of it for a run that the server was not asked about."""
    logs = list(folder.logs)
    done = sum(log.size if log.why_stopped else min(log.size, log.offset or 0) for log in logs)
    return max(0, size_bytes - done) if any(log.has_more for log in logs) else 0
