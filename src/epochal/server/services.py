"""What the routes share: every part of a running server, made once in `main.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from graphql import GraphQLSchema
from starlette.requests import Request

from epochal.access.addresses import Addresses
from epochal.access.api_keys import ApiKeys
from epochal.access.login_tokens import LoginTokens
from epochal.access.sessions import Sessions
from epochal.ingest.accept import Ingest
from epochal.ingest.moving import MovingThread
from epochal.query.live import ChangeFeed
from epochal.server.admission import Admission
from epochal.server.callers import KeyLookups
from epochal.server.intake import Intake
from epochal.server.rate_limits import RateLimits
from epochal.server.settings import ServerSettings
from epochal.server.web_app import WebApp
from epochal.server.workers import Workers
from epochal.store.metadata import Metadata, UserRecord
from epochal.store.metrics.stores import MetricStores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Services:
    """The parts of one server."""

    settings: ServerSettings
    clock: Callable[[], float]  # Unix seconds
    addresses: Addresses
    sessions: Sessions
    login_tokens: LoginTokens
    owner: UserRecord  # whom the data folder belongs to
    api_keys: ApiKeys
    key_lookups: KeyLookups
    rate_limits: RateLimits
    admission: Admission
    ingest: Ingest
    intake: Intake
    mover: MovingThread
    web_app: WebApp
    metadata: Metadata
    stores: MetricStores
    changes: ChangeFeed
    schema: GraphQLSchema
    workers: Workers
    runs_folders: Sequence[Path]  # that are watched


def services_of(request: Request) -> Services:
    """Return the parts of the server that got `request`."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services
