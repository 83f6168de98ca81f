"""The pages that the server itself writes: what to do when the app cannot be shown."""

from __future__ import annotations

import html
from collections.abc import Sequence

from starlette.responses import HTMLResponse

from epochal.server.guard import policy_for

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.6 Inter,system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 24px}"
    "h1{font-size:20px;line-height:28px;font-weight:600;margin:0 0 12px}"
    "p{margin:0 0 12px}"
    "pre{font:13px/1.6 'JetBrains Mono',ui-monospace,monospace;padding:12px 16px;border-radius:6px;"
    "border:1px solid color-mix(in oklab,CanvasText 18%,Canvas);margin:0 0 12px;overflow-x:auto}"
)


def page(status: int, title: str, paragraphs: Sequence[str], command: str) -> HTMLResponse:
    """Return a page with a heading, sentences and one command to type; all are plain text."""
    body = "".join(f"<p>{html.escape(text)}</p>" for text in paragraphs[1:])
    content = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)} · Epochal</title><style>{_STYLE}</style></head><body>"
        f"<main><h1>{html.escape(title)}</h1><p>{html.escape(paragraphs[0])}</p>"
        f"<pre><code>{html.escape(command)}</code></pre>{body}</main></body></html>"
    )
    headers = {"content-security-policy": policy_for(content.encode())}
    return HTMLResponse(content, status, headers)


def sign_in_page() -> HTMLResponse:
    """Return what somebody sees who is not signed in."""
    return page(
        401,
        "Sign in",
        [
            "This browser is not signed in to this Epochal server. On the machine that runs it, type:",
            "It prints a link that signs one browser in, once. So does the link that the server printed "
            "when it started.",
        ],
        "epochal link",
    )


def used_link_page() -> HTMLResponse:
    """Return what somebody sees who opens a sign-in link too late, or twice."""
    return page(
        401,
        "This link is used up",
        [
            "A sign-in link works once, within a day. For a new one, on the server's machine, type:",
            "If you did not use the link yourself, somebody else did.",
        ],
        "epochal link",
    )


def not_built_page() -> HTMLResponse:
    """Return what a developer sees who has not built the web app."""
    return page(
        503,
        "The web app is not built",
        [
            "The server runs, but this checkout has no built web app yet. In its top folder, type:",
            "Then load this page again; the server need not be restarted. Installed packages have the app.",
        ],
        "make web",
    )
