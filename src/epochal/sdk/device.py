"""Values that are still on an accelerator when they are logged.

Reading one would make the training loop wait for everything queued on the device.  So the caller only takes
a snapshot, in the order of the device's own queue, and one thread waits for it and writes it as a further
part of the same row.  What the user does to the tensor afterwards does not show.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

from epochal.sdk.arrays import from_torch, read_jax
from epochal.sdk.histogram import MAX_LIST_ELEMENTS, DeviceBins, torch_counts
from epochal.sdk.terminal import terminal
from epochal.sdk.values import tidy

Array = Any  # of torch or JAX; neither is imported
Path = tuple[str, ...]


class Snapshot(Protocol):
    """The value of one moment, which may not be known yet."""

    def read(self) -> object:
        """Return it as plain data, waiting for the device."""


class JaxSnapshot:
    """A JAX array: it never changes, so a reference is enough."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def read(self) -> object:
        return read_jax(self._array)


class BinsSnapshot:
    """A histogram that is counted on the device."""

    def __init__(self, pending: DeviceBins) -> None:
        self._pending = pending

    def read(self) -> object:
        return self._pending.read().to_map()


class ListSnapshot:
    """A list with snapshots in it."""

    def __init__(self, items: Sequence[object]) -> None:
        self._items = items

    def read(self) -> object:
        return [item.read() if is_snapshot(item) else item for item in self._items]  # type: ignore[attr-defined]


class TorchSnapshot:
    """One tensor of a batch that is copied to the host at once."""

    def __init__(self, batch: TorchBatch, place: slice, shape: Sequence[int]) -> None:
        self._batch, self._place, self._shape = batch, place, tuple(shape)

    def read(self) -> object:
        return from_torch(self._batch.read()[self._place].reshape(self._shape))


class TorchBatch:
    """The small tensors of one call, one device and one type: one copy, whatever their number."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._n = 0
        self._host: Array = None
        self._event: Array = None

    def add(self, tensor: Array) -> TorchSnapshot:
        """Take `tensor` into the batch."""
        place = slice(self._n, self._n + tensor.numel())
        self._parts.append(tensor.detach().reshape(-1))
        self._n = place.stop
        return TorchSnapshot(self, place, tensor.shape)

    def start(self) -> None:
        """Queue the copy behind all that the caller has queued, and return at once."""
        torch = sys.modules["torch"]
        with torch.no_grad():
            # cat always copies, so this is also what protects from changes in place.
            flat = torch.cat(self._parts)
        self._parts = []
        if flat.device.type != "cuda":
            self._host = flat
            return
        self._host = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True)
        self._host.copy_(flat, non_blocking=True)
        self._event = torch.cuda.Event(blocking=True)
        self._event.record(torch.cuda.current_stream(flat.device))

    def read(self) -> Array:
        """Return the flat copy on the host, waiting for it."""
        if self._event is not None:
            self._event.synchronize()
            self._event = None
        self._host = self._host.cpu()
        return self._host


class Snapshots:
    """Takes the snapshots of one call."""

    def __init__(self) -> None:
        self._batches: dict[tuple[object, object], TorchBatch] = {}

    def take(self, value: Array) -> Snapshot | None:
        """Return a snapshot of `value`, or None if it is not on a device or known already."""
        torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
        if torch is not None and isinstance(value, torch.Tensor):
            return None if value.device.type in ("cpu", "meta") else self._of_torch(torch, value)
        if jax is not None and isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer):
            return None if value.is_ready() else JaxSnapshot(value)
        return None

    def start(self) -> None:
        """Queue the copies of all that was taken."""
        for batch in self._batches.values():
            batch.start()

    def _of_torch(self, torch: Any, tensor: Array) -> Snapshot:  # noqa: ANN401  a module
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
        if tensor.numel() > MAX_LIST_ELEMENTS:
            return BinsSnapshot(DeviceBins(torch_counts(tensor, 32)))
        batch = self._batches.setdefault((tensor.device, tensor.dtype), TorchBatch())
        return batch.add(tensor)


def is_snapshot(value: object) -> bool:
    """Whether `value` is one of the snapshots above."""
    return isinstance(value, (JaxSnapshot, BinsSnapshot, ListSnapshot, TorchSnapshot))


class LateRow(NamedTuple):
    """The part of a row that a device still owes."""

    parts: Sequence[tuple[Path, Snapshot]]
    write: Callable[[dict[str, object]], None]  # writes it as a part of the row it belongs to


class Resolver:
    """One thread that waits for devices, started when the first value needs it."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[LateRow] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._n_put = 0
        self._n_done = 0

    def put(self, row: LateRow) -> None:
        """Write `row` when its values are known, after those put before it."""
        with self._starting:
            self._n_put += 1
            self._queue.put(row)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="epochal-resolver", daemon=True)
                self._thread.start()
                _finish_in_worker_process(self)

    def wait(self, timeout_s: float) -> int:
        """Wait at most `timeout_s` seconds for all that was put; return how many rows are not written."""
        target, deadline = self._n_put, time.monotonic() + timeout_s
        pause = 0.0002
        while self._n_done < target and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(0.01, pause * 2)
        return max(0, target - self._n_done)

    def _work(self) -> None:
        while True:
            row = self._queue.get()
            try:
                row.write(_read(row.parts))
            except Exception as error:  # noqa: BLE001  the thread must live for the rows behind this one
                terminal.internal("writing values from a device", error)
            self._n_done += 1
            # Not kept until the next row arrives: it may hold device memory.
            del row


def _read(parts: Sequence[tuple[Path, Snapshot]]) -> dict[str, object]:
    data: dict[str, object] = {}
    for path, snapshot in parts:
        try:
            value = tidy(snapshot.read())
        except Exception as error:  # noqa: BLE001  a device may fail in any way
            key = ".".join(path)
            terminal.warn_once(
                ("device", key), f"A value of {key} could not be read from its device and is missing: {error}"
            )
            continue
        place = data
        for name in path[:-1]:
            place = place.setdefault(name, {})  # type: ignore[assignment]
        place[path[-1]] = value
    return data


def _finish_in_worker_process(resolver: Resolver) -> None:
    """Make a multiprocessing worker wait for its values: it ends without running atexit."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, resolver.wait, args=(10.0,), exitpriority=10)
