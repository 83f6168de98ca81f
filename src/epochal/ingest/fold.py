"""What is known of one run, brought up to date block by block.

The metric store is the truth: whatever is here comes from blocks alone, in their order, so that after a
crash the blocks which the metadata missed are read back and nothing else is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec
import numpy as np

from epochal.ids import RunId, WriterId
from epochal.ingest.alerts import said_alert
from epochal.ingest.placing import Span, remember
from epochal.ingest.sessions import Witness, end_of
from epochal.ingest.steps import StepSet
from epochal.ingest.values import fold_summary
from epochal.runlog.format import RecordType
from epochal.runlog.summary import SummaryFold
from epochal.store.metadata.definitions import SaidDefinition
from epochal.store.metadata.documents import StoredDocument
from epochal.store.metadata.records import LossRecord, MetricDefinition, NewAlert, RunRecord, WriterRecord
from epochal.wire.block import Block
from epochal.wire.change import ChangedPart

# A run log that is all damage must not fill the metadata; the sum of what is left out goes into the last one.
MAX_LOSSES_PER_BLOCK = 100

_PARTS: dict[int, ChangedPart] = {
    RecordType.HEADER: "run",
    RecordType.CONFIG: "run",
    RecordType.DEFINE_METRIC: "run",
    RecordType.CONSOLE: "console",
    RecordType.SYSTEM: "system",
    RecordType.ALERT: "alerts",
    RecordType.ATTRIBUTES: "run",
    RecordType.EXIT: "run",
    RecordType.METADATA: "run",
    RecordType.HEARTBEAT: "run",
}


class WriterState(msgspec.Struct):
    """What one writer's frames said so far."""

    record: WriterRecord
    placed: list[Span] = []
    exit: dict[str, object] | None = None
    exit_at: float = 0.0
    watches: str | None = None  # of a sidecar: the writer it watches
    is_preempting: bool = False  # it said that it is about to be taken away
    is_shared: bool = False  # its run has many writers, from anywhere
    released: int = 0  # bytes: what the store was told

    @property
    def label(self) -> str | None:
        """What tells its output from that of the run's other writers."""
        return self.record.label if self.is_shared else None

    @property
    def has_ended(self) -> bool:
        """Whether the writer told an end."""
        return self.exit is not None


