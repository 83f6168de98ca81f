"""What every media value has in common: a file under `files/media/`, and a map in the row that names it.

The file's name is made of the key, the step and the hash of its content, so that the same content is
stored once for a key and nothing is ever overwritten.
"""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from epochal.sdk.histogram import Histogram
from epochal.sdk.values import Media

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME_CHARACTERS = 80


class MediaFolder:
    """Writes the media files of one writer.

    Args:
        files: the run's folder `files/`, made when the first file is written; None where nothing is kept.
        on_file: told each new path below it.
    """

    def __init__(self, files: Path | None, on_file: Callable[[str], None]) -> None:
        self.files = files
        self._on_file = on_file

    def write(self, kind: str, key: str, step: int, suffix: str, content: bytes) -> dict[str, object]:
        """Write `content` and return what a row says of it: `path`, `sha256`, `size`.

        Raises:
            OSError: it cannot be written.
        """
        import hashlib  # loads a cryptographic library, which a run without media does not need

        digest = hashlib.sha256(content).hexdigest()
        name = f"{_safe(key)}_{step}_{digest[:20]}{suffix}"
        relative = f"media/{kind}/{name}"
        if self.files is not None and not (path := self.files / relative).exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Under its final name it is whole: a reader may look while we write.
            partial = path.with_name(f".{name}.{os.getpid()}")
            partial.write_bytes(content)
            partial.replace(path)
            self._on_file(relative)
        return {"path": relative, "sha256": digest, "size": len(content)}


StoreMedia = Callable[["StoredMedia", tuple[str, ...]], Mapping[str, object]]


class StoredMedia(Media):
    """A media value that has a file."""

    @abstractmethod
    def store(self, folder: MediaFolder, key: str, step: int) -> dict[str, object]:
        """Write the file and return the map for the row."""


def as_media(value: object) -> StoredMedia | Histogram | None:
    """Return `value` as the media it is stored as; None if it is plain data."""
    if isinstance(value, (StoredMedia, Histogram)):
        return value
    library = type(value).__module__.partition(".")[0]
    if library in ("matplotlib", "PIL", "pandas", "plotly"):
        from epochal.sdk.media.foreign import media_of

        return media_of(value, library)
    return None


def _safe(key: str) -> str:
    return _UNSAFE.sub("_", key)[:_MAX_NAME_CHARACTERS].lstrip(".") or "media"
