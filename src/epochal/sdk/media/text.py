"""Media that are texts: a web page, a Plotly figure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from epochal.errors import UsageError
from epochal.sdk.media.base import MediaFolder, StoredMedia

_MAX_PATH_CHARACTERS = 1_000


class Html(StoredMedia):
    """A web page.

    Args:
        data: the page as text, the path of a file that exists, or an open file.
        inject: accepted; pages are stored as they are.
        data_is_not_path: take `data` as text even if a file has that name.
    """

    def __init__(self, data: object, inject: bool = True, data_is_not_path: bool = False) -> None:
        del inject
        if hasattr(data, "read"):
            data = data.read()
        if isinstance(data, bytes):
            data = data.decode("utf-8", "replace")
        if not isinstance(data, (str, os.PathLike)):
            raise UsageError(f"Html is made of text, a path or an open file, not of {type(data).__name__}")
        self._text = str(data)
        if not data_is_not_path and len(self._text) < _MAX_PATH_CHARACTERS and os.path.isfile(data):  # noqa: PTH113
            self._text = Path(data).read_text(encoding="utf-8")

    def store(self, folder: MediaFolder, key: str, step: int) -> dict[str, object]:
        return {"_type": "html-file", **folder.write("html", key, step, ".html", self._text.encode())}


class Plotly(StoredMedia):
    """A Plotly figure, taken as it is at this moment.

    Args:
        val: a figure of plotly.
    """

    def __init__(self, val: Any) -> None:  # noqa: ANN401  of a library we do not import
        if not hasattr(val, "to_json"):
            raise UsageError(f"Plotly takes a figure of plotly, not {type(val).__name__}")
        self._json = str(val.to_json())

    def store(self, folder: MediaFolder, key: str, step: int) -> dict[str, object]:
        stored = folder.write("plotly", key, step, ".plotly.json", self._json.encode())
        return {"_type": "plotly-file", **stored}
