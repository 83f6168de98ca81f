"""What was decoded lately, of all open files together, so that their number does not set the memory."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

DEFAULT_BYTES = 96 << 20

T = TypeVar("T")


class Cache:
    """Keeps values by name, the least recently used ones forgotten beyond `max_bytes`.  Thread-safe."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._kept: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._owners = itertools.count()

    def part(self) -> CachePart:
        """Return a part with names of its own, for one file."""
        return CachePart(self, next(self._owners))

    def find(self, name: Hashable) -> object | None:
        """Return the value, None if it is not at hand."""
        with self._lock:
            found = self._kept.get(name)
            if found is None:
                return None
            self._kept.move_to_end(name)
            return found[0]

    def keep(self, name: Hashable, value: object, n_bytes: int) -> None:
        """Keep `value`, which takes about `n_bytes`."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = value, n_bytes
                self._n_bytes += n_bytes
            while self._n_bytes > self._max_bytes:
                self._n_bytes -= self._kept.popitem(last=False)[1][1]

    def replace(self, name: Hashable, value: object, n_bytes: int) -> None:
        """Keep `value` in place of what has the name now."""
        with self._lock:
            self._n_bytes -= self._kept.pop(name, (None, 0))[1]
        self.keep(name, value, n_bytes)

    def drop(self, is_dropped: Callable[[Hashable], bool]) -> None:
        """Forget the values whose names `is_dropped` says so of."""
        with self._lock:
            for name in [name for name in self._kept if is_dropped(name)]:
                self._n_bytes -= self._kept.pop(name)[1]


class CachePart:
    """One file's part of a cache.

    Numbers of blocks, axes and chunks are never used again in a file, so what is kept under them cannot be
    out of date; what is kept of anything else says which of them it was made from.
    """

    def __init__(self, cache: Cache, owner: int) -> None:
        self._cache, self._owner = cache, owner

    def get(self, kind: type[T], number: Hashable, load: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return the value of that kind and number; by `load` if it is not at hand."""
        found = self.find(kind, number)
        return self.put(kind, number, load(), size) if found is None else found

    def find(self, kind: type[T], number: Hashable) -> T | None:
        """Return the value of that kind and number if it is at hand."""
        return cast("T | None", self._cache.find((self._owner, kind, number)))

    def put(self, kind: type[T], number: Hashable, value: T, size: Callable[[T], int]) -> T:
        """Keep `value` and return it."""
        self._cache.keep((self._owner, kind, number), value, size(value))
        return value

    def replace(self, kind: type[T], number: Hashable, value: T, n_bytes: int) -> None:
        """Keep `value`, which takes about `n_bytes`, in place of the one of that kind and number."""
        self._cache.replace((self._owner, kind, number), value, n_bytes)

    def drop(self, kind: type[T], numbers: set[int]) -> None:
        """Forget the values of that kind and those numbers."""
        owner = self._owner
        self._cache.drop(
            lambda name: isinstance(name, tuple) and name[:2] == (owner, kind) and name[2] in numbers
        )

    def drop_all(self) -> None:
        """Forget everything of this file."""
        self._cache.drop(lambda name: isinstance(name, tuple) and name[0] == self._owner)
