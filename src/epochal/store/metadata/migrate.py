"""Brings a metadata file to the revision that this version knows, keeping a copy of the old one."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine

from epochal.errors import DataFolderError, NewerDataFolderError

HEAD = "0006"  # the newest file in migrations/versions; revisions are counted up, so they compare as texts
_FOLDER = Path(__file__).parent / "migrations"
_COPIES_KEPT = 3  # from before upgrades

_log = logging.getLogger(__name__)


def revision_of(path: Path) -> str | None:
    """Return the revision of the metadata file at `path`; None if there is none, or an empty one.

    Raises:
        DataFolderError: it is not a metadata file.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            if "alembic_version" in names:
                row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
                return str(row[0]) if row else None
    except sqlite3.DatabaseError as error:
        raise DataFolderError(
            f"{path} cannot be read as Epochal's metadata: {error}.\n"
            "Put a copy of it back, or move it away: the runs are taken in again from their run logs."
        ) from error
    if names:
        raise DataFolderError(
            f"{path} is a database, but not Epochal's.\n"
            "Move it away, or use another folder: epochal ui --data-dir DIR"
        )
    return None


def check_revision(path: Path) -> str | None:
    """Return the revision of the file, having made sure that it is one this version knows.

    Raises:
        NewerDataFolderError: a newer version wrote it; nothing was changed.
        DataFolderError: it is not a metadata file.
    """
    revision = revision_of(path)
    if revision is not None and revision > HEAD:
        raise NewerDataFolderError(path.parent, f"metadata {revision}", HEAD)
    return revision


def upgrade(path: Path, engine: Engine, revision: str | None) -> None:
    """Bring the file at `path`, which is at `revision`, to HEAD.

    A copy of an older file stays beside it as `<name>.before-<HEAD>`; the last three such copies are kept.
    """
    if revision == HEAD:
        return
    if revision is not None:
        copy = path.with_name(f"{path.name}.before-{HEAD}")
        back_up(path, copy)
        _log.info("%s is upgraded from %s to %s; a copy of it is %s", path, revision, HEAD, copy)
        _remove_older_copies(path)
    # Here, because it takes longer to import than all of the rest and is needed once a version.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)


def back_up(path: Path, copy: Path) -> None:
    """Write a consistent copy of the SQLite file at `path`, complete with what is still in its log."""
    unfinished = copy.with_name(f"{copy.name}.part")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(unfinished)) as target:
        source.backup(target)
    # On the disk before the upgrade begins, or a power cut could take both.
    _sync(unfinished)
    unfinished.replace(copy)
    _sync(copy.parent)


def _remove_older_copies(path: Path) -> None:
    copies = sorted(c for c in path.parent.glob(f"{path.name}.before-*") if c.suffix != ".part")
    for copy in copies[:-_COPIES_KEPT]:
        copy.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
