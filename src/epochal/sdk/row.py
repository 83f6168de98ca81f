"""The slow way of a row: for values that need more than an encoder.

A row comes here when it holds a media object, a value on a device, or something that msgspec refuses.  Its
plain part is written at once; what a device owes follows as another frame of the same row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Set
from typing import Any, NamedTuple

from epochal.sdk.device import BinsSnapshot, ListSnapshot, Path, Snapshot, Snapshots, is_snapshot
from epochal.sdk.histogram import Histogram
from epochal.sdk.limits import MAX_VALUE_BYTES
from epochal.sdk.media.base import StoredMedia, StoreMedia, as_media
from epochal.sdk.terminal import terminal
from epochal.sdk.values import MAX_DEPTH, encode, key_text, text_of, tidy

MANY_TENSORS = 16
LONG_LIST = 100


class RowParts(NamedTuple):
    """A row, split by when its values are known."""

    host: dict[str, object]
    late: list[tuple[Path, Snapshot]]


def split(data: Mapping[Any, object], store: StoreMedia) -> RowParts:
    """Return `data` as plain values and snapshots of what is on a device; files are written by `store`."""
    return _Splitter(store).split(data)


class _Splitter:
    def __init__(self, store: StoreMedia) -> None:
        self._store = store
        self._snapshots = Snapshots()
        self._late: list[tuple[Path, Snapshot]] = []

    def split(self, data: Mapping[Any, object]) -> RowParts:
        host = self._map(data, ())
        self._snapshots.start()
        return RowParts(host, self._late)

    def _map(self, data: Mapping[Any, object], path: Path) -> dict[str, object]:
        host: dict[str, object] = {}
        for key, value in list(data.items()):
            name = key_text(key)
            here = (*path, name)
            converted = self._value(value, here)
            if is_snapshot(converted):
                self._late.append((here, converted))  # type: ignore[arg-type]
            else:
                host[name] = converted
        return host

    def _value(self, value: object, path: Path) -> object:
        """Return `value` as plain data, or as a snapshot if any of it is on a device."""
        if len(path) > MAX_DEPTH:
            return text_of(value)
        if isinstance(value, Mapping):
            return self._map(value, path)
        if isinstance(value, (list, tuple, Set, Iterator)):
            if isinstance(value, list) and len(value) > LONG_LIST and size_of(value):
                return value  # Ten million numbers are looked at by the encoder only.
            items = [self._value(v, (*path, str(i))) for i, v in enumerate(value)]
            return ListSnapshot(items) if any(map(is_snapshot, items)) else items
        if isinstance(value, Histogram) and value.pending is not None:
            return BinsSnapshot(value.pending)
        media = as_media(value)
        if media is not None:
            return self._media(media, path)
        snapshot = self._snapshots.take(value)
        return tidy(value) if snapshot is None else snapshot

    def _media(self, media: Histogram | StoredMedia, path: Path) -> object:
        try:
            return media.to_map() if isinstance(media, Histogram) else self._store(media, path)
        except Exception as error:  # noqa: BLE001  a full disk or a broken image must not stop the training
            key = ".".join(path)
            terminal.error_once(
                ("media", key, type(error)),
                f"{type(media).__name__} {key} could not be stored ({type(error).__name__}: {error}); "
                "its place in the row stays empty.",
            )
            return None


def warn_about_model(data: Mapping[Any, object]) -> None:
    """Say once what logging a whole model does, if `data` holds one."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    for values in (data, *(v for v in data.values() if isinstance(v, Mapping))):
        n = sum(isinstance(v, torch.Tensor) for v in values.values())
        if n >= MANY_TENSORS or (n and hasattr(values, "_metadata")):
            terminal.warn_once(
                "model",
                f"A call logged {n} tensors, each as a key of its own: it looks like a model's state_dict(). "
                "All of it is kept; for a curve log a number, such as a norm.",
            )


def fitting(data: Mapping[str, object], max_bytes: int = MAX_VALUE_BYTES) -> dict[str, object]:
    """Return `data` without its values of more than `max_bytes` encoded; each is said once as an error."""
    kept: dict[str, object] = {}
    for key, value in data.items():
        n_bytes = size_of(value)
        if n_bytes <= max_bytes:
            kept[key] = value
        elif isinstance(value, dict) and "_type" not in value:
            # Nesting, not a value: what is below has the limit.
            kept[key] = fitting(value, max_bytes)
        else:
            terminal.error_once(
                ("too large", key),
                f"The value of {key!r} in log() has {n_bytes >> 20} MiB; the most is {max_bytes >> 20} MiB. "
                "It is not stored; everything else is, and your script goes on. Save it as a file instead.",
            )
    return kept


def size_of(value: object) -> int:
    """Return the bytes that `value` takes encoded; 0 if it cannot be."""
    try:
        return len(encode(value))
    except Exception:  # noqa: BLE001  whatever a user's value raises
        return 0
