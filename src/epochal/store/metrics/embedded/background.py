"""When to compact: a thread that waits until a run has enough blocks, or has been quiet for a while."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from epochal.store.metrics.embedded.compactor import MAX_PASS_VALUES

_log = logging.getLogger(__name__)

# A run is due with so many values or blocks: queries read what is not in chunks from its blocks.
DUE_VALUES = 200_000
DUE_BLOCKS = 64
# With many keys it may wait longer, so that each key has so many new points on average: a chunk is a row of
# the file, and ten thousand of them cost the same for one point each as for a hundred.
DUE_POINTS_A_KEY = 256
# A run that is quiet for so long is brought into chunks whatever it has.
IDLE_S = 10.0
_RETRY_S = 30.0


class Backlog(msgspec.Struct):
    """What a run has that is not in chunks."""

    n_blocks: int = 0
    n_values: int = 0
    n_keys: int = 0  # of its widest block
    last_append: float = 0.0  # monotonic seconds

    def is_due(self) -> bool:
        """Return whether to compact now, whether the run is quiet or not."""
        enough = min(max(DUE_VALUES, DUE_POINTS_A_KEY * self.n_keys), MAX_PASS_VALUES)
        return self.n_values >= enough or (self.n_blocks >= DUE_BLOCKS and self.n_keys < 1000)


class Background:
    """Calls `compact` for runs that are due, in a thread that begins with the first append.

    Args:
        compact: brings a run into chunks, given its number.
        tidy: does a little of what else there is to do; says whether there was any.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        compact: Callable[[int], None],
        tidy: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compact, self._tidy, self._clock = compact, tidy, clock
        self._backlogs: dict[int, Backlog] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_untidy = True
        self._is_stopped = False

    def is_stopped(self) -> bool:
        """Return whether `stop` was called."""
        return self._is_stopped

    def add(self, appended: Iterable[tuple[int, int, int]]) -> None:
        """Take note of new blocks: run number, values, keys of each."""
        with self._changed:
            now = self._clock()
            for run_no, n_values, n_keys in appended:
                backlog = self._backlogs.setdefault(run_no, Backlog())
                backlog.n_blocks += 1
                backlog.n_values += n_values
                backlog.n_keys = max(backlog.n_keys, n_keys)
                backlog.last_append = now
            self._wake()

    def tidy_up(self) -> None:
        """Take note that there is something to tidy."""
        with self._changed:
            self._is_untidy = True
            self._wake()

    def stop(self) -> None:
        """End the thread after the transaction it is in."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _wake(self) -> None:
        if self._thread is None and not self._is_stopped:
            self._thread = threading.Thread(target=self._work, name="epochal-compactor", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        while not self._is_stopped:
            run_no = self._next()
            try:
                if run_no is not None:
                    self._compact(run_no)
                elif self._is_untidy and not self._is_stopped:
                    self._is_untidy = self._tidy()
            except Exception:  # noqa: BLE001
                # A full disk, or one damaged run: others go on, and this one is tried again.
                _log.exception("a run could not be compacted; its blocks stay as they are")
                with self._changed:
                    self._changed.wait(_RETRY_S)

    def _next(self) -> int | None:
        """Wait for a run that is due and return it, None if there is something else to do."""
        with self._changed:
            while not self._is_stopped:
                now = self._clock()
                for run_no, backlog in self._backlogs.items():
                    if backlog.is_due() or now - backlog.last_append >= IDLE_S:
                        del self._backlogs[run_no]
                        return run_no
                if self._is_untidy:
                    return None
                waits = [IDLE_S - (now - backlog.last_append) for backlog in self._backlogs.values()]
                self._changed.wait(max(0.01, min(waits)) if waits else None)
            return None
