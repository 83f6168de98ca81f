"""What changes runs: deleting them, and moving them to another project."""

from __future__ import annotations

from typing import Any

from ariadne import MutationType

from epochal.errors import UsageError
from epochal.ids import DEFAULT_ENTITY, RunId
from epochal.server.failures import RequestError, RunNotFoundError
from epochal.server.graphql.context import Context, Info
from epochal.server.graphql.projects import project
from epochal.store.metadata.records import ProjectRecord, RunRecord

MAX_RUNS = 100  # of one request; each of them is a commit
_MAX_DIGITS = 18  # of a key: SQLite's are below 2**63
_MAX_MOVED = 10_000  # of one request; they are one commit

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
    """Say that runs are to be moved, all or none: `Project.movingRuns` tells how far that is."""
    services = info.context.services
    entity, source = input.get("entity_name") or DEFAULT_ENTITY, input["project_name"]
    to = (input.get("destination_entity_name") or entity, input["destination_project_name"])
    for name in (entity, to[0]):
        _check_may_change(info.context, name)
    names = [RunId(name) for name in dict.fromkeys(input["run_names"])]
    if len(names) > _MAX_MOVED:
        raise UsageError(f"at most {_MAX_MOVED} runs are moved at once, not {len(names)}")
    n_runs = services.ingest.ask_to_move(entity, source, names, to)
    if n_runs == 0 and names:
        raise RunNotFoundError(source, names[0])
    services.mover.wake()
    return {"client_mutation_id": input.get("client_mutation_id"), "run_count": n_runs}


@project.field("movingRuns")
def resolve_moving_runs(record: ProjectRecord, info: Info) -> list[dict[str, Any]]:
    """The runs on their way out of the project or into it, and those that could not be moved."""
    services = info.context.services
    found = services.mover.progress(record.key)
    names = services.metadata.projects.names_of(
        [key for p in found for key in (p.move.from_key, p.move.to_key)]
    )
    return [
        {
            "name": p.move.run_id,
            "project_name": names[2 * i][1],
            "entity_name": names[2 * i][0],
            "destination_project_name": names[2 * i + 1][1],
            "destination_entity_name": names[2 * i + 1][0],
            "copied_bytes": p.n_copied,
            "error": p.error,
        }
        for i, p in enumerate(found)
    ]


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
