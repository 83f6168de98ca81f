"""The one way into the stores: blocks of any run, in any order, sent any number of times.

The metric store is the truth and is written first; the metadata says up to where it has followed, per writer.
A crash between the two leaves the metadata behind, and it catches up from the stored blocks.  The other
way round cannot happen: a writer is in the metadata, durably, before its first block is stored.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from epochal.errors import BlockError, DeletedRunError
from epochal.ids import DEFAULT_ENTITY, RunId, WriterId, check_entity, check_project
from epochal.ingest.check import check_block, check_names
from epochal.ingest.fold import RunFold, new_run
from epochal.ingest.homes import Homes, RunName
from epochal.ingest.labels import label_console
from epochal.ingest.moving import Mover, clash
from epochal.ingest.outcome import Outcome, WriterName, is_passing, writer_of
from epochal.ingest.placing import place
from epochal.ingest.refuse import without_negative_steps
from epochal.runlog.format import Header
from epochal.store.metadata import LossRecord, Metadata, WriterRecord
from epochal.store.metadata.moves import Move
from epochal.store.metadata.projects import store_file
from epochal.store.metadata.writers import UnfinishedWriter
from epochal.store.metrics.contract import MetricStore, RunCopy, RunGoneError
from epochal.store.metrics.stores import MetricStores
from epochal.wire.block import Block
from epochal.wire.change import Change, Publisher

Wanted = dict[tuple[RunId, WriterId], int]

# Runs whose state is kept in memory, together at most so many values (a writing run needs it on every round).
MAX_HELD_VALUES = 300_000
# Each release is a transaction of the store, so it waits until it is worth one.
RELEASE_EVERY_BYTES = 4 << 20
# The last blocks of a run that is moved are copied while others wait: so few, if it does not write too fast.
_FEW_BLOCKS = 4
_MAX_ROUNDS = 20

_log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How far a run log was taken in."""

    offset: int = 0  # bytes: where the next block must begin; 0 for a run log not seen before
    has_ended: bool = False  # an exit record was among them


