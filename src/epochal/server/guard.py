"""What every request and every answer goes through, whatever the route.

Requests: the Host must name this server, the Origin must be this server, and a browser must not say that
another site's page sent it.  Answers: headers that keep a page of ours from being framed, sniffed or made
to run what is not ours.

Source: OWASP cheat sheets on cross-site request forgery and on content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from epochal.access.addresses import Addresses, is_foreign_fetch
from epochal.server.failures import RequestError, encode_failure

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
_INLINE = re.compile(rb"<(script|style)(?:\s[^>]*)?>(.+?)</\1>", re.DOTALL | re.IGNORECASE)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def policy_for(page: bytes) -> str:
    """Return the Content-Security-Policy that lets what is inline in `page` run, and nothing else inline."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for match in _INLINE.finditer(page):
        digest = base64.b64encode(hashlib.sha256(match[2]).digest()).decode()
        hashes[match[1].decode().lower()].append(f"'sha256-{digest}'")
    extra = "".join(f"; {kind}-src 'self' {' '.join(found)}" for kind, found in hashes.items() if found)
    return CONTENT_SECURITY_POLICY + extra


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, addresses: Addresses) -> None:
        self._app = app
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # No websockets, no lifespan: what is not declared does not exist.
            raise RuntimeError(f"a {scope['type']} connection, which this server does not serve")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refusal(scope["method"], Headers(scope=scope))
        if refused is None:
            await self._app(scope, receive, send_guarded)
        else:
            await _answer(refused, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> RequestError | None:
        host = headers.get("host", "")
        if not self._addresses.allows_host(host):
            return RequestError(
                403,
                "host_not_allowed",
                f"This server does not answer to the name {host[:200]!r}.",
                "Open it by the address it printed, or start it with --allow-host NAME.",
                "Host header",
            )
        origin = headers.get("origin")
        foreign = is_foreign_fetch(headers.get("sec-fetch-site"), headers.get("sec-fetch-mode"), method)
        if foreign or (origin is not None and not self._addresses.allows_origin(origin, host)):
            return RequestError(
                403,
                "origin_not_allowed",
                f"A page of {(origin or 'another site')[:200]} sent this request; only Epochal's own may.",
                "Behind a proxy that changes the host, start the server with --allow-host NAME.",
                "Origin header",
            )
        return None


async def _answer(error: RequestError, send: Send) -> None:
    body = encode_failure(error.failure)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
