"""Names in requests become records, or a failure that says which name was wrong."""

from __future__ import annotations

from epochal.ids import DEFAULT_ENTITY
from epochal.server.failures import ProjectNotFoundError, RunNotFoundError
from epochal.server.services import Services
from epochal.store.metadata.records import ProjectRecord, RunRecord


def find_project(services: Services, entity: str | None, project: str) -> ProjectRecord:
    """Return a project.

    Raises:
        ProjectNotFoundError: there is none of that name.
    """
    owner = entity or DEFAULT_ENTITY
    found = services.metadata.projects.get(owner, project, now=services.clock())
    if found is None:
        raise ProjectNotFoundError(owner, project)
    return found


def find_run(
    services: Services, entity: str | None, project: str, run: str
) -> tuple[ProjectRecord, RunRecord]:
    """Return a run, without its documents, and its project.

    Raises:
        ProjectNotFoundError: there is no such project.
        RunNotFoundError: the project has no such run.
    """
    owner = find_project(services, entity, project)
    found = services.metadata.runs.get(owner.entity, owner.name, run, documents=())
    if found is None:
        raise RunNotFoundError(project, run)
    return owner, found
