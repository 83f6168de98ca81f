"""Who asks, and which server answers."""

from __future__ import annotations

from ariadne import ObjectType, QueryType

from epochal._version import __version__
from epochal.server.graphql.context import Info

query = QueryType()
server_info = ObjectType("ServerInfo")


@query.field("viewer")
def resolve_viewer(_: object, info: Info) -> dict[str, str]:
    """Whoever has the session, or the key."""
    user = info.context.caller.user
    return {"id": f"User:{user.name}", "username": user.name, "entity": user.entity}


@query.field("serverInfo")
def resolve_server_info(*_: object) -> dict[str, str]:
    """The server itself."""
    return {"version": __version__}


@server_info.field("runsFolder")
def resolve_runs_folder(_: object, info: Info) -> str | None:
    """The first folder that is watched: where runs go by default."""
    folders = info.context.services.runs_folders
    return str(folders[0]) if folders else None
