"""What there is once per process: the runs that are live, the one that module-level names mean, and what
`login()` and `setup()` said.

A forked child is told here, and nowhere else, that its runs belong to another process.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from epochal.sdk.settings import Settings

if TYPE_CHECKING:
    from epochal.sdk.run import Run

# Looked up in the package itself while a run is live, so that `wandb.log` is the run's own method.
_RUN_METHODS = ("log", "define_metric", "save", "mark_preempting", "alert")


class ProcessState:
    """The one of this process."""

    def __init__(self) -> None:
        self.current: Run | None = None
        self.settings = Settings()
        # Servers that a run's end waited for in vain, and when the last one did, by the monotonic clock.
        self.waited_in_vain: dict[str, float] = {}
        self._live: list[Run] = []
        self._knows_forks = False

    def live(self) -> list[Run]:
        """Return the runs that are not finished, oldest first."""
        return list(self._live)

    def begin(self, run: Run) -> None:
        """Take a run in."""
        self._live.append(run)
        if not self._knows_forks:
            self._knows_forks = True
            os.register_at_fork(after_in_child=self._in_child)

    def end(self, run: Run) -> None:
        """Let a run go; module-level names mean none if they meant it."""
        if run in self._live:
            self._live.remove(run)
        if self.current is run:
            self.set_current(None)

    def set_current(self, run: Run | None) -> None:
        """Make module-level names mean `run`."""
        self.current = run
        names = vars(sys.modules["epochal"])
        if run is None:
            for name in ("run", "config", "summary", *_RUN_METHODS):
                names.pop(name, None)
        else:
            names.update(run=run, config=run.config, summary=run.summary)
            names.update({name: getattr(run, name) for name in _RUN_METHODS})

    def _in_child(self) -> None:
        """After a fork, in the child: nothing here takes a lock, waits, or writes."""
        for run in self._live:
            run._become_foreign()


process = ProcessState()
