"""One-time tokens: the links that sign a browser in.

A token is a file named by the token's SHA-256 in a folder that only its owner can enter.  Whoever can
write there could read the data anyway, so `epochal link` needs nothing of the server but the folder.
Using a token up is removing its file, which the file system does for exactly one caller.  The folder
never holds the token itself: a backup of it signs nobody in.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

LIFETIME_S = 24 * 3600.0
_MAX_TOKEN_CHARS = 256  # a longer one was not minted here; do not hash megabytes for it


class LoginTokens:
    """The tokens of one data folder.

    Args:
        folder: where they are kept; made (0700) when the first one is minted.
        clock: Unix seconds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock

    def mint(self, lifetime_s: float = LIFETIME_S) -> str:
        """Return a new token, good for one sign-in within `lifetime_s` seconds.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = secrets.token_urlsafe(32)
        descriptor = os.open(self._path(token), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{self._clock() + lifetime_s:.3f}\n")
        return token

    def consume(self, token: str) -> bool:
        """Use `token` up; True for the one caller who may sign in with it."""
        if not token or len(token) > _MAX_TOKEN_CHARS:
            return False
        path = self._path(token)
        try:
            in_time = not self._is_expired(path)
            # The removal decides: of two callers at once, one finds the file gone.
            path.unlink()
        except OSError:
            return False
        return in_time

    def sweep(self) -> None:
        """Remove the tokens whose time is over."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            try:
                if self._is_expired(path):
                    path.unlink()
            except OSError:
                continue  # used up meanwhile

    def _path(self, token: str) -> Path:
        return self._folder / hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

    def _is_expired(self, path: Path) -> bool:
        try:
            return self._clock() >= float(path.read_text())
        except ValueError:
            return True  # cut short by a full disk: nobody knows how long it would hold
