"""Every route of the server and who may use it: the one table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from epochal.access.policy import Policy
from epochal.server.routes.blocks import blocks
from epochal.server.routes.console import console
from epochal.server.routes.graphql import graphql
from epochal.server.routes.health import healthz
from epochal.server.routes.history import history
from epochal.server.routes.live import live
from epochal.server.routes.login import login
from epochal.server.routes.offsets import offsets
from epochal.server.routes.resume import resume
from epochal.server.routes.series import series
from epochal.server.routes.values import values
from epochal.server.routes.viewer import viewer
from epochal.server.routes.web import asset, page

Handler = Callable[[Request], Awaitable[Response]]


class Endpoint(NamedTuple):
    """One route."""

    method: str  # GET answers HEAD as well
    path: str  # with Starlette's parameters
    handler: Handler
    policy: Policy


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/healthz", healthz, Policy.ANYONE),
    Endpoint("POST", "/graphql", graphql, Policy.READ),
    Endpoint("POST", "/api/series", series, Policy.READ),
    Endpoint("GET", "/api/history", history, Policy.READ),
    Endpoint("GET", "/api/values", values, Policy.READ),
    Endpoint("GET", "/api/console", console, Policy.READ),
    Endpoint("GET", "/api/live", live, Policy.READ),
    Endpoint("GET", "/api/viewer", viewer, Policy.READ),
    Endpoint("GET", "/api/offsets", offsets, Policy.READ),
    Endpoint("GET", "/api/resume", resume, Policy.READ),
    Endpoint("POST", "/api/blocks", blocks, Policy.SEND),
    Endpoint("GET", "/login", login, Policy.ANYONE),
    Endpoint("GET", "/assets/{name:path}", asset, Policy.ANYONE),
    # Last, because it matches everything.
    Endpoint("GET", "/{path:path}", page, Policy.READ),
)
