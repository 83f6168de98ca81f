"""Taking back what the metadata says of a run's history, when a repair found less of it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, select, update

from epochal.store.metadata.base import next_version
from epochal.store.metadata.tables import documents, losses, runs, writers

DAMAGED = "damaged in the store"  # ends the reason of every loss that the store itself is to blame for


def begin_again(connection: Connection, run_key: int) -> None:
    """Forget how far the run logs of a run were taken in, and what follows from that.

    They are read again from their beginning, so what the store lost of the run is no loss any more.
    """
    connection.execute(
        update(writers).where(writers.c.run_key == run_key).values(applied_offset=0, is_finished=False)
    )
    connection.execute(delete(documents).where(documents.c.run_key == run_key, documents.c.kind == "fold"))
    connection.execute(delete(losses).where(losses.c.run_key == run_key, losses.c.reason.like(f"%{DAMAGED}")))
    set_counts(connection, run_key, n_rows=0, last_step=None)


def go_back(connection: Connection, run_key: int, offsets: Mapping[str, int]) -> None:
    """Say that writers of a run were taken in no further than to `offsets`, 0 for those not in it."""
    names = connection.execute(select(writers.c.writer).where(writers.c.run_key == run_key)).scalars()
    for writer in list(names):
        offset = offsets.get(writer, 0)
        connection.execute(
            update(writers)
            .where(
                writers.c.run_key == run_key, writers.c.writer == writer, writers.c.applied_offset > offset
            )
            .values(applied_offset=offset, is_finished=False)
        )


def set_counts(connection: Connection, run_key: int, *, n_rows: int, last_step: int | None) -> None:
    """Say how many rows a run has, and up to which step."""
    counted = {"n_rows": n_rows, "last_step": last_step, "version": next_version(connection)}
    connection.execute(update(runs).where(runs.c.key == run_key).values(counted))
