"""`run.summary`: one value per key for the whole run.

It costs `log()` nothing: when a script asks, the run's own run log is read back, from where the last
question ended, and folded by the rules that the server folds with.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from epochal.errors import RunLogError
from epochal.runlog.columns import KeyColumn, LoggedRow, columns_of
from epochal.runlog.folder import SUFFIX
from epochal.runlog.format import RecordType
from epochal.runlog.reader import RunLogReader
from epochal.runlog.summary import OPERATIONS, SummaryFold

Tree = dict[str, Any]
Path_ = tuple[str, ...]
Record = Callable[[list[tuple[Path_, object]], list[Path_]], None]


class SummaryState:
    """A summary that is folded from records, in the order in which they come."""

    def __init__(self, fold: SummaryFold | None = None) -> None:
        self._fold = fold or SummaryFold()
        self._top: set[str] = set()  # keys as logged, to tell a dot in a name from nesting

    def add(self, records: Sequence[Sequence[Any]]) -> None:
        """Fold records of a run log; others than rows, definitions and summary are skipped."""
        rows: list[LoggedRow] = []
        for record in records:
            kind = record[0]
            if kind in (RecordType.ROW, RecordType.UNPLACED_ROW):
                rows.append(LoggedRow(record[2], record[1], record[3]))
                continue
            if kind not in (RecordType.SUMMARY, RecordType.DEFINE_METRIC):
                continue
            self._add_rows(rows)
            rows = []
            if kind == RecordType.DEFINE_METRIC:
                self._fold.define(record[2])
            else:
                self._set(record[2], record[3])
        self._add_rows(rows)

    def tree(self) -> Tree:
        """Return the summary, nested as logged."""
        tree: Tree = {}
        for key, value in self._fold.flat().items():
            path = self._path_of(key)
            place = tree
            for name in path[:-1]:
                below = place.get(name)
                place = below if isinstance(below, dict) else place.setdefault(name, {})
                if not isinstance(place, dict):
                    break
            else:
                place[path[-1]] = value
        return tree

    def _add_rows(self, rows: list[LoggedRow]) -> None:
        if not rows:
            return
        for row in rows:
            self._top.update(map(str, row.data))
        columns, _ = columns_of(rows)
        by_key: dict[str, list[KeyColumn]] = {}
        for column in columns:
            by_key.setdefault(column.key, []).append(column)
        for key, parts in by_key.items():
            self._fold.add(key, parts[0].values if len(parts) == 1 else _merged(parts, len(rows)))

    def _set(self, values: Sequence[Any], deleted: Sequence[Any]) -> None:
        for path in deleted:
            self._fold.delete(path)
        for path, value in values:
            self._top.add(path[0])
            self._fold.set(path, value)

    def _path_of(self, key: str) -> Path_:
        if key in self._top:
            return (key,)
        parts = key.split(".")
        for n in range(len(parts) - 1, 0, -1):
            head = ".".join(parts[:n])
            if head in self._top:
                return (head, *parts[n:])
        return tuple(parts)


def _merged(parts: list[KeyColumn], n_rows: int) -> list[object]:
    """Return values of several types of one key in the order of their rows."""
    pairs = [
        (row, value)
        for part in parts
        for row, value in zip(range(n_rows) if part.rows is None else part.rows, part.values, strict=True)
    ]
    return [value for _, value in sorted(pairs, key=lambda pair: pair[0])]


class SummaryBefore(NamedTuple):
    """What a server says of a run's summary, and which bytes of run logs on this machine are in that."""

    state: Mapping[str, object] | None = None  # as of SummaryFold
    offsets: Mapping[Path, int] = {}


