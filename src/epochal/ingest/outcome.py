"""What became of each writer's blocks when blocks of many senders were taken in together."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from epochal.errors import DamagedStoreError, DiskFullError
from epochal.ids import DEFAULT_ENTITY, RunId, WriterId
from epochal.wire.block import Block


class WriterName(NamedTuple):
    """Names one writer among all that a server knows."""

    entity: str
    project: str
    run_id: RunId
    writer: WriterId


class Outcome(NamedTuple):
    """What became of a writer's blocks."""

    offset: int  # bytes: where its next block must begin; everything before it is durable
    error: Exception | None = None  # why a block was not stored; see `is_passing`


def writer_of(block: Block) -> WriterName:
    """Return whose block it is."""
    return WriterName(block.entity or DEFAULT_ENTITY, block.project, block.run_id, block.writer)


def is_passing(error: BaseException) -> bool:
    """Whether an error is a state of the machine, as a full disk is, and the block may be stored later."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps the driver's
    if isinstance(cause, (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError)):
        return False
    return isinstance(cause, (OSError, MemoryError, sqlite3.Error, DiskFullError, DamagedStoreError))
