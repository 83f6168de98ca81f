"""The web app's files, and its page for every address that is nothing else."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from epochal.server.failures import RequestError
from epochal.server.pages import not_built_page
from epochal.server.services import services_of
from epochal.server.web_app import media_type

# The build puts a hash of the content into these names, so what a name stands for never changes.
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


async def asset(request: Request) -> Response:
    """Return a file of the build with a hash in its name."""
    name = f"assets/{request.path_params['name']}"
    path = services_of(request).web_app.file(name)
    if path is None:
        raise _not_found(request)
    return FileResponse(path, media_type=media_type(path), headers={"cache-control": _FOREVER})


async def page(request: Request) -> Response:
    """Return the app's page, or one of the few files beside it (an icon).

    The app itself finds out what the address means.
    """
    web_app = services_of(request).web_app
    path = web_app.file(request.path_params["path"])
    if path is not None:
        return FileResponse(path, media_type=media_type(path), headers={"cache-control": _ASK_AGAIN})
    if not wants_page(request):
        raise _not_found(request)
    index = web_app.page()
    if index is None:
        return not_built_page()
    headers = {"cache-control": _ASK_AGAIN, "content-security-policy": index.policy}
    return Response(index.content, media_type="text/html", headers=headers)


def wants_page(request: Request) -> bool:
    """Whether a person is looking: a browser asks for a page, and not for a resource of the server."""
    path = request.url.path
    is_resource = path == "/graphql" or path.startswith(("/api/", "/assets/"))
    return (
        request.method in ("GET", "HEAD")
        and not is_resource
        and "text/html" in request.headers.get("accept", "")
    )


def _not_found(request: Request) -> RequestError:
    return RequestError(404, "not_found", f"There is nothing at {request.url.path[:200]}.", where="path")
