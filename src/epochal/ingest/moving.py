"""Moves runs between projects: metadata and the two stores agree at every instant at which a kill may come.

The metadata says first that a run is to be moved, and where to.  Then its history is copied, while it is
logged to and read as ever.  Then, within milliseconds, the rest is copied, the copy gets its id, and one
transaction of the metadata makes it a run of its new project: the moment of the move.  At last its old place
is cleared.  What a kill leaves half done is undone at the next start, and then done again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from epochal.errors import UsageError
from epochal.ids import RunId
from epochal.ingest.homes import RunName
from epochal.store.metadata import Metadata
from epochal.store.metadata.definitions import SaidDefinition
from epochal.store.metadata.moves import Move
from epochal.store.metadata.projects import store_file
from epochal.store.metrics.contract import RunGoneError
from epochal.store.metrics.stores import MetricStores

_log = logging.getLogger(__name__)


class MoveRefusedError(UsageError):
    """A run cannot be moved to where it was to go."""


class Mover:
    """Keeps in the metadata which runs are on their way, and clears up after them.

    Args:
        metadata: of the data folder.
        stores: its metric stores.
    """

    def __init__(self, metadata: Metadata, stores: MetricStores) -> None:
        self._metadata, self._stores = metadata, stores

    def ask(self, project: tuple[str, str], run_ids: Sequence[RunId], to: tuple[str, str], now: float) -> int:
        """Say that runs of a project are to be moved to another one; return how many there are.

        All of them or, if one cannot be, none.  A run that is on its way there already is left to it.

        Raises:
            MoveRefusedError: one is there, or another run there has its id, or had it.
        """
        if project == to:
            raise MoveRefusedError(f"The runs are in the project {to[1]} already.")
        from_key = self._metadata.projects.key_of(*project)
        is_new = self._metadata.projects.key_of(*to) is None
        above = self._stores.highest_number()
        with self._metadata.write() as connection:
            keys = {} if from_key is None else self._metadata.moves.keys_of(connection, from_key, run_ids)
            if from_key is None or not keys:
                return 0
            to_key = self._metadata.projects.ensure(connection, *to, now=now, above=above)
            under_way = {move.run_key: move.to_key for move in self._metadata.moves.open(connection)}
            new = {run: key for run, key in keys.items() if under_way.get(key) != to_key}
            for run_id, key in new.items():
                if key in under_way:
                    raise MoveRefusedError(f"The run {run_id} is on its way to another project.")
            taken = self._metadata.moves.names_taken(connection, to_key, new)
            taken |= set() if is_new else self._deleted(to_key, new)
            if taken:
                raise clash(min(taken), to[1])
            for key in new.values():
                self._metadata.moves.begin(connection, key, from_key, to_key)
        return len(keys)

    def arrive(self, move: Move) -> None:
        """Let a run that was copied be one of its new project."""
        (run,) = self._metadata.runs.of_keys([move.run_key], documents=())
        definitions = self._metadata.definitions.of_run(move.run_key)
        said = [SaidDefinition(move.to_key, move.run_key, run.created_at, d) for d in definitions]
        with self._metadata.write() as connection:
            self._metadata.moves.arrive(connection, move)
            self._metadata.definitions.put(connection, said)
            self._metadata.projects.touch(connection, [(move.to_key, run.heartbeat_at)])

    def names(self, move: Move) -> tuple[RunName, RunName]:
        """Return the names of a run where it is and where it is to go."""
        old, new = self._metadata.projects.names_of([move.from_key, move.to_key])
        return (*old, move.run_id), (*new, move.run_id)

    def end(self, move: Move) -> None:
        """Say that nothing is left to be done for a run, or that it stays where it is."""
        with self._metadata.write() as connection:
            self._metadata.moves.end(connection, move.run_key)

    def recover(self) -> None:
        """Clear the place where each run on its way is not, or no more; nothing may come in meanwhile."""
        for move in self._metadata.moves.open():
            self.clear(move)

    def clear(self, move: Move) -> None:
        """Clear the place where a run is not, or no more; nothing may come in meanwhile."""
        try:
            self._clear(move)
        except Exception:  # the run itself is whole, and this is tried again  # noqa: BLE001
            _log.exception("what a move of the run %s left behind could not be removed", move.run_id)

    def _clear(self, move: Move) -> None:
        if move.is_there:
            with self._stores.use(store_file(move.from_key)) as store:
                store.delete_run(move.run_id)
            self.end(move)
        elif not self._metadata.moves.has_run(move.to_key, move.run_id):
            # Of a run that the metadata does not know.  One that it knows is another run, of that project.
            with self._stores.use(store_file(move.to_key)) as store:
                store.delete_run(move.run_id)

    def _deleted(self, project_key: int, run_ids: Mapping[RunId, int]) -> set[RunId]:
        with self._stores.use(store_file(project_key)) as store:
            return {run_id for run_id in run_ids if store.is_deleted(run_id)}


def clash(run_id: RunId, project: str) -> MoveRefusedError:
    """Return the error of a run that would be taken for another one."""
    return MoveRefusedError(
        f"The run {run_id} cannot be moved: the project {project} has, or had, another run with that id."
    )


class _Moving(Protocol):
    """What the thread needs of ingest."""

    def carry_out(self, move: Move, tell: Callable[[int], None]) -> None:
        """Move one run."""


class MoveProgress(NamedTuple):
    """Where the move of a run is."""

    move: Move
    n_copied: int  # bytes
    error: str | None  # why it stays where it is


class MovingThread:
    """Moves the runs that are on their way, one after the other, in a thread.

    What a server that stops leaves is gone on with by the next one.

    Args:
        metadata: says which runs are on their way.
        ingest: moves them.
    """

    def __init__(self, metadata: Metadata, ingest: _Moving) -> None:
        self._metadata, self._ingest = metadata, ingest
        self._n_copied: dict[int, int] = {}
        self._failed: dict[int, MoveProgress] = {}  # by run; until it is asked for again
        self._is_asked, self._is_stopped = threading.Event(), threading.Event()
        self._is_asked.set()
        self._thread = threading.Thread(target=self._work, name="mover", daemon=True)

    def start(self) -> None:
        """Begin with what is there."""
        self._thread.start()

    def stop(self) -> None:
        """End after the transaction that is under way."""
        self._is_stopped.set()
        self._is_asked.set()
        self._thread.join()

    def wake(self) -> None:
        """Take note that runs are to be moved."""
        self._is_asked.set()

    def progress(self, project_key: int) -> list[MoveProgress]:
        """Return how the runs are doing that are moved out of a project, or into it.

        Those that could not be moved stay in it until the server stops, or they are asked for again.
        """
        moves = {m.run_key: MoveProgress(m, self._n_copied.get(m.run_key, 0), None) for m in self._open()}
        every = dict(self._failed) | moves
        return [p for p in every.values() if project_key in (p.move.from_key, p.move.to_key)]

    def _open(self) -> list[Move]:
        return self._metadata.moves.open()

    def _work(self) -> None:
        while not self._is_stopped.is_set():
            self._is_asked.wait()
            self._is_asked.clear()
            try:
                while not self._is_stopped.is_set() and (moves := self._open()):
                    for move in moves:
                        self._move(move)
            except _StoppedError:
                return
            except Exception:  # noqa: BLE001  of the metadata: the next one who asks wakes it again
                _log.exception("runs could not be moved")

    def _move(self, move: Move) -> None:
        def tell(n_bytes: int) -> None:
            self._n_copied[move.run_key] = self._n_copied.get(move.run_key, 0) + n_bytes
            if self._is_stopped.is_set():
                raise _StoppedError

        tell(0)
        self._failed.pop(move.run_key, None)
        try:
            self._ingest.carry_out(move, tell)
        except (_StoppedError, RunGoneError):
            raise_if_stopped(self._is_stopped)
        except Exception as error:  # noqa: BLE001  a full disk, damage, an id that was taken meanwhile
            _log.warning("the run %s is not moved: %s", move.run_id, error)
            self._failed[move.run_key] = MoveProgress(move, 0, str(error))
            with self._metadata.write() as connection:
                self._metadata.moves.end(connection, move.run_key)
        finally:
            self._n_copied.pop(move.run_key, None)


def raise_if_stopped(is_stopped: threading.Event) -> None:
    """Leave the work to the next start if the server is stopping."""
    if is_stopped.is_set():
        raise _StoppedError


class _StoppedError(Exception):
    """The server is stopping."""
