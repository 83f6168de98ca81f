"""News that a run changed, as it goes from ingest to the pages that show the run."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from epochal.ids import RunId

ChangedPart = Literal["history", "system", "console", "summary", "run", "keys", "alerts"]


class Change(msgspec.Struct, frozen=True):
    """What of one run is new.  It says where to look again, not what is there now."""

    entity: str
    project: str
    run: RunId
    what: frozenset[ChangedPart]
    last_step: int | None = None

    def and_then(self, later: Change) -> Change:
        """Return both as one; `later` is a change of the same run."""
        return msgspec.structs.replace(later, what=self.what | later.what)


class Publisher(Protocol):
    """Takes changes from any thread and tells whoever listens."""

    def publish(self, change: Change) -> None:
        """Tell of `change`; returns at once."""
