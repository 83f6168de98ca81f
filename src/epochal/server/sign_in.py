"""Whether a request comes with a session, and how a browser gets one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from epochal.access.sessions import LIFETIME_S
from epochal.server.failures import RequestError
from epochal.server.services import services_of


class NotSignedInError(RequestError):
    """A route that needs a session was asked without one."""

    def __init__(self) -> None:
        super().__init__(
            401,
            "not_signed_in",
            "This request needs a session.",
            "Open a sign-in link (`epochal link` prints one), or send a token as `Authorization: Bearer …`.",
        )


def has_session(request: Request) -> bool:
    """Whether the request carries a valid session: as the cookie, or as a bearer token."""
    sessions = services_of(request).sessions
    cookie = request.cookies.get(sessions.cookie_name)
    if cookie is not None and sessions.is_valid(cookie):
        return True
    bearer = _bearer(request)
    return bearer is not None and sessions.is_valid(bearer)


def sign_in_by_header(request: Request) -> str | None:
    """Use up the one-time token in the Authorization header; return a session for it, or None."""
    services, token = services_of(request), _bearer(request)
    if token is None or not services.login_tokens.consume(token):
        return None
    return services.sessions.issue()


def keep_session(request: Request, response: Response, session: str) -> None:
    """Give the browser `session` to keep."""
    response.set_cookie(
        services_of(request).sessions.cookie_name,
        session,
        max_age=LIFETIME_S,
        httponly=True,
        samesite="lax",
        # Behind a proxy with TLS; on loopback there is none, and browsers would drop the cookie.
        secure=request.url.scheme == "https",
    )


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
