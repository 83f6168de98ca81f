"""What `epochal key` does, on the machine that has the data folder.

Whoever can write into the folder could read everything in it, so this needs nothing else: no running
server, no session, no key.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from epochal.access.api_keys import ApiKeys, owner_of, system_user
from epochal.errors import UsageError
from epochal.ids import DEFAULT_ENTITY
from epochal.server.data_folder import DataFolder, running_server
from epochal.store.metadata import ApiKeyRecord, Metadata, Role
from epochal.store.metadata.migrate import HEAD, revision_of


class _Opened(NamedTuple):
    metadata: Metadata
    keys: ApiKeys
    url: str | None  # of the server that runs on the folder


def new_key(folder: Path, *, user: str | None, role: Role, name: str) -> str:
    """Make a key and return what to print: the key on a line of its own, then what to do with it.

    Args:
        folder: the data folder, which is made if there is none.
        user: whose; None for the owner of the data.
        role: what it may do.
        name: what to call it.

    Raises:
        UsageError: the user may not have such a key, or a name cannot be shown.
        DataFolderError: the folder cannot be used.
    """
    with _opened(folder) as (metadata, keys, url):
        owner = owner_of(metadata, DEFAULT_ENTITY, system_user(), time.time())
        of = owner if user in (None, owner.name) else keys.user(str(user))
        key, record = keys.new(of, role, name)
    return (
        f"{key}\n\n"
        f"This is key {record.number} of {of.name}, with the role {record.role}. It is shown only now.\n"
        f"To send runs here, on the machine that trains:\n\n  epochal login {shlex.quote(url or 'URL')}\n"
    )


def listed_keys(folder: Path) -> str:
    """Return a table of all keys; none shows more than its first characters.

    Raises:
        DataFolderError: the folder cannot be used.
    """
    with _opened(folder) as (_, keys, _url):
        records = keys.all()
    head = ("number", "name", "user", "role", "begins with", "made", "last used", "")
    rows = [head, *map(_row, records)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def revoke_key(folder: Path, number: int) -> None:
    """Make a key worthless, at once.

    Raises:
        UsageError: there is no such key, or it was revoked before.
        DataFolderError: the folder cannot be used.
    """
    with _opened(folder) as (_, keys, _url):
        if not keys.revoke(number):
            raise UsageError(f"There is no key {number} that still is good; `epochal key list` shows all.")


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[_Opened]:
    with contextlib.ExitStack() as cleanup:
        server = running_server(folder)
        if server is None:
            data = DataFolder(folder)
            cleanup.callback(data.close)
        elif revision_of(folder / "metadata.db") != HEAD:
            # Upgrading it under a server of another version would break that one.
            raise UsageError(
                f"The server at {server.url} is of another version ({server.version}) than this command.\n"
                "Restart it with this version first."
            )
        metadata = Metadata(folder / "metadata.db")
        cleanup.callback(metadata.close)
        yield _Opened(metadata, ApiKeys(metadata, time.time), None if server is None else server.url)


def _row(record: ApiKeyRecord) -> Sequence[str]:
    used = _day(record.last_used_at) if record.last_used_at else "never"
    state = f"revoked {_day(record.revoked_at)}" if record.revoked_at else ""
    made = _day(record.created_at)
    return (str(record.number), record.name, record.user.name, record.role, record.hint, made, used, state)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
