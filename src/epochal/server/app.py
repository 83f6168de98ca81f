"""The application: the table of routes behind their policies, and one shape for every error."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from epochal.access.policy import Policy
from epochal.server.failures import RequestError, encode_failure, status_and_failure
from epochal.server.guard import Guard
from epochal.server.pages import sign_in_page
from epochal.server.routes.table import ENDPOINTS, Endpoint, Handler
from epochal.server.routes.web import wants_page
from epochal.server.services import Services, services_of
from epochal.server.sign_in import NotSignedInError, address_of, caller_of, keep_session
from epochal.server.workers import ClientGoneError


def create_app(services: Services, endpoints: Sequence[Endpoint] = ENDPOINTS) -> Starlette:
    """Return the server as an ASGI application.

    Raises:
        TypeError: an endpoint has no access policy.
    """
    app = Starlette(
        routes=[_route(endpoint) for endpoint in endpoints],
        middleware=[Middleware(Guard, addresses=services.addresses)],
        exception_handlers={HTTPException: _on_http_error},
    )
    app.state.services = services
    return app


def _route(endpoint: Endpoint) -> Route:
    if not isinstance(endpoint.policy, Policy):
        raise TypeError(f"the route {endpoint.method} {endpoint.path} has no access policy: give it a Policy")
    handler = _answering(endpoint.handler)
    if endpoint.policy is not Policy.ANYONE:
        handler = _answering(_for_known_callers(handler, endpoint.policy))
    return Route(endpoint.path, handler, methods=[endpoint.method])


def _answering(handler: Handler) -> Handler:
    """Turn every error into an answer, inside the guard: Starlette's own last resort is outside of it."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientGoneError:
            # Nobody reads it.  499 is what proxies write into their logs for this.
            return Response(status_code=499)
        except Exception as error:  # noqa: BLE001 - logged and counted by status_and_failure
            return _failed(request, error)

    return answered


def _for_known_callers(handler: Handler, policy: Policy) -> Handler:
    async def checked(request: Request) -> Response:
        limits = services_of(request).rate_limits
        try:
            caller, session = await caller_of(request, policy)
        except RequestError:
            limits.api("address", address_of(request))
            raise
        request.state.caller = caller
        # What is sent counts for its project instead.
        headers = {} if policy is Policy.SEND else limits.api("user", caller.user.name)
        response = await handler(request)
        response.headers.update(headers)
        if session is not None:
            keep_session(request, response, session)
        return response

    return checked


def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, NotSignedInError) and wants_page(request):
        return sign_in_page()
    status, failure = status_and_failure(error)
    headers = error.headers if isinstance(error, RequestError) else {}
    return Response(encode_failure(failure), status, headers, "application/json")


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: no such method, a malformed request."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    message = f"{request.method} {request.url.path[:200]}: {error.detail}."
    body = encode_failure(RequestError(error.status_code, code, message).failure)
    return Response(body, error.status_code, error.headers, "application/json")
