"""The secret of a data folder: what its sessions are signed with."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_N_BYTES = 32


def load_secret(path: Path) -> bytes:
    """Return the 32 secret bytes in `path`, which is made on the first call, readable by its owner only.

    A file that is too short (a disk that filled up while it was written) is replaced: it never signed
    anything, since it was read back before use.

    Raises:
        OSError: the file can be neither read nor written.
    """
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        found = b""
    if len(found) >= _N_BYTES:
        return found[:_N_BYTES]
    return _write_secret(path)


def _write_secret(path: Path) -> bytes:
    fresh = secrets.token_bytes(_N_BYTES)
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return fresh
