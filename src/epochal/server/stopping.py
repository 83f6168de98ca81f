"""Stopping at a signal, from the first moment to the last.

Signals are only noted.  An exception in the middle of whatever runs (Python's own answer to Ctrl-C) could
leave a lock held that the clean-up waits for.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_EXIT_INTERRUPTED = 130


class StopSignals:
    """Notes SIGINT, SIGTERM and SIGHUP while it is entered.  For the main thread.

    The third one ends the process at once: stores survive that, a person may not want to wait.
    """

    def __init__(self) -> None:
        self.n_received = 0
        self._on_stop: Callable[[], None] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Started by nohup, a server is to outlive its terminal.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def call(self, on_stop: Callable[[], None]) -> None:
        """Call `on_stop` at every signal from now on, and at once if one has come."""
        self._on_stop = on_stop
        if self.n_received:
            on_stop()

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.n_received += 1
        if self.n_received > 2:
            os._exit(_EXIT_INTERRUPTED)
        if self._on_stop is not None:
            self._on_stop()