class RunFold:
    """The state of one run.  Not thread-safe.

    Args:
        project_key: of its project in the metadata.
        run: as stored, with all documents.
        writers: as stored.
        state: the stored document `fold`; empty for a new run.
    """

    def __init__(
        self,
        project_key: int,
        run: RunRecord,
        writers: Iterable[WriterRecord],
        state: Mapping[str, Any],
    ) -> None:
        self.project_key = project_key
        self.run = run
        said: Mapping[str, Any] = state.get("writers", {})
        self.writers = {w.writer: _writer_state(w, said.get(w.writer, {})) for w in writers}
        self.steps = StepSet.from_state(state["steps"]) if "steps" in state else StepSet()
        if state.get("preempting"):  # as kept by versions that did not note whose word it was
            for writer in self.writers.values():
                writer.is_preempting = True
        self._began = bool(state.get("began"))
        self._summary = SummaryFold.from_state(state["summary"]) if "summary" in state else SummaryFold()
        self._config = dict(run.config)
        self._metadata = dict(run.metadata)
        self._keys: set[str] = set()  # seen since this object was made
        # What the metadata does not have yet, and what nobody was told yet.
        self.changed_documents: set[StoredDocument] = set()
        self.changed_writers: set[WriterId] = set()
        self.changed_definitions: set[str] = set()
        self.new_losses: list[LossRecord] = []
        self.new_alerts: list[NewAlert] = []
        self._what: set[ChangedPart] = set()

    @property
    def size(self) -> int:
        """Roughly how many values are held, to bound the memory of many runs."""
        # Measured: some 25 KB beside the keys, and 200 bytes a value.
        return 120 + len(self._keys) + 2 * len(self._summary) + len(self._config) + 10 * len(self.writers)

    @property
    def next_step(self) -> int:
        """The first step that no row has, above all others."""
        highest = self.steps.highest
        return 0 if highest is None else max(0, highest + 1)

    def introduce(self, writer: WriterRecord) -> None:
        """Take in a writer that was not known."""
        self.writers[writer.writer] = WriterState(writer)
        self.changed_writers.add(writer.writer)

    def apply(self, block: Block, *, now: float) -> None:
        """Take in the next block of a known writer, with its steps placed.

        Args:
            block: begins where the writer's last one ended.
            now: Unix seconds; no sign of life is later.
        """
        writer = self.writers[block.writer]
        writer.record = msgspec.structs.replace(
            writer.record, applied_offset=block.end_offset, is_finished=False
        )
        writer.placed = remember(writer.placed, block.placed)
        self.changed_writers.add(block.writer)
        self.changed_documents.add("fold")
        self._live_until(min(_latest(block), now))
        for _, record in block.records:
            self._apply_record(writer, record)
        if fold_summary(self._summary, block):
            self.changed_documents.add("summary")
            self._what.add("summary")
        self._apply_rows(block)
        self._lose(block)

    def lose(self, loss: LossRecord) -> None:
        """Take in damage that is in no block."""
        self.new_losses.append(loss)
        self._what.add("run")

    def record(self) -> RunRecord:
        """Return what the metadata is to hold of the run, without its documents."""
        end = end_of(_witness(state) for state in self.writers.values())
        self.run = msgspec.structs.replace(
            self.run,
            end_state=None if end is None else end.state,
            ended_at=None if end is None else end.at,
            exit=None if end is None else end.exit,
            last_step=self.steps.highest,
            n_rows=self.steps.n,
        )
        return self.run

    def take_documents(self) -> dict[StoredDocument, Mapping[str, object]]:
        """Return the documents that changed."""
        makers = {
            "config": lambda: self._config,
            "metadata": lambda: self._metadata,
            "summary": self._summary.flat,
            "fold": self._state,
        }
        return {kind: makers[kind]() for kind in self.changed_documents}

    def take_definitions(self) -> list[SaidDefinition]:
        """Return the metric definitions that changed."""
        return [
            SaidDefinition(
                self.project_key,
                self.run.key,
                self.run.created_at,
                definition_record(self._summary.definitions[name]),
            )
            for name in self.changed_definitions
        ]

    def take_alerts(self) -> list[tuple[int, int, NewAlert]]:
        """Return the new alerts, each with the keys of project and run."""
        return [(self.project_key, self.run.key, alert) for alert in self.new_alerts]

    def changed_writer_records(self) -> list[WriterRecord]:
        """Return the writers that changed."""
        return [self.writers[name].record for name in sorted(self.changed_writers)]

    def finish(self, writer: WriterId, path: str) -> None:
        """Take note that a writer's run log on this machine need not be read again."""
        state = self.writers[writer]
        state.record = msgspec.structs.replace(state.record, is_finished=True, path=path)
        self.changed_writers.add(writer)

    def saved(self) -> None:
        """Say that the metadata has everything."""
        self.changed_documents = set()
        self.changed_writers = set()
        self.changed_definitions = set()
        self.new_losses = []
        self.new_alerts = []

    def take_news(self) -> frozenset[ChangedPart]:
        """Return what changed since this was asked last."""
        news = frozenset(self._what)
        self._what.clear()
        return news

    def _state(self) -> dict[str, object]:
        said = {
            name: said
            for name, w in self.writers.items()
            if (said := {field: value for field, value in _said_by(w).items() if value})
        }
        return {
            "steps": self.steps.to_state(),
            "summary": self._summary.to_state(),
            "writers": said,
            "began": self._began,
        }

    def _apply_rows(self, block: Block) -> None:
        if block.n_rows == 0:
            return
        self.steps.add_block(block)
        self._what.add("history")
        keys = {column.key for column in block.columns}
        if not keys <= self._keys:
            self._keys |= keys
            self._what.add("keys")

    def _apply_record(self, writer: WriterState, record: list[object]) -> None:
        kind = record[0]
        part = _PARTS.get(kind) if isinstance(kind, int) else None
        if part is not None:
            self._what.add(part)
        said = record[2] if len(record) > 2 and isinstance(record[2], dict) else {}
        match kind:
            case RecordType.HEADER:
                self._begin(writer, said)
            case RecordType.CONFIG:
                self._configure(said, record[3] if len(record) > 3 else None)
            case RecordType.DEFINE_METRIC if isinstance(said.get("name"), str) and said["name"]:
                self.changed_definitions.add(cast("str", said["name"]))
            case RecordType.ATTRIBUTES:
                self._describe(writer, said)
            case RecordType.EXIT:
                writer.exit, writer.exit_at = said, _seconds(record[1])
            case RecordType.METADATA:
                self._metadata |= said
                self.changed_documents.add("metadata")
            case RecordType.ALERT:
                self.new_alerts.append(said_alert(writer.record.writer, record))
            case RecordType.LOST:
                self._lose_records(writer.record.writer, said)

    def _begin(self, writer: WriterState, header: Mapping[str, object]) -> None:
        started_at = _seconds(header.get("start_time"))
        label = header.get("label")
        writer.record = msgspec.structs.replace(
            writer.record, started_at=started_at, label=label if isinstance(label, str) else None
        )
        writer.watches = _text(header.get("watches"))
        writer.is_shared = header.get("mode") == "shared"
        created_at = min(started_at or self.run.created_at, self.run.created_at)
        self.run = msgspec.structs.replace(self.run, created_at=created_at)

    def _configure(self, said: Mapping[str, object], deleted: object) -> None:
        self._config |= said
        for name in deleted if isinstance(deleted, list) else []:
            if isinstance(name, str):
                self._config.pop(name, None)
        self.changed_documents.add("config")

    def _describe(self, writer: WriterState, said: Mapping[str, object]) -> None:
        changed: dict[str, Any] = {}
        for name in ("notes", "group", "job_type"):
            if name in said:
                changed[name] = _text(said[name])
        if "name" in said:
            changed["name"] = _text(said["name"]) or self.run.run_id
        if "tags" in said:
            tags = said["tags"]
            changed["tags"] = tuple(str(tag) for tag in tags) if isinstance(tags, (list, tuple)) else ()
        if said.get("preempting") is True:
            writer.is_preempting = True
        self.run = msgspec.structs.replace(self.run, **changed)

    def _live_until(self, at: float) -> None:
        if not self._began:
            # Until now the times were those of the first look at it, which may be long after its end.
            self._began = True
            self.run = msgspec.structs.replace(self.run, created_at=at, heartbeat_at=at)
        elif at > self.run.heartbeat_at:
            self.run = msgspec.structs.replace(self.run, heartbeat_at=at)

    def _lose_records(self, writer: WriterId, said: Mapping[str, object]) -> None:
        """Take in what a writer says that it could not write."""
        n, reason, offset = said.get("n_records"), said.get("reason"), said.get("offset")
        if isinstance(n, int) and isinstance(offset, int):
            what = "1 record was" if n == 1 else f"{n:,} records were"
            self.lose(LossRecord(writer, offset, 0, f"{what} never written: {reason}"))

    def _lose(self, block: Block) -> None:
        for loss in block.losses[:MAX_LOSSES_PER_BLOCK]:
            self.lose(LossRecord(block.writer, loss.offset, loss.n_bytes, loss.reason))
        if rest := block.losses[MAX_LOSSES_PER_BLOCK:]:
            reason = f"damaged in {len(rest)} places"
            self.lose(LossRecord(block.writer, rest[0].offset, sum(x.n_bytes for x in rest), reason))