class Ingest:
    """Takes blocks into the stores of one data folder.  Thread-safe; there must be one per data folder.

    On creation, metadata that a crash left behind catches up.

    Args:
        metadata: of the data folder.
        stores: its metric stores.
        changes: told of every run that changed, after that is durable.
        clock: Unix seconds.
    """

    def __init__(
        self,
        metadata: Metadata,
        stores: MetricStores,
        changes: Publisher,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._metadata = metadata
        self._stores = stores
        self._changes = changes
        self._clock = clock
        self._lock = threading.RLock()
        self._project_keys: dict[tuple[str, str], int] = {}
        self._folds: OrderedDict[RunName, RunFold] = OrderedDict()  # last used last
        self._one_move = threading.Lock()
        self._mover = Mover(metadata, stores)
        self._mover.recover()
        self._homes = Homes(metadata.moves.names())
        self._catch_up_all()

    def accept(self, blocks: Sequence[Block]) -> Wanted:
        """Store what is new in `blocks`; durable on return.

        A block that is there already is skipped.  One that does not begin where its writer's last one ended
        is left out.  Both show in the answer.  A row with a negative step is left out too and becomes a loss
        of its run, so that it holds nothing else up.

        Returns:
            For every writer of `blocks` the offset at which its next block must begin.

        Raises:
            BlockError: a block is wrong in itself; nothing was stored.
            Exception: whatever a store raises, e.g. for a full disk.  Other projects' blocks were
                stored; it is safe to send everything again.
        """
        for block in blocks:
            check_block(block)
        blocks = [without_negative_steps(block) for block in blocks]
        wanted: Wanted = {}
        failures: list[Exception] = []
        with self._lock:
            at_home = [self._homes.of_block(block) for block in blocks]
            for (entity, project), of_project in _by_project(at_home).items():
                try:
                    wanted |= self._accept_project(entity, project, of_project)
                except Exception as error:  # noqa: BLE001  one project's full disk is not the others' trouble
                    failures.append(error)
        if failures:
            raise failures[0]
        return wanted

    def accept_each(self, blocks: Sequence[Block]) -> dict[WriterName, Outcome]:
        """Store what can be stored of `blocks`, which may be many senders'; durable on return.

        Like `accept`, but a block that is wrong, or a project whose disk is full, stops its own writer only.

        Returns:
            What became of every writer of `blocks`.
        """
        refused: dict[WriterName, Exception] = {}
        sound: list[Block] = []
        for block in blocks:
            try:
                check_block(block)
                block = without_negative_steps(block)
            except BlockError as error:
                refused.setdefault(writer_of(block), error)
            if writer_of(block) not in refused:
                sound.append(block)
        offsets: dict[WriterName, int] = {}
        with self._lock:
            failed = {self._writer_now(name): error for name, error in refused.items()}
            at_home = [self._homes.of_block(block) for block in sound]
            for of_project in _by_project(at_home).values():
                self._accept_apart(of_project, failed, offsets)
            return {
                name: self._outcome(self._writer_now(name), failed, offsets)
                for name in dict.fromkeys(map(writer_of, blocks))
            }

    def progress(self, header: Header) -> Progress:
        """Return how far the run log with this header was taken in.

        Raises:
            BlockError: the header has names that cannot be shown.
        """
        check_names(header.entity, header.project, header.run_id, header.writer)
        with self._lock:
            fold = self._find(self._homes.of(_name_of(header)))
            writer = None if fold is None else fold.writers.get(WriterId(header.writer))
            return Progress() if writer is None else Progress(writer.record.applied_offset, writer.has_ended)

    def finish(self, run_logs: Iterable[tuple[Header, Path]]) -> None:
        """Say that run logs of this machine were read to their end after their run had ended.

        They are not opened again, unless they grow.
        """
        with self._lock:
            folds: list[RunFold] = []
            for name, of_run in _by_run(run_logs).items():
                fold = self._find(self._homes.of(name))
                assert fold is not None, "a run log that was read has a run"
                for header, path in of_run:
                    fold.finish(WriterId(header.writer), str(path))
                folds.append(fold)
            self._save(folds)
            for fold in folds:
                self._release(fold, list(fold.writers))

    def delete_run(self, entity: str, project: str, run_id: RunId) -> bool:
        """Delete a run for good; return whether there was one.

        Answers at once whatever the run's size; its space comes back in the background.  Blocks of it that
        come later are refused.  If this is cut short, no block gets in meanwhile, and the next start ends it.
        """
        name = (entity, project, run_id)
        with self._lock:
            run = self._metadata.runs.get(entity, project, run_id, documents=())
            if run is None:
                return False
            self._folds.pop(name, None)
            # The next start looks at runs with writers that are not finished.
            with self._metadata.write() as connection:
                self._metadata.writers.reopen(connection, run.key)
            # Before the metadata, since it keeps later blocks out: from here on nothing can come back.
            old = self._metadata.moves.old_projects(run.key)
            for project_key in (*old, self._project_key(entity, project)):
                with self._stores.use(store_file(project_key)) as store:
                    store.delete_run(run_id, for_good=True)
            self._forget(run.key)
            self._homes.forget(name)
        self._changes.publish(Change(entity, project, run_id, frozenset({"run"})))
        return True

    def ask_to_move(self, entity: str, project: str, run_ids: Sequence[RunId], to: tuple[str, str]) -> int:
        """Say that runs are to be moved to another project; return how many of them there are.

        `carry_out` does it, run by run.  If one cannot be moved, none is.

        Args:
            entity: of the project that the runs are in.
            project: that one.
            run_ids: which runs; those that are not there are left out.
            to: entity and name of the other project, which is made if it is new.

        Raises:
            UsageError: they are in that project already, or another run there has the id of one, or had it,
                or one is on its way elsewhere.
        """
        check_entity(to[0])
        check_project(to[1])
        return self._mover.ask((entity, project), run_ids, to, self._clock())

    def carry_out(self, move: Move, tell: Callable[[int], None] = lambda _: None) -> None:
        """Move a run that was asked for.  Only while the last of it is copied does anybody wait.

        What its programs send under the old name goes to its new place from then on.

        Args:
            move: which.
            tell: is called with the bytes that were copied since, now and then; what it raises gives it up.

        Raises:
            RunGoneError: the run was deleted.
            UsageError: its project got another run with that id meanwhile.
            DiskFullError: there is no room.  The run is where it was, in all cases.
        """
        files = store_file(move.from_key), store_file(move.to_key)
        with self._one_move, self._stores.use(files[0]) as old, self._stores.use(files[1]) as new:
            if not old.sizes([move.run_id]) and self._switch(move, old, new, None):
                return
            with old.copy_run(move.run_id, new) as copy:
                for _ in range(_MAX_ROUNDS):
                    if copy.catch_up(tell) <= _FEW_BLOCKS:
                        break
                self._switch(move, old, new, copy)

    def _switch(self, move: Move, old: MetricStore, new: MetricStore, copy: RunCopy | None) -> bool:
        """Let the run be at its new place; return False if it has blocks, and no copy was begun."""
        with self._lock:
            name, new_name = self._mover.names(move)
            fold = self._find(name)
            if fold is None:
                raise RunGoneError(move.run_id)
            if self._find(new_name) is not None or new.is_deleted(move.run_id):
                raise clash(move.run_id, new_name[1])
            if copy is not None:
                # What the metadata does not know was left behind by an earlier attempt.
                new.delete_run(move.run_id)
                copy.finish()
            elif old.sizes([move.run_id]):
                return False
            try:
                self._mover.arrive(move)
            except BaseException:
                new.delete_run(move.run_id)
                raise
            self._folds.pop(name, None)
            self._homes.move(name, new_name)
            for writer in fold.writers.values():
                new.release(move.run_id, writer.record.writer, writer.record.applied_offset)
            self._mover.clear(move._replace(is_there=True))
        for changed in (name, new_name):
            self._changes.publish(Change(*changed, frozenset({"run"})))
        return True

    def _writer_now(self, name: WriterName) -> WriterName:
        return WriterName(*self._homes.of(name[:3]), name.writer)

    def report_loss(self, header: Header, loss: LossRecord) -> None:
        """Put damage on record that is in no block: a file beside that run log which cannot be read."""
        with self._lock:
            name = self._homes.of(_name_of(header))
            fold = self._find(name)
            assert fold is not None, "a run log that was read has a run"
            fold.lose(loss)
            self._save([fold])
            self._publish([(name, fold)])

    def _forget(self, run_key: int) -> None:
        with self._metadata.write() as connection:
            self._metadata.runs.delete(connection, run_key)

    def _accept_apart(
        self,
        blocks: Sequence[Block],
        failed: dict[WriterName, Exception],
        offsets: dict[WriterName, int],
    ) -> None:
        """Store blocks of one project: at once if that goes, else run by run, and at last block by block.

        Args:
            blocks: checked.
            failed: writers of which nothing more is to be stored; those that fail here are added.
            offsets: is told where the writers' next blocks must begin.
        """
        blocks = [block for block in blocks if writer_of(block) not in failed]
        try:
            due = self._due(blocks, offsets)
            if due:
                entity, project, *_ = writer_of(due[0])
                wanted = self._accept_project(entity, project, due)
                offsets |= {WriterName(entity, project, *name): offset for name, offset in wanted.items()}
        except Exception as error:  # noqa: BLE001  found out below whose fault it is
            if is_passing(error) or len(blocks) == 1:
                failed |= {writer_of(block): error for block in blocks}
            else:
                for part in _parts(blocks):
                    self._accept_apart(part, failed, offsets)

    def _due(self, blocks: Iterable[Block], offsets: dict[WriterName, int]) -> list[Block]:
        """Return those that begin where their writer's last one ends.

        The others must not make a run that nobody has seen a row of.
        """
        ends: dict[WriterName, int] = {}
        due: list[Block] = []
        for block in blocks:
            name = writer_of(block)
            if name not in ends:
                ends[name] = offsets[name] = self._applied_offset(name)
            if block.first_offset == ends[name]:
                ends[name] = block.end_offset
                due.append(block)
        return due

    def _outcome(
        self, name: WriterName, failed: Mapping[WriterName, Exception], offsets: Mapping[WriterName, int]
    ) -> Outcome:
        error = failed.get(name)
        try:
            return Outcome(offsets[name] if name in offsets else self._applied_offset(name), error)
        except Exception as broken:  # noqa: BLE001  a run that cannot be read is its writers' trouble alone
            return Outcome(0, error or broken)

    def _applied_offset(self, name: WriterName) -> int:
        fold = self._find(name[:3])
        writer = None if fold is None else fold.writers.get(name.writer)
        return 0 if writer is None else writer.record.applied_offset

    def _accept_project(self, entity: str, project: str, blocks: Sequence[Block]) -> Wanted:
        names: list[RunName] = list(dict.fromkeys((entity, project, b.run_id) for b in blocks))
        try:
            folds = self._introduce(names, blocks)
            key = next(iter(folds.values())).project_key
            with self._stores.use(store_file(key)) as store:
                accepted = self._apply(folds, blocks)
                if accepted:
                    store.append(accepted)
                    self._save(folds.values())
        except BaseException:
            # What is in memory may be ahead of the stores now; they are read again when next needed.
            for name in names:
                self._folds.pop(name, None)
            raise
        wanted = {
            (b.run_id, b.writer): folds[entity, project, b.run_id].writers[b.writer].record.applied_offset
            for b in blocks
        }
        self._publish(folds.items())
        self._release_large(folds.values())
        self._shrink()
        return wanted

    def _apply(self, folds: dict[RunName, RunFold], blocks: Sequence[Block]) -> list[Block]:
        """Apply the blocks that are due, placed, and return them."""
        now = self._clock()
        accepted: list[Block] = []
        for block in blocks:
            fold = folds[block.entity or DEFAULT_ENTITY, block.project, block.run_id]
            writer = fold.writers[block.writer]
            if block.first_offset == writer.record.applied_offset:
                placed = place(block, fold.next_step, writer.placed)
                fold.apply(placed, now=now)
                accepted.append(label_console(placed, writer.label))
        return accepted

    def _introduce(self, names: Sequence[RunName], blocks: Iterable[Block]) -> dict[RunName, RunFold]:
        """Return the folds of runs of one project; new runs and writers are in the metadata on return."""
        folds = {name: fold for name in names if (fold := self._find(name)) is not None}
        now = self._clock()
        is_new = len(folds) < len(names) or any(
            b.writer not in folds[b.entity or DEFAULT_ENTITY, b.project, b.run_id].writers for b in blocks
        )
        if not is_new:
            return folds
        entity, project, _ = names[0]
        self._refuse_deleted(name for name in names if name not in folds)
        with self._metadata.write() as connection:
            # Above every file that is there: were the metadata lost, an old file may be of any project.
            above = self._stores.highest_number()
            project_key = self._metadata.projects.ensure(connection, entity, project, now=now, above=above)
            new = [run_id for *_, run_id in names if (entity, project, run_id) not in folds]
            keys = self._metadata.runs.ensure(connection, project_key, new, now=now) if new else {}
            for run_id, key in keys.items():
                run = new_run(key, run_id, entity, project, now=now)
                fold = RunFold(project_key, run, (), {})
                folds[entity, project, run_id] = self._folds[entity, project, run_id] = fold
            for block in blocks:
                fold = folds[block.entity or DEFAULT_ENTITY, block.project, block.run_id]
                if block.writer not in fold.writers:
                    fold.introduce(WriterRecord(writer=block.writer, kind=block.kind, started_at=now))
            self._metadata.writers.save(connection, _changed_writers(folds.values()))
        return folds

    def _refuse_deleted(self, new: Iterable[RunName]) -> None:
        """Make sure that nothing is made in the metadata of runs that were deleted.

        Raises:
            DeletedRunError: one was.
        """
        for entity, project, run_id in new:
            key = self._metadata.projects.key_of(entity, project)
            if key is not None:
                with self._stores.use(store_file(key)) as store:
                    if store.is_deleted(run_id):
                        raise DeletedRunError(run_id)

    def _find(self, name: RunName) -> RunFold | None:
        """Return the fold of a run that is in the metadata, up to date with the metric store."""
        fold = self._folds.get(name)
        if fold is not None:
            self._folds.move_to_end(name)
            return fold
        entity, project, run_id = name
        run = self._metadata.runs.get(entity, project, run_id)
        if run is None:
            return None
        project_key = self._project_key(entity, project)
        writers = self._metadata.writers.of_run(run.key)
        fold = RunFold(project_key, run, writers, self._metadata.documents.get(run.key, "fold"))
        self._catch_up(name, fold)
        self._folds[name] = fold
        return fold

    def _project_key(self, entity: str, project: str) -> int:
        key = self._project_keys.get((entity, project))
        if key is None:
            key = self._metadata.projects.key_of(entity, project)
            assert key is not None, "a run has a project"
            self._project_keys[entity, project] = key
        return key

    def _catch_up_all(self) -> None:
        """Bring every run up to date whose metadata a crash left behind."""
        damaged: set[tuple[str, str]] = set()
        for writer in self._metadata.writers.unfinished():
            project = (writer.entity, writer.project)
            if project in damaged:
                continue
            try:
                self._catch_up_writer(writer)
            except Exception:  # one project's damage must not keep the others from being seen  # noqa: BLE001
                _log.exception("the history of %s/%s cannot be read", *project)
                damaged.add(project)
        self._shrink()

    def _catch_up_writer(self, writer: UnfinishedWriter) -> None:
        key = self._project_key(writer.entity, writer.project)
        with self._stores.use(store_file(key)) as store:
            stored = store.end_offset(writer.run_id, writer.writer)
            # A run that is there has at least what was taken in of it.
            is_deleted = (stored == 0 or stored < writer.applied_offset) and store.is_deleted(writer.run_id)
        if is_deleted:
            run = self._metadata.runs.get(writer.entity, writer.project, writer.run_id, documents=())
            if run is not None:  # else it went with another of its writers
                self._forget(run.key)
        elif stored > writer.applied_offset:
            self._find((writer.entity, writer.project, writer.run_id))

    def _catch_up(self, name: RunName, fold: RunFold) -> None:
        """Apply the stored blocks that the metadata missed.  Their rows have their steps already."""
        now = self._clock()
        n_blocks = 0
        with self._stores.use(store_file(fold.project_key)) as store:
            for writer in fold.writers.values():
                offset = writer.record.applied_offset
                if store.end_offset(name[2], writer.record.writer) > offset:
                    for block in store.blocks_from(name[2], writer.record.writer, offset):
                        fold.apply(block, now=now)
                        n_blocks += 1
        if n_blocks:
            _log.info("run %s of %s/%s: %d blocks caught up", name[2], name[0], name[1], n_blocks)
            self._save([fold])

    def _save(self, folds: Collection[RunFold]) -> None:
        """Bring the metadata to the state of `folds`, in one transaction."""
        store = self._metadata
        with store.write() as connection:
            store.runs.save(connection, (fold.record() for fold in folds))
            store.projects.touch(connection, ((fold.project_key, fold.run.heartbeat_at) for fold in folds))
            store.documents.put(connection, ((fold.run.key, fold.take_documents()) for fold in folds))
            store.losses.add(connection, ((fold.run.key, loss) for fold in folds for loss in fold.new_losses))
            said = (alert for fold in folds for alert in fold.take_alerts())
            store.alerts.add(connection, said, now=self._clock())
            store.definitions.put(connection, (said for fold in folds for said in fold.take_definitions()))
            store.writers.save(connection, _changed_writers(folds))
        for fold in folds:
            fold.saved()

    def _publish(self, folds: Iterable[tuple[RunName, RunFold]]) -> None:
        for (entity, project, run_id), fold in folds:
            what = fold.take_news()
            if what:
                self._changes.publish(Change(entity, project, run_id, what, fold.run.last_step))

    def _release_large(self, folds: Iterable[RunFold]) -> None:
        for fold in folds:
            writers = [
                name
                for name, writer in fold.writers.items()
                if writer.record.applied_offset - writer.released > RELEASE_EVERY_BYTES
            ]
            self._release(fold, writers)

    def _release(self, fold: RunFold, writers: Sequence[WriterId]) -> None:
        """Tell the store how far the metadata has followed: blocks before that need not be kept for it."""
        if not writers:
            return
        with self._stores.use(store_file(fold.project_key)) as store:
            for name in writers:
                writer = fold.writers[name]
                store.release(fold.run.run_id, name, writer.record.applied_offset)
                writer.released = writer.record.applied_offset

    def _shrink(self) -> None:
        """Forget the runs that were used longest ago, down to the bound on memory."""
        held = sum(fold.size for fold in self._folds.values())
        while held > MAX_HELD_VALUES and len(self._folds) > 1:
            held -= self._folds.popitem(last=False)[1].size


def _changed_writers(folds: Iterable[RunFold]) -> Iterable[tuple[int, WriterRecord]]:
    return ((fold.run.key, record) for fold in folds for record in fold.changed_writer_records())


def _name_of(header: Header) -> RunName:
    return header.entity or DEFAULT_ENTITY, header.project, RunId(header.run_id)


def _by_run(run_logs: Iterable[tuple[Header, Path]]) -> dict[RunName, list[tuple[Header, Path]]]:
    by_run: dict[RunName, list[tuple[Header, Path]]] = {}
    for header, path in run_logs:
        by_run.setdefault(_name_of(header), []).append((header, path))
    return by_run


def _by_project(blocks: Iterable[Block]) -> dict[tuple[str, str], list[Block]]:
    projects: dict[tuple[str, str], list[Block]] = {}
    for block in blocks:
        projects.setdefault((block.entity or DEFAULT_ENTITY, block.project), []).append(block)
    return projects


def _parts(blocks: Sequence[Block]) -> list[list[Block]]:
    """Return the blocks of each run, or each block if they are all of one."""
    runs: dict[RunId, list[Block]] = {}
    for block in blocks:
        runs.setdefault(block.run_id, []).append(block)
    return list(runs.values()) if len(runs) > 1 else [[block] for block in blocks]
