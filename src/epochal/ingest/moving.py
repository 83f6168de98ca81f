"""Moves runs between projects: metadata and the two stores agree at every instant at which a kill may come.

The metadata says first that a run is on its way, and where to.  Then its history is copied.  Then one
transaction of the metadata makes it a run of its new project, which is the moment of the move.  At last its
old place is cleared.  Whatever comes in between, `finish` clears the place where the run is not.
"""

from __future__ import annotations

import logging

from epochal.ingest.homes import RunName
from epochal.store.metadata import Metadata
from epochal.store.metadata.definitions import SaidDefinition
from epochal.store.metadata.moves import Move
from epochal.store.metadata.projects import store_file
from epochal.store.metrics.stores import MetricStores

_log = logging.getLogger(__name__)


class Mover:
    """Does the steps of a move, one run at a time.

    Args:
        metadata: of the data folder.
        stores: its metric stores.
    """

    def __init__(self, metadata: Metadata, stores: MetricStores) -> None:
        self._metadata, self._stores = metadata, stores

    def begin(self, name: RunName, new_name: RunName, *, now: float) -> Move | None:
        """Say that a run is on its way to a project, which is made if it is new; None if there is no run."""
        run = self._metadata.runs.get(*name, documents=())
        from_key = self._metadata.projects.key_of(*name[:2])
        if run is None or from_key is None:
            return None
        above = self._stores.highest_number()
        with self._metadata.write() as connection:
            to_key = self._metadata.projects.ensure(connection, *new_name[:2], now=now, above=above)
            self._metadata.moves.begin(connection, run.key, from_key, to_key)
        return Move(run.key, run.run_id, from_key, to_key, is_there=False)

    def carry(self, move: Move) -> None:
        """Copy the history of a run that takes nothing meanwhile."""
        source, target = store_file(move.from_key), store_file(move.to_key)
        with self._stores.use(source) as old, self._stores.use(target) as new:
            old.copy_run(move.run_id, new)

    def arrive(self, move: Move) -> None:
        """Let a run that was copied be one of its new project."""
        (run,) = self._metadata.runs.of_keys([move.run_key], documents=())
        definitions = self._metadata.definitions.of_run(move.run_key)
        said = [SaidDefinition(move.to_key, move.run_key, run.created_at, d) for d in definitions]
        with self._metadata.write() as connection:
            self._metadata.moves.arrive(connection, move)
            self._metadata.definitions.put(connection, said)
            self._metadata.projects.touch(connection, [(move.to_key, run.heartbeat_at)])

    def finish(self) -> None:
        """Clear the place where each run on its way is not, or no more."""
        for move in self._metadata.moves.open():
            place = move.from_key if move.is_there else move.to_key
            try:
                with self._stores.use(store_file(place)) as store:
                    store.delete_run(move.run_id)
                with self._metadata.write() as connection:
                    self._metadata.moves.end(connection, move.run_key)
            except Exception:  # the run itself is whole, and this is tried again  # noqa: BLE001
                _log.exception("what a move of the run %s left behind could not be removed", move.run_id)
