"""What a look at a data folder needs of the metadata, read without changing the file or upgrading it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from epochal.store.metadata import migrate
from epochal.store.metadata.projects import store_file

_MAX_MESSAGES = 100


class KnownProject(NamedTuple):
    """A project, and the name of its metric store's file."""

    key: int
    entity: str
    name: str
    store_file: str


class KnownRun(NamedTuple):
    """A run, as the metadata has it."""

    key: int
    run_id: str
    last_step: int | None
    n_rows: int
    n_losses: int  # of the store: what a repair could not bring back
    offsets: dict[str, int]  # by writer: up to where it was taken in


class MetadataReader:
    """Reads the metadata file at `path`.

    Raises:
        NewerDataFolderError: a newer version wrote it.
        DataFolderError: it is not a metadata file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_current = migrate.check_revision(path) == migrate.HEAD

    def problems(self) -> Iterator[str]:
        """Yield what SQLite finds wrong with the file."""
        try:
            with self._open() as connection:
                for (message,) in connection.execute(f"PRAGMA integrity_check({_MAX_MESSAGES})"):
                    if message != "ok":
                        yield f"SQLite: {message}"
                for table, *_ in connection.execute("PRAGMA foreign_key_check"):
                    yield f"a row of the table {table} belongs to nothing"
        except sqlite3.Error as error:
            yield f"SQLite cannot read it: {error}"

    def projects(self) -> list[KnownProject]:
        """Return every project."""
        with self._open() as connection:
            rows = connection.execute("SELECT key, entity, name FROM projects ORDER BY key").fetchall()
        return [KnownProject(key, entity, name, store_file(key)) for key, entity, name in rows]

    def runs(self, project_key: int) -> dict[str, KnownRun]:
        """Return the runs of a project by id."""
        with self._open() as connection:
            offsets: dict[int, dict[str, int]] = {}
            for run_key, writer, offset in connection.execute(
                "SELECT run_key, writer, applied_offset FROM writers JOIN runs ON runs.key = run_key "
                "WHERE project_key = ?",
                (project_key,),
            ):
                offsets.setdefault(run_key, {})[writer] = offset
            rows = connection.execute(
                "SELECT key, run_id, last_step, n_rows, (SELECT count(*) FROM losses "
                "WHERE run_key = key AND reason LIKE '%damaged in the store') "
                "FROM runs WHERE project_key = ?",
                (project_key,),
            )
            return {row[1]: KnownRun._make([*row, offsets.get(row[0], {})]) for row in rows}

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("ROLLBACK")
