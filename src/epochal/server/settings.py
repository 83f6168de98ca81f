"""What can be set on a server, each setting declared once.

The command line, its help and docs/reference/cli.md are made from these declarations.  Light to import:
`epochal --help` needs no part of the server.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

DEFAULT_PORT = 8585


class About(NamedTuple):
    """What help and documentation say of a setting."""

    help: str  # one sentence, no full stop
    unit: str  # of the value, or what stands in its place in the help
    default: str = ""  # in words, where the value says too little
    group: str = "limits"


class Setting(NamedTuple):
    """One declared setting."""

    name: str
    default: object
    about: About


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How one server is to run."""

    data_dir: Annotated[
        Path | None,
        About("Folder that the server keeps its data in", "DIR", "$EPOCHAL_HOME/server", group="main"),
    ] = None
    runs_dir: Annotated[
        tuple[Path, ...],
        About(
            "Further folder of runs to watch, beside $EPOCHAL_HOME/runs and those where runs were logged; "
            "may be repeated",
            "DIR",
            "none",
            group="main",
        ),
    ] = ()
    port: Annotated[
        int | None,
        About("Port to listen on; 0 takes a free one", "N", f"{DEFAULT_PORT}, or a free one", group="main"),
    ] = None
    host: Annotated[
        str, About("Address to listen on; 0.0.0.0 for every network", "ADDRESS", group="network")
    ] = "127.0.0.1"
    allow_host: Annotated[
        tuple[str, ...],
        About(
            "Further host name that browsers may reach the server by, as behind a proxy; may be repeated",
            "NAME",
            "none",
            group="network",
        ),
    ] = ()
    alert_allow_network: Annotated[
        tuple[str, ...],
        About(
            "Private network or address that alerts may be sent to, such as 10.1.0.0/16; may be repeated",
            "NETWORK",
            "public addresses only",
            group="network",
        ),
    ] = ()
    max_body_bytes: Annotated[int, About("Largest request body accepted", "BYTES")] = 8 * 2**20
    max_upload_bytes: Annotated[
        int, About("Largest body of blocks accepted; one call of log() may have 256 MiB", "BYTES")
    ] = 320 * 2**20
    upload_memory_bytes: Annotated[
        int, About("Memory for what senders send, together; one of them may go beyond it", "BYTES")
    ] = 64 * 2**20
    ingest_requests_per_minute: Annotated[
        int, About("Uploads that one project may get in a minute; 0 for no limit", "N")
    ] = 0
    ingest_bytes_per_minute: Annotated[
        int, About("Bytes that one project may get in a minute; 0 for no limit", "BYTES")
    ] = 0
    api_requests_per_minute: Annotated[
        int,
        About(
            "Other requests of one user, or of an address not signed in, in a minute; 0 for no limit",
            "N",
        ),
    ] = 0
    body_timeout_s: Annotated[
        float, About("Longest wait for a request's body, or for the next part of an upload", "SECONDS")
    ] = 30.0
    max_query_depth: Annotated[int, About("Deepest nesting of a GraphQL query", "LEVELS")] = 12
    max_query_objects: Annotated[int, About("Most objects that a GraphQL query may ask for", "N")] = 200_000
    query_threads: Annotated[int, About("Queries answered at once; more wait their turn", "N")] = 4
    live_comment_s: Annotated[
        float, About("Time between signs of life on an idle live connection", "SECONDS")
    ] = 15.0


def settings() -> list[Setting]:
    """Return every setting of a server, in the order of declaration."""
    hints: dict[str, Any] = get_type_hints(ServerSettings, include_extras=True)
    return [
        Setting(field.name, field.default, hints[field.name].__metadata__[0])
        for field in dataclasses.fields(ServerSettings)
    ]
