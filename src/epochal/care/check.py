"""Is a data folder sound?  Every file of it, and whether the files agree about the runs.

It only reads, beside a running server or without one.  What is being written while it looks is looked at
again rather than reported.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from epochal.errors import DamagedStoreError, DataFolderError, UsageError
from epochal.ids import RunId
from epochal.store.metadata.reading import KnownProject, KnownRun, MetadataReader
from epochal.store.metrics.embedded.check import Problem, check_file, open_to_read, rows_of

# A running server may be between its two files; what is still wrong after so many looks is wrong.
_LOOKS = 3


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one file."""

    file: str  # relative to the data folder
    project: str | None = None  # entity/name
    n_bytes: int
    problems: list[Problem]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a data folder."""

    folder: str
    n_runs: int
    files: list[FileReport]

    @property
    def n_problems(self) -> int:
        """How many things are not as they must be."""
        return sum(len(file.problems) for file in self.files)


class Progress(msgspec.Struct, frozen=True):
    """Where a check is."""

    file: str
    n_done: int  # bytes of its file that were looked at
    n_bytes: int  # of its file


def check_folder(
    folder: Path,
    *,
    project: str | None = None,
    run: str | None = None,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Report:
    """Look at everything in the data folder `folder`.

    Args:
        folder: of a server, running or not.
        project: only this one, `entity/name` or its name.
        run: only the run with this id.
        tell: is given how far it is.

    Raises:
        DataFolderError: there is no data folder, or a newer version wrote it.
        UsageError: there is no such project.
    """
    metadata_path = folder / "metadata.db"
    if not metadata_path.is_file():
        raise DataFolderError(f"{folder} is no data folder of Epochal: it has no metadata.db.")
    reader = MetadataReader(metadata_path)
    files = []
    if project is None and run is None:
        problems = [Problem(kind="metadata", what=what) for what in reader.problems()]
        files.append(FileReport(file="metadata.db", n_bytes=_size(metadata_path), problems=problems))
    if not reader.is_current:
        what = "it is of an older version, and will be upgraded when the server opens it"
        files.append(FileReport(file="metadata.db", n_bytes=0, problems=[Problem(kind="version", what=what)]))
        return Report(folder=str(folder), n_runs=0, files=files)
    n_runs = 0
    for known in named_projects(reader, project):
        check = _ProjectCheck(reader, folder, known, run, tell)
        files.append(check.report())
        n_runs += check.n_runs
    if project is None and run is None:
        files += _unknown_files(reader, folder)
    return Report(folder=str(folder), n_runs=n_runs, files=files)


def named_projects(reader: MetadataReader, project: str | None) -> list[KnownProject]:
    """Return the projects that `project` names, all for None.

    Raises:
        UsageError: there is none.
    """
    every = reader.projects()
    if project is None:
        return every
    found = [known for known in every if project in (known.name, f"{known.entity}/{known.name}")]
    if not found:
        raise UsageError(f"There is no project {project!r} in this data folder.")
    return found


class _ProjectCheck:
    def __init__(
        self,
        reader: MetadataReader,
        folder: Path,
        project: KnownProject,
        run: str | None,
        tell: Callable[[Progress], None],
    ) -> None:
        self._reader, self._project, self._run, self._tell = reader, project, run, tell
        self._name = f"projects/{project.store_file}"
        self._path = folder / self._name
        self.n_runs = 0

    def report(self) -> FileReport:
        problems = list(self._problems())
        name = f"{self._project.entity}/{self._project.name}"
        return FileReport(file=self._name, project=name, n_bytes=_size(self._path), problems=problems)

    def _problems(self) -> Iterator[Problem]:
        runs = self._reader.runs(self._project.key)
        wanted = None if self._run is None else [self._run]
        self.n_runs = len(runs) if wanted is None else sum(run in runs for run in wanted)
        if not self._path.is_file():
            if any(run.n_rows for run in runs.values()):
                yield Problem(kind="file", what="it is missing, and its project has rows")
            return
        n_done, n_bytes = 0, _size(self._path)

        def tell(n: int) -> None:
            nonlocal n_done
            n_done += n
            self._tell(Progress(self._name, min(n_done, n_bytes), n_bytes))

        is_readable = True
        for problem in check_file(self._path, wanted, tell):
            is_readable = is_readable and problem.kind not in ("file", "version")
            yield problem
        if is_readable:
            yield from self._disagreements(runs)

    def _disagreements(self, runs: dict[str, KnownRun]) -> Iterator[Problem]:
        stored = stored_offsets(self._path)
        for run_id in [self._run] if self._run is not None else sorted(runs.keys() | stored.keys()):
            for _ in range(_LOOKS):
                what = self._disagreement(run_id)
                if what is None:
                    break
            else:
                yield Problem(kind="metadata", run=run_id, what=what or "")

    def _disagreement(self, run_id: str) -> str | None:
        """Return how the metadata and the metric store disagree about a run; None if they do not."""
        known = self._reader.runs(self._project.key).get(run_id)
        stored = stored_offsets(self._path, run_id).get(run_id)
        if known is None:
            return None if stored is None else "its history is there, and the metadata does not know it"
        ahead = [w for w, offset in known.offsets.items() if offset > (stored or {}).get(w, 0)]
        if ahead:
            return f"the metadata has rows of {ahead[0]} that its history does not have"
        if stored is None or {w: offset for w, offset in known.offsets.items() if offset} != stored:
            return None  # What the metadata lacks is applied when the server starts, or just now.
        return self._wrong_count(run_id, known)

    def _wrong_count(self, run_id: str, known: KnownRun) -> str | None:
        try:
            n_rows, last_step = rows_of(self._path, RunId(run_id))
        except (DamagedStoreError, sqlite3.Error):
            return None  # It was said of the history already.
        if (n_rows, last_step) == (known.n_rows, known.last_step) or (
            known.n_losses and n_rows <= known.n_rows
        ):
            return None
        return (
            f"the metadata says {known.n_rows} rows up to step {known.last_step}, "
            f"and there are {n_rows} up to {last_step}"
        )


def stored_offsets(path: Path, run_id: str | None = None) -> dict[str, dict[str, int]]:
    """Return up to where a metric store's file has each writer of each run, or of one run."""
    found: dict[str, dict[str, int]] = {}
    with closing(open_to_read(path)) as connection:
        for run, writer, offset in connection.execute(
            "SELECT run_id, writer, end_offset FROM runs LEFT JOIN writers USING (run_no) "
            "WHERE run_id IS NOT NULL AND run_id = ifnull(?, run_id)",
            (run_id,),
        ):
            offsets = found.setdefault(run, {})
            if writer is not None:
                offsets[writer] = offset
    return found


def _unknown_files(reader: MetadataReader, folder: Path) -> Iterator[FileReport]:
    known = {project.store_file for project in reader.projects()}
    for path in sorted((folder / "projects").glob("*.db")):
        if path.name not in known:
            problem = Problem(kind="orphan", what="no project has this file")
            yield FileReport(file=f"projects/{path.name}", n_bytes=_size(path), problems=[problem])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
