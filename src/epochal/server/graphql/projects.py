"""Projects and their lists."""

from __future__ import annotations

from ariadne import ObjectType

from epochal.ids import DEFAULT_ENTITY
from epochal.query.runs import list_projects
from epochal.server.graphql.connections import Connection, connection
from epochal.server.graphql.context import Info
from epochal.server.graphql.server_info import query
from epochal.store.metadata.records import MetricDefinition, ProjectRecord

project = ObjectType("Project")
project.set_alias("entityName", "entity")
project.set_alias("runningCount", "n_running")


@query.field("projects")
def resolve_projects(
    _: object,
    info: Info,
    entity_name: str | None = None,
    first: int = 50,
    after: str | None = None,
) -> Connection:
    """Projects by last activity, newest first."""
    context = info.context
    page = list_projects(
        context.services.metadata, now=context.now, entity=entity_name, first=first, after=after
    )
    return connection(*page)


@query.field("project")
def resolve_project(_: object, info: Info, name: str, entity_name: str | None = None) -> ProjectRecord | None:
    """One project; null if there is none."""
    context = info.context
    return context.services.metadata.projects.get(entity_name or DEFAULT_ENTITY, name, now=context.now)


@project.field("id")
def resolve_id(record: ProjectRecord, _: Info) -> str:
    """Never reused, unlike the name."""
    return f"Project:{record.key}"


@project.field("storedBytes")
def resolve_stored_bytes(record: ProjectRecord, info: Info) -> int:
    """What its runs take together."""
    with info.context.services.stores.use(record.store_file) as store:
        return sum(store.sizes().values())


@project.field("diskBytes")
def resolve_disk_bytes(record: ProjectRecord, info: Info) -> int:
    """What its file takes."""
    with info.context.services.stores.use(record.store_file) as store:
        return store.disk_bytes()


@project.field("metricDefinitions")
def resolve_metric_definitions(record: ProjectRecord, info: Info) -> list[MetricDefinition]:
    """What define_metric said, the newest run's word for each name."""
    return info.context.services.metadata.definitions.of_project(record.key)
