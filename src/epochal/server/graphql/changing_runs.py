"""What changes runs: deleting them, and moving them to another project."""

from __future__ import annotations

from typing import Any

from ariadne import MutationType

from epochal.errors import UsageError
from epochal.ids import DEFAULT_ENTITY, RunId
from epochal.server.failures import RequestError, RunNotFoundError
from epochal.server.graphql.context import Context, Info
from epochal.store.metadata.records import RunRecord

MAX_RUNS = 100  # of one request; each of them is a commit
_MAX_DIGITS = 18  # of a key: SQLite's are below 2**63

mutation = MutationType()


@mutation.field("deleteRun")
def resolve_delete_run(_: object, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    """Delete a run for good; one that is gone already is no error."""
    n_deleted = _delete(info.context, [input["id"]])
    return {"client_mutation_id": input.get("client_mutation_id"), "success": n_deleted == 1}


@mutation.field("deleteRuns")
def resolve_delete_runs(_: object, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    """Delete runs one by one; nothing is deleted unless the caller may delete all of them."""
    ids = list(dict.fromkeys(input["ids"]))
    if len(ids) > MAX_RUNS:
        raise UsageError(f"at most {MAX_RUNS} runs are deleted at once, not {len(ids)}")
    n_deleted = _delete(info.context, ids)
    return {"client_mutation_id": input.get("client_mutation_id"), "deleted_count": n_deleted}


@mutation.field("moveRuns")
def resolve_move_runs(_: object, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    """Move runs one by one; the first that cannot be moved ends it, and those before it stay moved."""
    context = info.context
    entity, project = input.get("entity_name") or DEFAULT_ENTITY, input["project_name"]
    to = (input.get("destination_entity_name") or entity, input["destination_project_name"])
    for name in (entity, to[0]):
        _check_may_change(context, name)
    names = list(dict.fromkeys(input["run_names"]))
    if len(names) > MAX_RUNS:
        raise UsageError(f"at most {MAX_RUNS} runs are moved at once, not {len(names)}")
    for name in names:
        if not context.services.ingest.move_run(entity, project, RunId(name), to):
            raise RunNotFoundError(project, name)
    return {"client_mutation_id": input.get("client_mutation_id"), "moved_count": len(names)}


def _delete(context: Context, ids: list[str]) -> int:
    """Delete runs by their ids; return how many there were."""
    runs = _runs_of(context, ids)
    for entity in {run.entity for run in runs}:
        _check_may_change(context, entity)
    if not context.caller.may("write"):
        # Also where there is nothing to delete: whoever may only read learns nothing by asking.
        _check_may_change(context, context.caller.user.entity)
    ingest = context.services.ingest
    return sum([ingest.delete_run(run.entity, run.project, run.run_id) for run in runs])


def _runs_of(context: Context, ids: list[str]) -> list[RunRecord]:
    return context.services.metadata.runs.of_keys([_key_of(of_run) for of_run in ids], documents=())


def _key_of(global_id: str) -> int:
    kind, _, key = global_id.partition(":")
    if kind != "Run" or not (key.isascii() and key.isdecimal()) or len(key) > _MAX_DIGITS:
        raise UsageError(f"{global_id[:100]!r} is not the id of a run, such as Run:7")
    return int(key)


def _check_may_change(context: Context, entity: str) -> None:
    if not context.caller.may_write_to(entity):
        raise RequestError(
            403,
            "entity_not_allowed",
            f"{context.caller.user.name} may not change runs of the entity {entity[:200]!r} with this key.",
            "Use a key with the role write, of a user whose it is.",
            "entity",
        )