def definition_record(said: Mapping[str, object]) -> MetricDefinition:
    """Return a define_metric record of a run log as the metadata keeps it."""
    words, sync = said.get("summary"), said.get("step_sync")
    return MetricDefinition(
        name=str(said["name"]),
        step_metric=_text(said.get("step_metric")),
        step_sync=sync if isinstance(sync, bool) else None,
        hidden=said.get("hidden") is True,
        summary=tuple(str(word) for word in words) if isinstance(words, (list, tuple)) else (),
        goal=_text(said.get("goal")),
    )


def new_run(key: int, run_id: RunId, entity: str, project: str, *, now: float) -> RunRecord:
    """Return the record of a run of which nothing is known yet."""
    return RunRecord(
        key=key,
        run_id=run_id,
        entity=entity,
        project=project,
        name=run_id,
        created_at=now,
        heartbeat_at=now,
    )


def _said_by(state: WriterState) -> dict[str, object]:
    """Return what is kept of a writer beside its record."""
    return {
        "placed": state.placed,
        "exit": state.exit,
        "exit_at": state.exit_at,
        "watches": state.watches,
        "is_preempting": state.is_preempting,
        "is_shared": state.is_shared,
    }


def _writer_state(record: WriterRecord, said: Mapping[str, Any]) -> WriterState:
    return WriterState(
        record,
        placed=[(span[0], span[1], span[2]) for span in said.get("placed", [])],
        exit=said.get("exit"),
        exit_at=said.get("exit_at", 0.0),
        watches=said.get("watches"),
        is_preempting=said.get("is_preempting", False),
        is_shared=said.get("is_shared", False),
    )


def _witness(state: WriterState) -> Witness:
    record = state.record
    return Witness(
        writer=record.writer,
        kind=record.kind,
        watches=state.watches,
        started_at=record.started_at,
        exit=state.exit,
        exit_at=state.exit_at,
        is_preempting=state.is_preempting,
        is_shared=state.is_shared,
        label=record.label,
    )


def _latest(block: Block) -> float:
    """Return the time of the last sign of life in a block, Unix seconds; 0 if it tells none."""
    times = np.frombuffer(block.times, dtype="<f8")
    rows = float(np.nanmax(times[np.isfinite(times)], initial=0.0)) if times.size else 0.0
    return max([rows, *(_seconds(record[1]) for _, record in block.records)])


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return 0.0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
