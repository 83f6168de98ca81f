"""Runs: what a run is and was, beside its history."""

from __future__ import annotations

from typing import Any

from ariadne import ObjectType

from epochal.server.graphql.context import Context, Info
from epochal.store.metadata.projects import store_file
from epochal.store.metadata.records import LossRecord, MetricDefinition, RunRecord, RunState, run_state

run = ObjectType("Run")
run.set_alias("name", "run_id")
run.set_alias("displayName", "name")
run.set_alias("summaryMetrics", "summary")
run.set_alias("historyLineCount", "n_rows")

loss = ObjectType("Loss")
loss.set_alias("bytes", "n_bytes")


@run.field("id")
def resolve_id(record: RunRecord, _: Info) -> str:
    """Never reused, unlike the run id, which another project may have too."""
    return f"Run:{record.key}"


@run.field("state")
def resolve_state(record: RunRecord, info: Info) -> RunState:
    """Its state at the moment of the request."""
    return run_state(record, info.context.now)


@run.field("computeSeconds")
def resolve_compute_seconds(record: RunRecord, info: Info) -> float:
    """How long it has run, or ran."""
    return max(0.0, _last_alive(record, info.context) - record.created_at)


def _last_alive(record: RunRecord, context: Context) -> float:
    if record.ended_at is not None:
        return record.ended_at
    return context.now if run_state(record, context.now) == "running" else record.heartbeat_at


@run.field("storedBytes")
def resolve_stored_bytes(record: RunRecord, info: Info) -> int:
    """What its history takes; 0 while it has none."""
    services = info.context.services
    key = services.metadata.projects.key_of(record.entity, record.project)
    if key is None:
        return 0
    with services.stores.use(store_file(key)) as store:
        return store.sizes([record.run_id]).get(record.run_id, 0)


@run.field("metricDefinitions")
def resolve_metric_definitions(record: RunRecord, info: Info) -> list[MetricDefinition]:
    """What the run's define_metric said."""
    return info.context.services.metadata.definitions.of_run(record.key)


@run.field("losses")
def resolve_losses(record: RunRecord, info: Info) -> list[LossRecord]:
    """Damage found in its run logs."""
    return info.context.services.metadata.losses.of_run(record.key)


def documents_for(names: frozenset[str]) -> list[Any]:
    """Return which documents of a run the fields `names` need."""
    needs = {"config": "config", "summaryMetrics": "summary", "metadata": "metadata"}
    return [document for name, document in needs.items() if name in names]
