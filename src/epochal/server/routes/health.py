"""GET /healthz: whether the server answers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from epochal._version import __version__


async def healthz(_: Request) -> Response:
    """Say that the server is there, and of which version."""
    return JSONResponse({"ok": True, "version": __version__})
