"""GET /api/viewer: whose key this is, and what the server takes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from epochal._version import __version__
from epochal.server.services import services_of
from epochal.server.sign_in import the_caller

_LENGTH_BYTES = 4  # before each block


async def viewer(request: Request) -> Response:
    """Say who asks, where their runs go, and how large an upload may be."""
    caller, limit = the_caller(request), services_of(request).settings.max_upload_bytes
    return JSONResponse(
        {
            "username": caller.user.name,
            "entity": caller.user.entity,
            "role": caller.role,
            "server": {"version": __version__},
            "limits": {"max_body_bytes": limit, "max_block_bytes": limit - _LENGTH_BYTES},
        }
    )
