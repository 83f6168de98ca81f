"""The folder that a server keeps everything in, and the proof that it is this server's.

    <data>/format         the number of its layout, a text
    <data>/lock           locked (flock) by the process that owns the folder, as long as it lives
    <data>/server.json    who that is: process and address, for messages and for `epochal link`
    <data>/secret         what sessions are signed with
    <data>/login-tokens/  one-time tokens
    <data>/metadata.db    projects, runs, and what is known of them
    <data>/projects/      the history of each project, numbered

The lock, not server.json, says whether a server runs: a killed process leaves its file but not its lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from epochal.errors import DataFolderError, DataFolderInUseError, NewerDataFolderError

FORMAT = 1
_WAIT_FOR_NAME_S = 2.0
_UNKNOWN_URL = "an address it has not written down yet"


class ServerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Content of server.json: the process that owns the data folder."""

    pid: int
    url: str  # without a token: http://127.0.0.1:8585
    version: str
    started_at: float  # Unix seconds


class DataFolder:
    """A data folder that this process owns until `close`.

    Args:
        path: made, readable by its owner only, if it does not exist.

    Raises:
        DataFolderInUseError: another process owns it.
        NewerDataFolderError: a newer Epochal wrote it; nothing was changed.
        DataFolderError: it cannot be made or written, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        with said_clearly(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Looked at before anything is written, and again by nobody: the format only ever grows.
            self._check_format()
            self._lock = _lock(self.path)
        try:
            with said_clearly(self.path):
                # A process that was killed leaves its own: nobody must take it for this one's.
                (self.path / "server.json").unlink(missing_ok=True)
                self.projects_path.mkdir(mode=0o700, exist_ok=True)
                self._write("format", f"{FORMAT}\n".encode())
        except BaseException:
            self.close()
            raise

    @property
    def secret_path(self) -> Path:
        return self.path / "secret"

    @property
    def metadata_path(self) -> Path:
        return self.path / "metadata.db"

    @property
    def projects_path(self) -> Path:
        return self.path / "projects"

    @property
    def login_tokens_path(self) -> Path:
        return login_tokens_path(self.path)

    def publish(self, record: ServerRecord) -> None:
        """Write down who owns the folder."""
        with said_clearly(self.path):
            self._write("server.json", msgspec.json.encode(record))

    def close(self) -> None:
        """Give the folder up."""
        with contextlib.suppress(OSError):
            (self.path / "server.json").unlink(missing_ok=True)
        # Closing the descriptor releases the lock.  The file stays: removing it would let two processes
        # hold locks on two files of one name.
        os.close(self._lock)

    def _check_format(self) -> None:
        try:
            text = (self.path / "format").read_text().strip()
        except FileNotFoundError:
            others = sorted(
                entry.name for entry in self.path.iterdir() if entry.name not in ("lock", "format.new")
            )
            if others:
                raise DataFolderError(
                    f"{self.path} is no data folder of Epochal: it holds {', '.join(others[:3])}.\n"
                    "Name another folder, or one that does not exist yet: epochal ui --data-dir DIR"
                ) from None
            return
        if not text.isdecimal():
            raise DataFolderError(
                f"{self.path / 'format'} should hold a number and holds {text[:20]!r}.\n"
                f"If nothing else in the folder is damaged, write {FORMAT} into it and start again."
            )
        if int(text) > FORMAT:
            raise NewerDataFolderError(self.path, text, str(FORMAT))

    def _write(self, name: str, content: bytes) -> None:
        """Replace the file `name` as a whole, so that a full disk leaves the old one."""
        partial = self.path / f"{name}.new"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        partial.replace(self.path / name)


def login_tokens_path(data_folder: Path) -> Path:
    """Return where the one-time tokens of a data folder are."""
    return data_folder / "login-tokens"


def running_server(path: Path) -> ServerRecord | None:
    """Return the server that owns the data folder `path` now; None if there is none.

    Raises:
        DataFolderError: the folder cannot be read.
    """
    with said_clearly(path):
        try:
            descriptor = os.open(path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_record(path)
        finally:
            os.close(descriptor)
    return None


def _lock(path: Path) -> int:
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if _try_lock(descriptor):
            return descriptor
        owner = _read_record(path)
        # Somebody who only asked whether a server runs holds the lock for an instant.
        if _try_lock(descriptor):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    raise DataFolderInUseError(path, owner.pid if owner else 0, owner.url if owner else _UNKNOWN_URL)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_record(
    path: Path, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> ServerRecord | None:
    """Read server.json, waiting a moment: its owner may be just about to write it."""
    deadline = now() + _WAIT_FOR_NAME_S
    while True:
        try:
            return msgspec.json.decode((path / "server.json").read_bytes(), type=ServerRecord)
        except (OSError, msgspec.MsgspecError):
            if now() >= deadline:
                return None
            sleep(0.05)


_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space",
    errno.EDQUOT: "your disk quota is used up. Free some space",
    errno.EROFS: "its file system is read-only. Use another folder (--data-dir DIR)",
    errno.EACCES: "you may not. Change its permissions, or use another folder (--data-dir DIR)",
    errno.EPERM: "you may not. Change its permissions, or use another folder (--data-dir DIR)",
    errno.ENOTDIR: "a part of the path is a file. Use another folder (--data-dir DIR)",
    errno.EEXIST: "there is a file of that name. Use another folder (--data-dir DIR)",
    errno.ENOLCK: "its file system has no locks. Use a folder on a local disk (--data-dir DIR)",
    errno.ENOTSUP: "its file system has no locks. Use a folder on a local disk (--data-dir DIR)",
}


@contextlib.contextmanager
def said_clearly(path: Path) -> Iterator[None]:
    """Turn what the operating system or SQLite refused into a sentence with a way out.

    Raises:
        DataFolderError: something did.
    """
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(
            error.errno or 0, f"{error.strerror or error}. Use another folder (--data-dir DIR)"
        )
        raise DataFolderError(
            f"Epochal cannot keep its data in {path}: {reason}, and start again."
        ) from error
    except sqlite3.Error as error:
        raise DataFolderError(
            f"Epochal cannot open its data in {path}: {error}.\n"
            "If the disk is full, free some space. If a file is damaged, restore the folder from a backup,\n"
            "or start with a new one (--data-dir DIR): runs still in the runs folder are read again."
        ) from error
