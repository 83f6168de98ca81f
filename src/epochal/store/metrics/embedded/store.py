"""The embedded metric store: one SQLite file a project.

One process owns the file.  One thread at a time writes, any number read, each a state of its own that no
writer disturbs.  Atomicity, durability and recovery are SQLite's; there is no log of our own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from epochal.errors import UnsupportedError
from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import (
    ColumnType,
    ConsoleLine,
    GroupAnswer,
    GroupQuery,
    KeyInfo,
    LoggedValue,
    MetricStore,
    Row,
    RowBatch,
    RunCopy,
    RunGoneError,
    SeriesAnswer,
    SeriesQuery,
    Stream,
    ValueSteps,
)
from epochal.store.metrics.embedded.appending import Appender, Incoming, incoming, is_deleted
from epochal.store.metrics.embedded.background import Background
from epochal.store.metrics.embedded.blocks import KeySets, TailBlock
from epochal.store.metrics.embedded.cache import Cache
from epochal.store.metrics.embedded.chunks import ChunkSizes
from epochal.store.metrics.embedded.column_types import column_types
from epochal.store.metrics.embedded.compactor import Compactor
from epochal.store.metrics.embedded.console import read_console
from epochal.store.metrics.embedded.groups import read_groups
from epochal.store.metrics.embedded.history import step_range
from epochal.store.metrics.embedded.key_index import KeyIndex
from epochal.store.metrics.embedded.keys import list_keys
from epochal.store.metrics.embedded.moving import EmbeddedRunCopy
from epochal.store.metrics.embedded.rows import WINDOW_BYTES, scan_batches
from epochal.store.metrics.embedded.schema import open_file
from epochal.store.metrics.embedded.series import read_series
from epochal.store.metrics.embedded.snapshot import Snapshots, read_block
from epochal.store.metrics.embedded.tidying import Tidier
from epochal.store.metrics.embedded.values import ValueReader
from epochal.store.metrics.embedded.writing import FOLD_LOG_BYTES, FileWriter
from epochal.store.metrics.key_names import KeyNames
from epochal.wire.block import Block

_BLOCKS_A_PAGE = 16


class EmbeddedMetricStore:
    """Implements `contract.MetricStore`.

    Args:
        path: of the file, which is created if it is not there; its folder must be.
        background: compact by itself, in a thread that begins with the first need.
        cache: for what was decoded, shared with other stores; None for one of its own.
        sizes: of chunks and buckets; those of a file may change from one opening to the next.
        window_bytes: about what the values of one batch of an exact scan may take in memory.

    Raises:
        NewerDataFolderError: the file was written by a newer version.
        DamagedStoreError: it is not a metric store's file, or damaged.
        DiskFullError: there is no room to make or to upgrade it.
    """

    def __init__(
        self,
        path: Path,
        *,
        background: bool = True,
        cache: Cache | None = None,
        sizes: ChunkSizes | None = None,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        open_file(path)
        self.path = path
        self._window_bytes = window_bytes
        self._cache = (cache or Cache()).part()
        self._key_sets = KeySets()
        self._keys = KeyIndex()
        self._snapshots = Snapshots(path, self._cache, sizes or ChunkSizes(), self._key_sets)
        self._writer = FileWriter(path)
        # An edit holds only for the chunks it was made from, so nobody else may change them meanwhile.
        self._one_compactor = threading.Lock()
        self._releases = threading.Lock()
        self._released: dict[tuple[RunId, WriterId], int] = {}
        # Runs that are being copied from here, of which nothing is compacted, and to here.
        self._leaving: set[int] = set()
        self._arriving: set[int] = set()
        self._tidier = Tidier(self._snapshots, self._writer)
        self._background = Background(self._compact_run, self._tidy) if background else None
        self._compactor = Compactor(self._snapshots, self._writer, self._is_stopped)
        if self._background is not None:
            self._background.add(self._backlog())

    def append(self, blocks: Sequence[Block]) -> None:
        """Store `blocks`; durable on return.  See the contract."""
        ready = [incoming(block) for block in blocks]
        stored: list[tuple[int, int, Incoming]] = []
        with self._writer.now() as connection:
            appender = Appender(connection)
            for new in ready:
                numbers = appender.append(new)
                if numbers is not None:
                    stored.append((*numbers, new))
            appender.save()
        for _, block_no, new in stored:
            self._cache.put(TailBlock, block_no, TailBlock(new.block, self._key_sets), TailBlock.size)
        if self._background is not None:
            self._background.add((no, new.n_values, len(new.block.columns)) for no, _, new in stored)
            if self._writer.log_bytes() > FOLD_LOG_BYTES:
                self._background.tidy_up()

    def end_offset(self, run: RunId, writer: WriterId) -> int:
        """Return the offset at which the writer's next block must begin; 0 before the first."""
        with self._snapshots.open() as snapshot:
            row = snapshot.connection.execute(
                "SELECT end_offset FROM writers JOIN runs USING (run_no) WHERE run_id = ? AND writer = ?",
                (run, writer),
            ).fetchone()
        return 0 if row is None else int(row[0])

    def blocks_from(self, run: RunId, writer: WriterId, offset: int) -> Iterator[Block]:
        """Yield the stored blocks of a writer that begin at `offset` or later, in order."""
        while True:
            with self._snapshots.open() as snapshot:
                bodies = snapshot.connection.execute(
                    "SELECT block_no, body FROM blocks JOIN writers USING (writer_no) "
                    "JOIN runs ON runs.run_no = writers.run_no "
                    "WHERE run_id = ? AND writer = ? AND first_offset >= ? ORDER BY first_offset LIMIT ?",
                    (run, writer, offset, _BLOCKS_A_PAGE),
                ).fetchall()
            for block_no, body in bodies:
                block = read_block(block_no, body)
                yield block
                offset = block.first_offset + 1
            if len(bodies) < _BLOCKS_A_PAGE:
                return

    def release(self, run: RunId, writer: WriterId, offset: int) -> None:
        """Say that nobody will ask `blocks_from` for rows before `offset` again."""
        # Written in the background, which makes use of it: nothing depends on it before.
        with self._releases:
            known = self._released.get((run, writer), 0)
            self._released[run, writer] = max(known, offset)
        if self._background is not None:
            self._background.tidy_up()

    def read_series(self, query: SeriesQuery) -> SeriesAnswer:
        """Return the series of every key of every run of `query`.  See the contract."""
        with self._snapshots.open() as snapshot:
            return read_series(snapshot, query)

    def read_groups(self, query: GroupQuery) -> GroupAnswer:
        """Return every key of every group of `query`.  See the contract."""
        with self._snapshots.open() as snapshot:
            return read_groups(snapshot, query)

    def scan_rows(
        self,
        run: RunId,
        keys: Sequence[str] | None = None,
        *,
        stream: Stream = "history",
        first_step: int | None = None,
        last_step: int | None = None,
    ) -> Iterator[Row]:
        """Yield every row exactly, in step order.  See the contract."""
        for batch in self.scan_batches(run, keys, stream=stream, first_step=first_step, last_step=last_step):
            yield from batch.rows()

    def scan_batches(
        self,
        run: RunId,
        keys: Sequence[str] | None = None,
        *,
        stream: Stream = "history",
        first_step: int | None = None,
        last_step: int | None = None,
    ) -> Iterator[RowBatch]:
        """Yield every row exactly, in batches of bounded memory.  See the contract."""
        steps = (first_step, last_step)
        return scan_batches(self._snapshots, run, keys, stream, steps, window_bytes=self._window_bytes)

    def column_types(
        self, run: RunId, keys: Sequence[str] | None = None, *, stream: Stream = "history"
    ) -> dict[str, ColumnType]:
        """Return the narrowest type that holds every value of each key.  See the contract."""
        with self._snapshots.open() as snapshot:
            row = snapshot.run(run)
            return {} if row is None else column_types(snapshot, row, keys, stream)

    def value_steps(
        self,
        run: RunId,
        key: str,
        *,
        stream: Stream = "history",
        first_step: int | None = None,
        last_step: int | None = None,
        limit: int = 1000,
    ) -> ValueSteps:
        """Return the first steps at which a key has values that are no numbers.  See the contract."""
        with self._snapshots.open() as snapshot:
            row = snapshot.run(run)
            if row is None:
                return ValueSteps(np.empty(0, np.int64), np.empty(0), None)
            return ValueReader(snapshot, row, stream, key).steps(*step_range(first_step, last_step), limit)

    def values(
        self,
        run: RunId,
        key: str,
        *,
        stream: Stream = "history",
        first_step: int | None = None,
        last_step: int | None = None,
        limit: int = 100,
        max_bytes: int = 4 << 20,
    ) -> tuple[list[LoggedValue], int | None]:
        """Return the first values of a key that are no numbers.  See the contract."""
        with self._snapshots.open() as snapshot:
            row = snapshot.run(run)
            if row is None:
                return [], None
            reader = ValueReader(snapshot, row, stream, key)
            return reader.values(*step_range(first_step, last_step), limit, max_bytes)

    def keys(self, runs: Sequence[RunId] | None = None, *, stream: Stream = "history") -> list[KeyInfo]:
        """Return the keys of `runs` together, by key; None for all runs of the project."""
        with self._snapshots.open() as snapshot:
            return list_keys(snapshot, runs, stream)

    def key_names(self, *, stream: Stream = "history") -> KeyNames:
        """Return the names of all keys that runs of the project have.  See the contract."""
        with self._snapshots.open() as snapshot:
            return self._keys.names(snapshot, stream)

    def key_infos(self, keys: Sequence[str], *, stream: Stream = "history") -> list[KeyInfo]:
        """Return what all runs together have of each of `keys`.  See the contract."""
        with self._snapshots.open() as snapshot:
            return self._keys.infos(snapshot, keys, stream)

    def console(
        self, run: RunId, *, after: int | None = None, before: int | None = None, limit: int = 1000
    ) -> tuple[list[ConsoleLine], int]:
        """Return at most `limit` lines in order, and how many there are in all.  See the contract."""
        with self._snapshots.open() as snapshot:
            row = snapshot.run(run)
            return ([], 0) if row is None else read_console(snapshot, row, after, before, limit)

    def delete_run(self, run: RunId, *, for_good: bool = False) -> None:
        """Forget the run at once; its space comes back in the background.  See the contract."""
        with self._writer.now() as connection:
            if for_good:
                connection.execute("INSERT INTO deleted_runs VALUES (?) ON CONFLICT DO NOTHING", (run,))
            connection.execute("UPDATE runs SET run_id = NULL WHERE run_id = ?", (run,))
        self._keys.forget()
        if self._background is not None:
            self._background.tidy_up()

    @contextmanager
    def copy_run(self, run: RunId, target: MetricStore) -> Iterator[RunCopy]:
        """Give a copy of a run in `target` that is being made.  See the contract."""
        if not isinstance(target, EmbeddedMetricStore):
            raise UnsupportedError("A run is copied between stores of the same kind only.")
        with self._leave(run) as run_no, target._arrive() as new_no:
            yield EmbeddedRunCopy(
                self._snapshots, target._writer, run, run_no, new_no, target._fold_log_if_idle
            )

    @contextmanager
    def _leave(self, run: RunId) -> Iterator[int]:
        """Give the number of a run, of which the background changes nothing meanwhile."""
        with self._one_compactor:
            self._note_released()
            with self._snapshots.open() as snapshot:
                row = snapshot.run(run)
            if row is None:
                raise RunGoneError(run)
            self._leaving.add(row.run_no)
        try:
            yield row.run_no
        finally:
            self._leaving.discard(row.run_no)
            self._go_on_with(row.run_no)

    @contextmanager
    def _arrive(self) -> Iterator[int]:
        """Give the number of a new run that nobody sees, and which goes again if it gets no id."""
        new_no = 0
        try:
            with self._writer.later() as connection:
                new_no = connection.execute("INSERT INTO runs (run_id) VALUES (NULL)").lastrowid or 0
                self._arriving.add(new_no)  # before anybody else can find it
            yield new_no
        finally:
            self._arriving.discard(new_no)
            self._keys.forget()
            self._go_on_with(new_no)

    def _go_on_with(self, run_no: int) -> None:
        if self._background is not None:
            self._background.add(entry for entry in self._backlog() if entry[0] == run_no)
            self._background.tidy_up()

    def _fold_log_if_idle(self) -> None:
        # The background has the connection that this is done by.
        if self._one_compactor.acquire(blocking=False):
            try:
                self._writer.fold_log_if_long()
            finally:
                self._one_compactor.release()

    def is_deleted(self, run: RunId) -> bool:
        """Return whether a run of this id was deleted for good."""
        with self._snapshots.open() as snapshot:
            return is_deleted(snapshot.connection, run)

    def sizes(self, runs: Sequence[RunId] | None = None) -> dict[RunId, int]:
        """Return the bytes that each of `runs` takes, those that there are; None for all."""
        with self._snapshots.open() as snapshot:
            execute = snapshot.connection.execute
            if runs is None:
                return dict(execute("SELECT run_id, n_bytes FROM runs WHERE run_id IS NOT NULL"))
            found = (
                execute("SELECT run_id, n_bytes FROM runs WHERE run_id = ?", (run,)).fetchone()
                for run in runs
            )
            return dict(row for row in found if row is not None)

    def disk_bytes(self) -> int:
        """Return the bytes that the file and its log take on the disk now."""
        paths = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(path.stat().st_size for path in paths if path.exists())

    def compact(self) -> None:
        """Do at once, on this thread, all that there is to do in the background."""
        for run_no in dict.fromkeys(run_no for run_no, _, _ in self._backlog()):
            self._compact_run(run_no)
        while self._tidy():
            pass

    def close(self) -> None:
        """Give the file back; nothing else may be called after it."""
        if self._background is not None:
            self._background.stop()
        self._snapshots.close()
        self._cache.drop_all()
        self._writer.close()

    def _compact_run(self, run_no: int) -> None:
        """Bring all that a run has by now into chunks."""
        with self._one_compactor:
            are_more = run_no not in self._leaving
            while are_more:
                # Blocks that came meanwhile wait until they are worth a pass: tiny chunks cost more.
                block_nos, are_more = self._compactor.compact(run_no)
                self._cache.drop(TailBlock, set(block_nos))
            self._note_released()
            self._strip(run_no)

    def _tidy(self) -> bool:
        """Do a little of what else there is to do; return whether there is more."""
        with self._one_compactor:
            self._writer.fold_log_if_long()
            for run_no in self._note_released():
                self._strip(run_no)
            return self._tidier.purge(self._arriving) or self._tidier.vacuum()

    def _strip(self, run_no: int) -> None:
        while not self._is_stopped() and run_no not in self._leaving and self._tidier.strip(run_no):
            self._writer.fold_log_if_long()

    def _is_stopped(self) -> bool:
        return self._background is not None and self._background.is_stopped()

    def _backlog(self) -> list[tuple[int, int, int]]:
        """Return the blocks that are not in chunks: run number, values, and keys, which are not known."""
        with self._snapshots.open() as snapshot:
            return [
                (run_no, n_values, 0)
                for run_no, n_values in snapshot.connection.execute(
                    "SELECT run_no, n_values FROM blocks JOIN runs USING (run_no) "
                    "WHERE is_stripped = 0 AND block_no > through AND run_id IS NOT NULL"
                )
            ]

    def _note_released(self) -> list[int]:
        """Write down what was released; return the numbers of those runs."""
        with self._releases:
            released, self._released = self._released, {}
        if not released:
            return []
        runs: dict[RunId, int | None] = dict.fromkeys(run for run, _ in released)
        with self._writer.later() as connection:
            for run in runs:
                row = connection.execute("SELECT run_no FROM runs WHERE run_id = ?", (run,)).fetchone()
                runs[run] = None if row is None else int(row[0])
            connection.executemany(
                "UPDATE writers SET released = max(released, ?) WHERE run_no = ? AND writer = ?",
                [(offset, runs[run], writer) for (run, writer), offset in released.items()],
            )
        return [run_no for run_no in runs.values() if run_no is not None]
