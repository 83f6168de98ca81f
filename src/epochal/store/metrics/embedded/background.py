"""When to compact: a thread that waits until a run has enough blocks, or has been quiet for a while."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from epochal.errors import DamagedStoreError, DiskFullError
from epochal.store.metrics.embedded.compactor import MAX_PASS_VALUES

_log = logging.getLogger(__name__)

# A run is due with so many values or blocks: queries read what is not in chunks from its blocks.
DUE_VALUES = 200_000
DUE_BLOCKS = 64
# With many keys it may wait longer, so that each key has so many new points on average: a chunk is a row of
# the file, and ten thousand of them cost the same for one point each as for a hundred.
DUE_POINTS_A_KEY = 256
WIDE_KEYS = 1000
# A run that is quiet for so long is brought into chunks whatever it has.
IDLE_S = 10.0
# A run that could not be compacted is tried again after so long, then ever later.
_FIRST_RETRY_S = 30.0
_LAST_RETRY_S = 3600.0


class Backlog(msgspec.Struct):
    """What a run has that is not in chunks."""

    n_blocks: int = 0
    n_values: int = 0
    n_keys: int = 0  # of its widest block
    last_append: float = 0.0  # monotonic seconds
    retry_at: float = 0.0  # monotonic seconds: not before, since it failed
    retry_s: float = 0.0  # the last wait after a failure

    def due_at(self, now: float) -> float:
        """Return when to compact, monotonic seconds; `now` or earlier if it has enough."""
        enough = min(max(DUE_VALUES, DUE_POINTS_A_KEY * self.n_keys), MAX_PASS_VALUES)
        has_enough = self.n_values >= enough or (self.n_blocks >= DUE_BLOCKS and self.n_keys < WIDE_KEYS)
        return max(now if has_enough else self.last_append + IDLE_S, self.retry_at)


class Background:
    """Calls `compact` for runs that are due, in a thread that begins with the first append.

    Args:
        compact: brings a run into chunks, given its number.
        tidy: does a little of what else there is to do; says whether there was any.
        clock: monotonic seconds.
        retry_s: a run that could not be compacted is tried again after so long, then ever later.
    """

    def __init__(
        self,
        compact: Callable[[int], None],
        tidy: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        retry_s: float = _FIRST_RETRY_S,
    ) -> None:
        self._retry_s = retry_s
        self._compact, self._tidy, self._clock = compact, tidy, clock
        self._backlogs: dict[int, Backlog] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_untidy = True
        self._tidy_at = self._tidy_retry_s = 0.0  # as of a backlog
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
            run_no, backlog = self._next()
            if run_no is not None:
                self._try_compact(run_no, backlog)
            elif not self._is_stopped:
                self._try_tidy()

    def _try_compact(self, run_no: int, backlog: Backlog) -> None:
        try:
            self._compact(run_no)
        except Exception as error:  # noqa: BLE001
            # A full disk, or one damaged run: others go on, and this one is tried again.
            _tell("history could not be brought into chunks and stays in blocks", error)
            with self._changed:
                wait_s = self._longer(backlog.retry_s)
                again = self._backlogs.setdefault(run_no, backlog)
                again.retry_s, again.retry_at = wait_s, self._clock() + wait_s
                if again is not backlog:
                    again.n_blocks += backlog.n_blocks
                    again.n_values += backlog.n_values

    def _try_tidy(self) -> None:
        # Before, so that what comes up meanwhile is not forgotten.
        self._is_untidy = False
        try:
            is_more = self._tidy()
        except Exception as error:  # noqa: BLE001  as above
            _tell("space could not be given back", error)
            self._tidy_retry_s = self._longer(self._tidy_retry_s)
            self._tidy_at = self._clock() + self._tidy_retry_s
            is_more = True
        else:
            self._tidy_retry_s = 0.0
        self._is_untidy = self._is_untidy or is_more

    def _longer(self, wait_s: float) -> float:
        return min(max(2 * wait_s, self._retry_s), _LAST_RETRY_S)

    def _next(self) -> tuple[int | None, Backlog]:
        """Wait for a run that is due and return it, None if there is something else to do."""
        with self._changed:
            while not self._is_stopped:
                now = self._clock()
                due = {run_no: backlog.due_at(now) for run_no, backlog in self._backlogs.items()}
                for run_no, at in due.items():
                    if at <= now:
                        return run_no, self._backlogs.pop(run_no)
                if self._is_untidy and self._tidy_at <= now:
                    return None, Backlog()
                times = [*due.values(), *([self._tidy_at] if self._is_untidy else [])]
                self._changed.wait(max(0.01, min(times) - now) if times else None)
            return None, Backlog()


def _tell(what: str, error: Exception) -> None:
    if isinstance(error, (DamagedStoreError, DiskFullError)):
        _log.error("%s: %s", what, error)
    else:
        _log.exception(what)
