"""The built web app: found once, served by name.

What may be served is the list of files that the folder holds; a request's path is looked up in it and never
turned into a path of this machine.
"""

from __future__ import annotations

import mimetypes
import threading
from pathlib import Path
from typing import NamedTuple

from epochal.server.guard import policy_for

STATIC_FOLDER = Path(__file__).parent / "static"
# Some systems' tables of types lack these, or name them so that browsers refuse to run them.
_TYPES = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2", ".map": "application/json"}


class Page(NamedTuple):
    """The app's one HTML page."""

    content: bytes
    policy: str  # its Content-Security-Policy


class WebApp:
    """The files of one build.

    Args:
        folder: which the build wrote to; it need not exist (yet).
    """

    def __init__(self, folder: Path = STATIC_FOLDER) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._built: tuple[int, int] | None = None
        self._page: Page | None = None
        self._files: dict[str, Path] = {}

    def page(self) -> Page | None:
        """Return index.html; None if the app is not built."""
        self._refresh()
        return self._page

    def file(self, name: str) -> Path | None:
        """Return the file called `name` relative to the build folder, with slashes; None if there is none."""
        self._refresh()
        return self._files.get(name)

    def _refresh(self) -> None:
        """Look again if the app was built anew, so that a developer need not restart the server."""
        index = self._folder / "index.html"
        try:
            # Both, because a build writes the page and its files one after the other.
            built = (index.stat().st_mtime_ns, (self._folder / "assets").stat().st_mtime_ns)
        except OSError:
            built = (0, 0)
        if built == self._built:
            return
        with self._lock:
            self._page = _load(index) if built[0] else None
            self._files = {
                path.relative_to(self._folder).as_posix(): path
                for path in self._folder.rglob("*")
                if built[0] and path.is_file() and path.name != "index.html"
            }
            self._built = built


def media_type(path: Path) -> str:
    """Return the MIME type of a file of the app."""
    return _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _load(index: Path) -> Page:
    content = index.read_bytes()
    return Page(content, policy_for(content))
