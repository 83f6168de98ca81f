"""Who sends a request, and how a browser gets its session."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from epochal.access.api_keys import is_key
from epochal.access.caller import Caller, caller_of_key, caller_of_session
from epochal.access.policy import Policy
from epochal.access.sessions import LIFETIME_S
from epochal.server.callers import shown_secret
from epochal.server.failures import RequestError
from epochal.server.services import services_of


class NotSignedInError(RequestError):
    """A route that needs a session or a key was asked without one."""

    def __init__(self) -> None:
        super().__init__(
            401,
            "not_signed_in",
            "This request needs a session, or an API key.",
            "Open a sign-in link (`epochal link` prints one), or send a key of `epochal key new` as "
            "`Authorization: Bearer …`.",
        )


class KeyNotValidError(RequestError):
    """An API key that is not known, or not any more."""

    def __init__(self) -> None:
        super().__init__(
            401,
            "key_not_valid",
            "This API key is not known here, or was revoked.",
            "Make a new one on the server's machine: `epochal key new`.",
            "Authorization header",
        )


class MayNotSendError(RequestError):
    """A caller who is known and may not do this."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(403, code, message, hint, "Authorization header")


async def caller_of(request: Request, policy: Policy) -> tuple[Caller, str | None]:
    """Return who sends `request`, and a session for their browser to keep, if there is a new one.

    Raises:
        RequestError: nobody who is known, or nobody who may do what `policy` says.
    """
    services, secret = services_of(request), shown_secret(request)
    if secret is not None and is_key(secret):
        record = await services.key_lookups.find(secret)
        if record is None:
            # A good key is never held up by bad ones from the same address: it is found above.
            services.rate_limits.check_sign_in(address_of(request))
            services.rate_limits.sign_in_failed(address_of(request))
            raise KeyNotValidError
        caller = caller_of_key(record)
        if policy is Policy.SEND and not caller.may("write"):
            raise MayNotSendError(
                "key_may_not_write",
                f"This key has the role {caller.role}.",
                "Make one that may send runs: `epochal key new`.",
            )
        return caller, None
    session = None
    if not has_session(request):
        # A one-time token is not used up for what it cannot do.
        session = sign_in_by_header(request) if policy is Policy.READ else None
        if session is None:
            raise NotSignedInError
    if policy is Policy.SEND:
        raise MayNotSendError("key_needed", "Sending runs needs an API key.", "Make one: `epochal key new`.")
    return caller_of_session(services.owner), session


def the_caller(request: Request) -> Caller:
    """Return who sends `request`, whose route is not open to anyone."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


def has_session(request: Request) -> bool:
    """Whether the request carries a valid session: as the cookie, or as a bearer token."""
    sessions = services_of(request).sessions
    cookie = request.cookies.get(sessions.cookie_name)
    if cookie is not None and sessions.is_valid(cookie):
        return True
    bearer = _bearer(request)
    return bearer is not None and sessions.is_valid(bearer)


def sign_in_by_header(request: Request) -> str | None:
    """Use up the one-time token in the Authorization header; return a session for it, or None.

    Raises:
        LimitedError: too many attempts from this address have failed.
    """
    token = _bearer(request)
    return None if token is None else sign_in_by_token(request, token)


def sign_in_by_token(request: Request, token: str) -> str | None:
    """Use up a one-time token; return a session for it, or None.

    Raises:
        LimitedError: too many attempts from this address have failed.
    """
    services, address = services_of(request), address_of(request)
    services.rate_limits.check_sign_in(address)
    if services.login_tokens.consume(token):
        return services.sessions.issue()
    services.rate_limits.sign_in_failed(address)
    return None


def address_of(request: Request) -> str:
    """Return the address that `request` comes from; behind a proxy on this machine, what that says."""
    return request.client.host if request.client else "unknown"


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
