"""Alerts: of everything, of a project, of a run."""

from __future__ import annotations

from ariadne import ObjectType

from epochal.errors import UsageError
from epochal.server.graphql.connections import Connection, connection
from epochal.server.graphql.context import Info
from epochal.server.graphql.projects import project
from epochal.server.graphql.runs import run
from epochal.server.graphql.server_info import query
from epochal.store.metadata.records import AlertRecord, ProjectRecord, RunRecord

alert = ObjectType("Alert")
alert.set_alias("severity", "level")
alert.set_alias("entityName", "entity")
alert.set_alias("projectName", "project")
alert.set_alias("runName", "run_id")
alert.set_alias("runDisplayName", "run_name")


@query.field("alerts")
def resolve_alerts(_: object, info: Info, first: int = 50, after: str | None = None) -> Connection:
    """Of every project."""
    return _page(info, first=first, after=after)


@project.field("alerts")
def resolve_project_alerts(
    record: ProjectRecord, info: Info, first: int = 50, after: str | None = None
) -> Connection:
    """Of a project's runs."""
    return _page(info, project_key=record.key, first=first, after=after)


@run.field("alerts")
def resolve_run_alerts(
    record: RunRecord, info: Info, first: int = 50, after: str | None = None
) -> Connection:
    """Of one run."""
    return _page(info, run_key=record.key, first=first, after=after)


@alert.field("id")
def resolve_id(record: AlertRecord, _: Info) -> str:
    """Never reused."""
    return f"Alert:{record.key}"


@alert.field("isFromRule")
def resolve_is_from_rule(record: AlertRecord, _: Info) -> bool:
    """Who said it."""
    return record.source.startswith("rule:")


def _page(
    info: Info, *, first: int, after: str | None, project_key: int | None = None, run_key: int | None = None
) -> Connection:
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 19):
        raise UsageError(f"{after!r} is no cursor of a list of alerts; give back an `endCursor`")
    before = None if after is None else int(after)
    page = info.context.services.metadata.alerts.newest(
        project_key=project_key, run_key=run_key, first=first, before=before
    )
    return connection(page.n_total, [(str(found.key), found) for found in page.alerts], page.has_next)
