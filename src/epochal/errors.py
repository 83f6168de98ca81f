"""Every exception Epochal raises, in one tree.

    EpochalError                      (also `epochal.Error`)
    ├── UsageError                    a wrong argument, or a call at the wrong time
    │   └── UnsupportedError
    ├── CommError                     a server could not be reached, or refused
    │   └── AuthenticationError
    ├── ConfigError                   a config value would change without being allowed to
    ├── RunLogError                   a run log cannot be read at all
    │   ├── NotARunLogError
    │   └── NewerRunLogError
    ├── BlockError                    bytes that are not a block, or one that cannot be stored
    │   └── DeletedRunError           its run was deleted
    ├── DamagedStoreError             a part of the stored history is not what was written
    ├── DiskFullError                 there is no room to store anything
    └── DataFolderError
        ├── DataFolderInUseError
        ├── NewerDataFolderError
        └── PortInUseError

Code branches on the type, never on the text.
"""

from __future__ import annotations

from pathlib import Path


class EpochalError(Exception):
    """Base of all."""


class UsageError(EpochalError):
    """A wrong argument, or a call at the wrong time."""


class UnsupportedError(UsageError):
    """Asked for something this version cannot do."""


class CommError(EpochalError):
    """A server could not be reached, or refused."""


class AuthenticationError(CommError):
    """A server did not accept the credentials."""


class ConfigError(EpochalError):
    """A config value would change without being allowed to."""


class RunLogError(EpochalError):
    """A run log cannot be read at all.  Damage inside one is a loss in the report instead."""


class NotARunLogError(RunLogError):
    """The file does not begin as a run log does."""

    def __init__(self, path: Path, found: bytes) -> None:
        if found.startswith(b"EPOCHAL"):
            said = (
                f"{path} cannot be read: its first record, which says whose rows these are, is damaged.\n"
                "Its rows are still in it: restore that record from a copy of the file, or move the file\n"
                "out of the runs folder."
            )
        else:
            said = (
                f"{path} is not a run log: it begins with {found[:8]!r}.\n"
                "If it was one, its first bytes are damaged; restore the file, or move it out of the\n"
                "runs folder."
            )
        super().__init__(said)
        self.path, self.found = path, found


class NewerRunLogError(RunLogError):
    """The run log was written by a newer version of Epochal."""

    def __init__(self, path: Path, version: int, newest_known: int) -> None:
        super().__init__(
            f"{path} is a run log of version {version}; this Epochal reads up to {newest_known}.\n"
            "Nothing is lost: update Epochal here and open it again."
        )
        self.path, self.version, self.newest_known = path, version, newest_known


class BlockError(EpochalError):
    """Bytes that are not a block, or a newer one."""


class DeletedRunError(BlockError):
    """A block of a run that somebody deleted."""

    def __init__(self, run: str) -> None:
        super().__init__(
            f"The run {run} was deleted, and nothing more of it is stored.\n"
            "Its run log is where it was. To log again, begin a run with another id."
        )
        self.run = run


class DamagedStoreError(EpochalError):
    """A part of the stored history is not what was written."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Stored history is damaged: {what}.")
        self.what = what


class DiskFullError(EpochalError):
    """There is no room to store anything.  What was to be stored was not, and can be sent again."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"The disk is full: nothing more can be stored in {path}.")
        self.path = path


class DataFolderError(EpochalError):
    """A server cannot start on this data folder."""


class DataFolderInUseError(DataFolderError):
    """Another server process owns this data folder."""

    def __init__(self, folder: Path, pid: int, url: str) -> None:
        super().__init__(
            f"{folder} is in use by the Epochal server at {url} (process {pid}).\n"
            "A data folder has one server: open that address (`epochal link` prints a new sign-in link),\n"
            "stop that process, or give this one a folder of its own: epochal ui --data-dir DIR"
        )
        self.folder, self.pid, self.url = folder, pid, url


class NewerDataFolderError(DataFolderError):
    """The data folder was written by a newer version of Epochal."""

    def __init__(self, folder: Path, version: str, newest_known: str) -> None:
        super().__init__(
            f"{folder} was written by a newer Epochal "
            f"(format {version}; this one knows up to {newest_known}).\n"
            "Nothing was changed.  Update Epochal, or use another folder: epochal ui --data-dir DIR"
        )
        self.folder, self.version, self.newest_known = folder, version, newest_known


class PortInUseError(DataFolderError):
    """Something else listens on the port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"Port {port} on {host} is already in use.\n"
            "Choose another one with --port N, or let Epochal find a free one with --port 0."
        )
        self.host, self.port = host, port
