"""The metadata store: everything about runs that is a record and not history.

One SQLite file in WAL mode: one writer at a time, readers never wait.  Every commit is on the disk when it
returns (synchronous=FULL), because ingest relies on it: a metric store never holds a writer that the metadata
does not know, whatever power cut comes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from epochal.base.sqlite_errors import meaning
from epochal.errors import DataFolderError
from epochal.store.metadata import migrate
from epochal.store.metadata.alert_channels import AlertChannels
from epochal.store.metadata.alerts import Alerts
from epochal.store.metadata.api_keys import ApiKeys
from epochal.store.metadata.definitions import Definitions
from epochal.store.metadata.documents import Documents
from epochal.store.metadata.fields import Fields
from epochal.store.metadata.losses import Losses
from epochal.store.metadata.moves import Moves
from epochal.store.metadata.projects import Projects
from epochal.store.metadata.runs import Runs
from epochal.store.metadata.users import Users
from epochal.store.metadata.writers import Writers

BUSY_TIMEOUT_MS = 30_000


class Metadata:
    """The metadata file of a data folder, made or upgraded where needed.  Thread-safe.

    Args:
        path: of the file; its folder must exist.

    Raises:
        NewerDataFolderError: a newer version wrote it; nothing was changed.
        DataFolderError: it is not a metadata file, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        revision = migrate.check_revision(path)
        self.path = path
        self._write_lock = threading.Lock()
        self._writing = _engine(path, begin="BEGIN IMMEDIATE", pool_size=1)
        self._reading = _engine(path, begin="BEGIN", pool_size=8)
        try:
            migrate.upgrade(path, self._writing, revision)
        except sqlite3.Error as error:
            raise DataFolderError(f"{path} cannot be opened: {error}") from error
        self.projects = Projects(self)
        self.runs = Runs(self)
        self.documents = Documents(self)
        self.definitions = Definitions(self)
        self.losses = Losses(self)
        self.alerts = Alerts(self)
        self.alert_channels = AlertChannels(self)
        self.fields = Fields(self, path.with_name("fields.db"))
        self.writers = Writers(self)
        self.moves = Moves(self)
        self.users = Users(self)
        self.api_keys = ApiKeys(self)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection in a transaction: on the disk at the end, undone by an exception.

        Raises:
            DiskFullError: there is no room; nothing was changed.
            DamagedStoreError: the file is damaged.
        """
        with self._write_lock, self._told_apart(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the store, whatever is written meanwhile."""
        with self._told_apart(), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def _told_apart(self) -> Iterator[None]:
        """Turn what SQLite says about the file and its disk into errors that say what to do."""
        try:
            yield
        except DBAPIError as error:
            told = meaning(error.orig, self.path)
            if told is None:
                raise
            raise told from error

    def close(self) -> None:
        """Close every connection."""
        self.fields.close()
        self._reading.dispose()
        self._writing.dispose()


def _engine(path: Path, *, begin: str, pool_size: int) -> Engine:
    engine = create_engine(
        f"sqlite+pysqlite:///{path}",
        pool_size=pool_size,
        max_overflow=-1 if pool_size > 1 else 0,
        connect_args={"check_same_thread": False, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Ours, because the driver's own begins too late: reads before the first write would see other states.
        connection.exec_driver_sql(begin)

    return engine
