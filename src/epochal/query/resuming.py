"""What a session that goes on with a run has to know of the sessions before it."""

from __future__ import annotations

from typing import Any

import msgspec

from epochal.store.metadata import Metadata
from epochal.store.metadata.records import RunRecord, RunState, run_state


class SummaryState(msgspec.Struct, frozen=True):
    """A summary with what is needed to go on folding it; see docs/formats/ingest.md."""

    definitions: dict[str, Any] = {}
    values: dict[str, Any] = {}
    numbers: dict[str, Any] = {}


class Resumable(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its sessions left it, as far as the stores have them."""

    state: RunState
    next_step: int
    config: dict[str, object]
    attributes: dict[str, object]  # those that were set
    summary: SummaryState
    writers: dict[str, int]  # bytes of each one's run log that this knows of


def resumable(metadata: Metadata, entity: str, project: str, run_id: str, *, now: float) -> Resumable | None:
    """Return what is known of a run, None if nothing is; `now` in Unix seconds."""
    run = metadata.runs.get(entity, project, run_id, documents=())
    if run is None:
        return None
    # The writers first: what comes in meanwhile is then part of the rest, and at worst taken in twice.
    writers: dict[str, int] = {w.writer: w.applied_offset for w in metadata.writers.of_run(run.key)}
    fold = metadata.documents.get(run.key, "fold")
    run = metadata.runs.get(entity, project, run_id, documents=["config"]) or run
    return Resumable(
        state=run_state(run, now),
        next_step=0 if run.last_step is None else max(0, run.last_step + 1),
        config=run.config,
        attributes=_attributes(run),
        summary=msgspec.convert(fold.get("summary", {}), SummaryState),
        writers=writers,
    )


def _attributes(run: RunRecord) -> dict[str, object]:
    said = {
        "name": None if run.name == run.run_id else run.name,
        "notes": run.notes,
        "tags": run.tags,
        "group": run.group,
        "job_type": run.job_type,
    }
    return {name: value for name, value in said.items() if value}
