"""Sets a data folder right: every file of it, then what the files say of each other.

What was lost is put on record with its run, where people see it, before anything is removed.  A run whose
run logs are still here, whole, is not patched but taken in again from them when the server starts.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from epochal.care.check import named_projects, stored_offsets
from epochal.errors import DataFolderError, RunLogError
from epochal.ids import RunId, WriterId
from epochal.runlog.folder import SUFFIX, sessions_of
from epochal.runlog.reader import read_all
from epochal.store.metadata import LossRecord, Metadata
from epochal.store.metadata.reading import KnownProject, KnownRun, MetadataReader
from epochal.store.metadata.rewinding import DAMAGED, begin_again, go_back, set_counts
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.check import check_file, rows_of
from epochal.store.metrics.embedded.repair import Aside, LostBlock, repair_file
from epochal.store.metrics.embedded.repair_series import Lost
from epochal.store.metrics.embedded.salvage import salvage

STORE = WriterId("store")  # who lost what no run log tells of


def repair_folder(
    folder: Path, *, runs_folders: Iterable[Path], stamp: str, project: str | None = None
) -> list[str]:
    """Repair what can be repaired in the data folder `folder`; return what was done, a sentence each.

    Nobody else may have the folder open.  Nothing is done to what is sound, so a second time does nothing.

    Args:
        folder: of a server that does not run.
        runs_folders: where run logs of this machine are.
        stamp: begins the names of the files in `folder/repaired` that keep what is removed.
        project: only this one, `entity/name` or its name.

    Raises:
        DataFolderError: there is no data folder, or its metadata cannot be read.
        DiskFullError: there is no room; what was done is sound.
    """
    path = folder / "metadata.db"
    if not path.is_file():
        raise DataFolderError(f"{folder} is no data folder of Epochal: it has no metadata.db.")
    metadata = Metadata(path)
    try:
        reader = MetadataReader(path)
        done: list[str] = []
        for known in named_projects(reader, project):
            repair = _ProjectRepair(folder, metadata, reader, known, list(runs_folders), stamp)
            done += [f"{known.entity}/{known.name}: {what}" for what in repair.repair()]
        return done
    finally:
        metadata.close()


class _ProjectRepair:
    def __init__(
        self,
        folder: Path,
        metadata: Metadata,
        reader: MetadataReader,
        project: KnownProject,
        runs_folders: Sequence[Path],
        stamp: str,
    ) -> None:
        self._metadata, self._reader, self._project = metadata, reader, project
        self._runs_folders = runs_folders
        self._path = folder / "projects" / project.store_file
        self._aside = folder / "repaired" / f"{stamp}-{project.store_file}"
        self._losing: set[RunId] = set()

    def repair(self) -> Iterator[str]:
        """Do it; yield what was done."""
        yield from self._make_readable()
        aside = Aside(self._aside.with_suffix(".removed.db"))
        runs = self._reader.runs(self._project.key)
        yield from repair_file(self._path, aside, lambda run, lost: self._lose(runs.get(run), run, lost))
        for run_id, run in runs.items():
            yield from self._agree(RunId(run_id), run)

    def _make_readable(self) -> Iterator[str]:
        """Make sure that SQLite can read all of the file, and that it is of this version."""
        is_there = self._path.is_file()
        if is_there and any(p.kind == "file" and p.run is None for p in check_file(self._path)):
            yield from salvage(self._path, self._aside.with_suffix(".damaged.db"))
        EmbeddedMetricStore(self._path, background=False).close()

    def _lose(self, run: KnownRun | None, run_id: RunId, lost: Lost | LostBlock) -> None:
        self._losing.add(run_id)
        if run is None:
            return
        with self._metadata.write() as connection:
            self._metadata.losses.add(connection, [(run.key, _record(lost))])

    def _agree(self, run_id: RunId, run: KnownRun) -> Iterator[str]:
        """Bring what the metadata says of a run and its history together."""
        stored = stored_offsets(self._path, run_id).get(run_id, {})
        is_behind = any(offset > stored.get(writer, 0) for writer, offset in run.offsets.items())
        if (is_behind or run_id in self._losing) and self._has_run_logs(run_id, run):
            with _opened(self._path) as store:
                store.delete_run(run_id)
            with self._metadata.write() as connection:
                begin_again(connection, run.key)
            yield f"run {run_id}: it will be taken in again from its run logs when the server starts"
            return
        if is_behind:
            with self._metadata.write() as connection:
                self._metadata.losses.add(connection, self._behind(run, stored))
                go_back(connection, run.key, stored)
            yield f"run {run_id}: the metadata now agrees with its history; what was between them is lost"
        yield from self._count(run_id)

    def _behind(self, run: KnownRun, stored: dict[str, int]) -> list[tuple[int, LossRecord]]:
        return [
            (run.key, LossRecord(WriterId(writer), at, offset - at, DAMAGED))
            for writer, offset in run.offsets.items()
            if offset > (at := stored.get(writer, 0))
        ]

    def _count(self, run_id: RunId) -> Iterator[str]:
        run = self._reader.runs(self._project.key)[run_id]
        stored = stored_offsets(self._path, run_id).get(run_id, {})
        if {w: offset for w, offset in run.offsets.items() if offset} != stored:
            return  # Ingest catches up when the server starts.
        n_rows, last_step = rows_of(self._path, run_id)
        is_less = run.n_losses and n_rows <= run.n_rows
        if (n_rows, last_step) != (run.n_rows, run.last_step) and not is_less:
            with self._metadata.write() as connection:
                set_counts(connection, run.key, n_rows=n_rows, last_step=last_step)
            yield f"run {run_id}: its rows were counted anew"

    def _has_run_logs(self, run_id: RunId, run: KnownRun) -> bool:
        """Return whether every byte that was taken in is still in run logs here, and sound."""
        paths = {
            path.stem: path
            for folder in self._runs_folders
            for session in sessions_of(folder, run_id)
            for path in session.glob(f"*{SUFFIX}")
        }
        return all(
            writer in paths and _is_whole(paths[writer], offset)
            for writer, offset in run.offsets.items()
            if offset
        )


@contextmanager
def _opened(path: Path) -> Iterator[EmbeddedMetricStore]:
    store = EmbeddedMetricStore(path, background=False)
    try:
        yield store
        store.compact()
    finally:
        store.close()


def _is_whole(path: Path, offset: int) -> bool:
    try:
        if path.stat().st_size < offset:
            return False
        _, report = read_all(path)
    except (OSError, RunLogError):
        return False
    return not report.losses


def _record(lost: Lost | LostBlock) -> LossRecord:
    if isinstance(lost, LostBlock):
        return LossRecord(lost.writer, lost.offset, lost.n_bytes, DAMAGED)
    where = "" if lost.first_step is None else f" from step {lost.first_step} to {lost.last_step}"
    of = f"of {lost.key!r}" if lost.key else "of the rows"
    reason = f"{lost.n_points} points {of} ({lost.stream}){where} were {DAMAGED}"
    # There is no offset that they had; a number made of what they are is the same whenever it is told.
    return LossRecord(STORE, zlib.crc32(reason.encode()), 8 * lost.n_points, reason)