class SummaryOfFolders:
    """The summary of a run whose run logs lie in folders; what was read is not read again.

    Args:
        folders: oldest first.
        before: what it begins with.
    """

    def __init__(self, folders: Sequence[Path], before: SummaryBefore | None = None) -> None:
        self._folders = list(folders)
        before = before or SummaryBefore()
        self._offsets = dict(before.offsets)
        fold = None if before.state is None else SummaryFold.from_state(copy.deepcopy(before.state))
        self._state = SummaryState(fold)

    def tree(self) -> Tree:
        """Return the summary as of now; a file that cannot be read is left out."""
        for path in self._paths():
            self._read(path)
        return self._state.tree()

    def n_unread_bytes(self) -> int:
        """Return how many bytes `tree` would read."""
        n_bytes = 0
        for path in self._paths():
            with contextlib.suppress(OSError):
                n_bytes += max(0, path.stat().st_size - self._offsets.get(path, 0))
        return n_bytes

    def _paths(self) -> Iterator[Path]:
        for folder in self._folders:
            for path in sorted(folder.glob(f"*{SUFFIX}")):
                if not path.name.startswith("sidecar-"):
                    yield path

    def _read(self, path: Path) -> None:
        try:
            with RunLogReader(path, self._offsets.get(path, 0)) as reader:
                while True:
                    frames, losses = reader.read()
                    self._state.add([frame.record for frame in frames])
                    self._offsets[path] = reader.offset
                    if not frames and not losses:
                        return
        except (OSError, RunLogError):
            return


class Summary:
    """The summary as a script sees it: items and attributes, nested as logged.

    Args:
        read: returns the summary of now, as nested maps.
        record: writes explicit changes: pairs of path and value, and deleted paths.
        path: of this part of it; empty for the whole.
    """

    def __init__(self, read: Callable[[], Tree], record: Record, path: Path_ = ()) -> None:
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "_record", record)
        object.__setattr__(self, "_path", path)

    _read: Callable[[], Tree]
    _record: Record
    _path: Path_

    def keys(self) -> list[str]:
        """Return the keys."""
        return list(self._tree())

    def values(self) -> list[Any]:
        """Return the values."""
        return [self._wrapped(key, value) for key, value in self._tree().items()]

    def items(self) -> list[tuple[str, Any]]:
        """Return the keys with their values."""
        return [(key, self._wrapped(key, value)) for key, value in self._tree().items()]

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401
        """Return the value of `key`, or `default`."""
        tree = self._tree()
        return self._wrapped(key, tree[key]) if key in tree else default

    def update(self, d: Mapping[str, object] | None = None, **values: object) -> None:
        """Set many values; they hold until their keys are logged again."""
        self._record([((*self._path, str(k)), v) for k, v in {**(d or {}), **values}.items()], [])

    def as_dict(self) -> Tree:
        """Return it as plain, nested dicts."""
        return self._tree()

    def _tree(self) -> Tree:
        tree: Any = self._read()
        for name in self._path:
            tree = tree.get(name) if isinstance(tree, dict) else None
        return tree if isinstance(tree, dict) else {}

    def _wrapped(self, key: str, value: object) -> Any:  # noqa: ANN401
        if isinstance(value, dict) and "_type" not in value:
            return Summary(self._read, self._record, (*self._path, key))
        return value

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        tree = self._tree()
        if key not in tree:
            raise KeyError(key)
        return self._wrapped(key, tree[key])

    def __setitem__(self, key: str, value: object) -> None:
        self._record([((*self._path, str(key)), value)], [])

    def __delitem__(self, key: str) -> None:
        if key not in self._tree():
            raise KeyError(key)
        self._record([], [(*self._path, str(key))])

    def __getattr__(self, key: str) -> Any:  # noqa: ANN401
        if key.startswith("__"):
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"the summary has no {key!r}") from None

    def __setattr__(self, key: str, value: object) -> None:
        self[key] = value

    def __delattr__(self, key: str) -> None:
        del self[key]

    def __contains__(self, key: object) -> bool:
        return key in self._tree()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._tree())

    def __eq__(self, other: object) -> bool:
        return self._tree() == (other._tree() if isinstance(other, Summary) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._tree())

    def __copy__(self) -> Summary:
        return self

    def __deepcopy__(self, memo: object) -> Summary:
        return self


__all__ = ["OPERATIONS", "Summary", "SummaryBefore", "SummaryOfFolders", "SummaryState"]
