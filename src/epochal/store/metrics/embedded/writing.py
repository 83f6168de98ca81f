"""Who writes to the file, and when: one at a time, those somebody waits for before the background.

SQLite has one writer.  An append is waited for by a training run's sidecar, the compactor by nobody: so its
transactions are small, and between two of them whoever waits comes first.  Without that a lock which is given
back and taken again at once hardly ever changes hands.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from epochal.base.sqlite_errors import told_apart
from epochal.store.metrics.embedded.schema import connect

# The background waits at most so long for those who come first; then it takes its turn like them.
_MAX_POLITE_S = 0.5
# The write-ahead log is folded into the file when it has grown to this.
FOLD_LOG_BYTES = 8 << 20


class Pace:
    """How many things to do in one transaction so that it takes about `target_s`.

    Args:
        first: how many to begin with.
        least: never fewer.
        most: never more.
        target_s: seconds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        first: int,
        least: int,
        most: int,
        target_s: float = 0.01,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.n = first
        self._least, self._most, self._target_s, self._clock = least, most, target_s, clock

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Learn from the block, which did `n` things."""
        begin = self._clock()
        yield
        factor = self._target_s / max(self._clock() - begin, 1e-6)
        self.n = max(self._least, min(self._most, int(self.n * max(0.5, min(2.0, factor)))))


class WriteTurns:
    """A lock that those who are waited for get before the background.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self.n_waiting = 0  # who are waited for themselves
        self._is_taken = False

    @contextmanager
    def now(self) -> Iterator[None]:
        """Hold it for one who is waited for."""
        with self._changed:
            self.n_waiting += 1
            try:
                while self._is_taken:
                    self._changed.wait()
            finally:
                self.n_waiting -= 1
            self._is_taken = True
        with self._held():
            yield

    @contextmanager
    def later(self) -> Iterator[None]:
        """Hold it when nobody else wants it, or after a while."""
        with self._changed:
            until = self._clock() + _MAX_POLITE_S
            while self._is_taken or (self.n_waiting and self._clock() < until):
                self._changed.wait(_MAX_POLITE_S)
            self._is_taken = True
        with self._held():
            yield

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._is_taken = False
                self._changed.notify_all()


class FileWriter:
    """Gives write transactions on the file at `path`, one at a time.  Thread-safe.

    Args:
        path: of a file that `open_file` has seen.
        clock: monotonic seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.perf_counter) -> None:
        self._path, self._clock = path, clock
        self._turns = WriteTurns()
        self._connection = connect(path)
        # What the background writes can be written again, so it does not wait for the disk.
        self._background = connect(path, synchronous="NORMAL")
        # It folds the log outside of its transactions, where nobody waits for it.
        self._background.execute("PRAGMA wal_autocheckpoint = 0")
        self.longest_later_s = 0.0  # for which the background held the file

    @contextmanager
    def now(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction that is durable when the block ends."""
        with self._turns.now(), _transaction(self._connection, self._path) as connection:
            yield connection

    @contextmanager
    def later(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction to one who can wait and could do its work again after a power cut."""
        with self._turns.later():
            begin = self._clock()
            with _transaction(self._background, self._path) as connection:
                yield connection
            self.longest_later_s = max(self.longest_later_s, self._clock() - begin)

    def log_bytes(self) -> int:
        """Return how long the write-ahead log is."""
        with contextlib.suppress(OSError):
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size
        return 0

    def fold_log_if_long(self) -> None:
        """Bring what is in the write-ahead log into the file if it is much; nobody waits meanwhile.

        Only the background may call it.
        """
        if self.log_bytes() <= FOLD_LOG_BYTES:
            return
        with told_apart(self._path):
            self._background.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Give the file back."""
        with self._turns.now():
            self._background.close()
            self._connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    with told_apart(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
