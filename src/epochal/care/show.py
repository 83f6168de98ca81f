"""What the command line shows of a look after a data folder."""

from __future__ import annotations

from typing import TextIO

from epochal.care.check import Progress, Report

_MAX_PROBLEMS_SHOWN = 50  # of one file; --json has all


def check_lines(report: Report) -> list[str]:
    """Return what a check found, as lines."""
    n_bytes = sum(file.n_bytes for file in report.files)
    n_projects = sum(file.project is not None for file in report.files)
    lines = [
        f"{report.folder}: {_n(n_projects, 'project')}, {_n(report.n_runs, 'run')}, "
        f"{readable_bytes(n_bytes)} looked at"
    ]
    for file in report.files:
        if file.problems:
            lines.append(f"{file.file}{f' ({file.project})' if file.project else ''}")
        for problem in file.problems[:_MAX_PROBLEMS_SHOWN]:
            lines.append(f"  {f'run {problem.run}: ' if problem.run else ''}{problem.what}")
        if len(file.problems) > _MAX_PROBLEMS_SHOWN:
            lines.append(f"  and {len(file.problems) - _MAX_PROBLEMS_SHOWN} more; --json has them all")
    if not report.n_problems:
        return [*lines, "All is sound."]
    return [
        *lines,
        f"{_n(report.n_problems, 'problem')}. "
        "With the server stopped, `epochal store repair` mends what can be mended.",
    ]


def _n(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def readable_bytes(n: float) -> str:
    """Return `n` bytes for a person: 12.3 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


class Bar:
    """One line that is written over and over, where somebody sees it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_seen = stream.isatty()
        self._shown = ""

    def show(self, progress: Progress) -> None:
        """Show where it is."""
        share = progress.n_done / max(1, progress.n_bytes)
        text = f"{progress.file}  [{'#' * round(20 * share):20}] {share:4.0%}"
        if self._is_seen and text != self._shown:
            self._stream.write(f"\r{text}")
            self._stream.flush()
            self._shown = text

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write(f"\r{' ' * len(self._shown)}\r")
