"""The fields of all projects' runs: reads columns, keeps the parts on disk up to date.

Why columns, and what they cost: docs/decisions/0008-runs-are-queried-by-column.md.
"""

from __future__ import annotations

import itertools
import logging
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from epochal.store.metadata.base import Database
from epochal.store.metadata.fields import part_file, source
from epochal.store.metadata.fields.build import build
from epochal.store.metadata.fields.listing import FieldInfo, FieldNames
from epochal.store.metadata.fields.part_file import PartFile, remove_file
from epochal.store.metadata.fields.table import MAX_CHANGED_RUNS, OutdatedError, RunColumns, RunTable

MAX_COLUMN_BYTES = 96 * 2**20  # in memory, of all projects
MAX_TABLES = 8
_LOOK_EVERY_S = 30.0
# A build costs seconds of one core, so it has a twentieth of the time at most.
_REST_PER_BUILD = 20.0
_FILE_ERRORS = (sqlite3.Error, OSError)
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Fields:
    """By (project, field).  Thread-safe.

    Args:
        database: where runs and documents are.
        path: of the file for the parts, which is made when it is first needed.
        max_column_bytes: of columns kept in memory.
    """

    def __init__(self, database: Database, path: Path, *, max_column_bytes: int = MAX_COLUMN_BYTES) -> None:
        self._database = database
        self._path = path
        self._max_column_bytes = max_column_bytes
        self._clock = itertools.count(1)
        self._lock = threading.Lock()
        self._file: PartFile | None = None
        self._is_damaged = False
        self._due: set[int] = set()  # projects of which too much has changed to be held in memory
        self._tables: OrderedDict[int, RunTable] = OrderedDict()
        self._builds = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._is_closing = threading.Event()

    def read(self, project_key: int, fields: Iterable[str]) -> RunColumns:
        """Return fields of all runs of a project, all as of one moment, up to date.

        Args:
            project_key: of the project.
            fields: names, such as `config.lr`; one that no run has is a column without values.
        """
        wanted = list(fields)
        columns = self._with_table(project_key, lambda table, connection: table.read(connection, wanted))
        self._evict()
        return columns

    def listing(
        self,
        project_key: int,
        choose: Callable[[list[str]], list[str]] = lambda every: every,
        *,
        prefix: str = "",
    ) -> list[FieldInfo]:
        """Return fields of a project.

        Args:
            project_key: of the project.
            choose: is given all names in order, and returns those that are wanted; only they are counted.
            prefix: only fields that begin with it.
        """

        def look(table: RunTable, connection: Connection) -> list[FieldInfo]:
            names = FieldNames(table, connection, prefix)
            return names.info(choose(names.fields))

        return self._with_table(project_key, look)

    def build(self, project_key: int, *, pause: Callable[[float], None] = time.sleep) -> int:
        """Write the parts of a project that are due; return how many runs were written.

        Args:
            project_key: of the project.
            pause: called now and then with the seconds worked since, to let others have their turn.

        Raises:
            sqlite3.Error: the file cannot be written.
            OSError: likewise.
        """
        with self._builds:
            self._remove_damaged()
            n_runs = build(self._database, self._open_file(), project_key, pause=pause)
        with self._lock:
            self._tables.pop(project_key, None)
        return n_runs

    def start(self) -> None:
        """Keep the parts up to date from now on, in a thread."""
        try:
            self._open_file()
        except _FILE_ERRORS as error:
            _log.warning("%s cannot be written, so large projects answer slowly: %s", self._path, error)
        self._thread = threading.Thread(target=self._work, name="epochal-fields", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread; a build that is under way is given up."""
        self._is_closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _with_table(self, project: int, use: Callable[[RunTable, Connection], _T]) -> _T:
        while True:
            with self._database.read() as connection:
                table = self._table(project, connection)
                try:
                    with table.lock:
                        result = use(table, connection)
                except OutdatedError:
                    self._drop(project, table)
                    continue
                except sqlite3.Error as error:  # of the file: the database's own errors are SQLAlchemy's
                    self._distrust(error)
                    continue
            if table.is_full or table.is_behind:
                self._due.add(project)
                self._wake.set()
            if table.is_overfull:
                self._drop(project, table)
            return result

    def _table(self, project: int, connection: Connection) -> RunTable:
        with self._lock:
            table = self._tables.get(project)
            if table is not None:
                self._tables.move_to_end(project)
                return table
        try:
            file: PartFile | None = self._open_file()
        except _FILE_ERRORS:
            file = None  # the documents are there; it only takes longer
        table = RunTable(project, file, connection, self._clock)
        with self._lock:
            self._tables[project] = table
            if len(self._tables) > MAX_TABLES:
                self._tables.popitem(last=False)
        return table

    def _drop(self, project: int, table: RunTable) -> None:
        with self._lock:
            if self._tables.get(project) is table:
                del self._tables[project]

    def _distrust(self, error: sqlite3.Error) -> None:
        """Answer from the documents until the file was made again, which the thread does."""
        _log.warning("%s is damaged and is made again: %s", self._path, error)
        with self._lock:
            self._file = None
            self._is_damaged = True
            self._tables.clear()

    def _remove_damaged(self) -> None:
        if self._is_damaged:
            remove_file(self._path)
            self._is_damaged = False

    def _open_file(self) -> PartFile:
        with self._lock:
            if self._is_damaged:
                raise sqlite3.DatabaseError(f"{self._path} is damaged")
            if self._file is None:
                with self._database.read() as connection:
                    epoch, version = source.counters_of(connection)
                self._file = PartFile(self._path, epoch, version)
            return self._file

    def _evict(self) -> None:
        with self._lock:
            held = [(*size, table) for table in self._tables.values() for size in table.sizes()]
        total = sum(n_bytes for _, _, n_bytes, _ in held)
        for _, field, n_bytes, table in sorted(held, key=lambda entry: entry[0]):
            if total <= self._max_column_bytes:
                return
            table.forget(field)
            total -= n_bytes

    def _work(self) -> None:
        failure = ""
        while not self._is_closing.is_set():
            began = time.monotonic()
            try:
                self._build_what_is_due()
            except _ClosingError:
                return
            except Exception as error:  # noqa: BLE001  a full disk heals, and queries are answered meanwhile
                if repr(error) != failure:
                    _log.warning("the fields of runs could not be written to %s", self._path, exc_info=True)
                failure = repr(error)
            else:
                failure = ""
            worked_s = time.monotonic() - began
            self._wake.clear()
            self._is_closing.wait(min(_REST_PER_BUILD * worked_s, 600.0))
            self._wake.wait(_LOOK_EVERY_S)

    def _build_what_is_due(self) -> None:
        with self._builds:
            self._remove_damaged()
        file = self._open_file()
        with self._database.read() as connection, file.read() as reading:
            due = {
                project
                for project in source.project_keys(connection)
                if source.count_changed(connection, project, part_file.version_of(reading, project))
                > MAX_CHANGED_RUNS
            }
        for project in sorted(due | set(self._due)):
            self._due.discard(project)
            self.build(project, pause=self._pause)

    def _pause(self, worked_s: float) -> None:
        if self._is_closing.wait(worked_s):
            raise _ClosingError


class _ClosingError(Exception):
    """The store is being closed."""
