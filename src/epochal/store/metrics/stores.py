"""The metric stores of a data folder: one file per project, opened when first used.

Files are named by number, never by a project's name, so no name can lead out of the folder.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from epochal.store.metrics.contract import MetricStore

MAX_OPEN = 64  # each has a few file handles


class MetricStores:
    """Opens stores, keeps the last used ones open, and closes none that is in use.  Thread-safe.

    Args:
        folder: of the files; it must exist.
        open_store: opens, or makes, the store in a file.
        max_open: kept open at most, unless more are in use at once.
    """

    def __init__(
        self, folder: Path, open_store: Callable[[Path], MetricStore], *, max_open: int = MAX_OPEN
    ) -> None:
        self._folder = folder
        self._open_store = open_store
        self._max_open = max_open
        self._lock = threading.Lock()
        self._open: OrderedDict[str, MetricStore] = OrderedDict()  # last used last
        self._n_users: dict[str, int] = {}

    @contextmanager
    def use(self, store_file: str) -> Iterator[MetricStore]:
        """Give the store of a project (`ProjectRecord.store_file`); it stays open meanwhile."""
        if not re.fullmatch(r"[0-9]+\.db", store_file):
            raise ValueError(f"a store file is a number and .db, not {store_file!r}")
        with self._lock:
            store = self._open.get(store_file)
            if store is None:
                store = self._open[store_file] = self._open_store(self._folder / store_file)
            self._open.move_to_end(store_file)
            self._n_users[store_file] = self._n_users.get(store_file, 0) + 1
        try:
            yield store
        finally:
            with self._lock:
                self._release(store_file)

    def highest_number(self) -> int:
        """Return the highest number that a file has, used or not; 0 if there is none."""
        names = (path.name.partition(".")[0] for path in self._folder.iterdir())
        return max((int(name) for name in names if name.isdecimal() and name.isascii()), default=0)

    def close(self) -> None:
        """Close every store."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _release(self, store_file: str) -> None:
        self._n_users[store_file] -= 1
        if not self._n_users[store_file]:
            del self._n_users[store_file]
        for name in [n for n in self._open if n not in self._n_users][: len(self._open) - self._max_open]:
            self._open.pop(name).close()
