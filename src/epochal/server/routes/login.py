"""GET /login: a one-time token becomes a session."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from epochal.server.pages import used_link_page
from epochal.server.services import services_of
from epochal.server.sign_in import has_session, keep_session, sign_in_by_token


async def login(request: Request) -> Response:
    """Sign the browser in and go on to `next`."""
    services, token = services_of(request), request.query_params.get("token", "")
    onward = RedirectResponse(safe_next(request.query_params.get("next", "/")), status_code=303)
    # Browsers load links ahead of the click, and chat programs preview them: that must not use the token up.
    if request.method == "HEAD" or "prefetch" in request.headers.get("sec-purpose", ""):
        return Response(status_code=204)
    is_signed_in = has_session(request)
    if is_signed_in:
        # Going back to the link, or loading it again, is no failed attempt.
        session = services.sessions.issue() if services.login_tokens.consume(token) else None
    else:
        session = sign_in_by_token(request, token)
    if session is not None:
        keep_session(request, onward, session)
    return onward if is_signed_in or session is not None else used_link_page()


def safe_next(target: str) -> str:
    """Return `target` if it is a path on this server, else `/`.

    Browsers read `//host`, `/\\\\host` and paths with control characters as other servers.
    """
    if not target.startswith("/") or target.startswith("//") or "\\" in target or not target.isprintable():
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc else target
