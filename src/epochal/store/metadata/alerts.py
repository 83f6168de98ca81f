"""Alerts: what a script, or a rule of its project, called for attention with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, Select, func, select

from epochal.store.metadata.alert_channels import queue
from epochal.store.metadata.base import Database, insert_missing
from epochal.store.metadata.records import AlertRecord, NewAlert
from epochal.store.metadata.tables import alerts, projects, runs

MAX_PAGE = 1000
# Runs that are synced late must not bring a storm of what is long over.
SENT_WITHIN_S = 3600.0


class AlertPage(NamedTuple):
    """One page of a list, newest first."""

    n_total: int
    alerts: list[AlertRecord]
    has_next: bool


class Alerts:
    """By key, which counts up; one that is told twice is there once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, connection: Connection, said: Iterable[tuple[int, int, NewAlert]], *, now: float
    ) -> list[int]:
        """Keep alerts, given by the keys of project and run, and queue them for the channels they go to.

        An alert that is more than an hour old is kept and not sent, as is one whose title the run said
        within the waiting time before it.

        Args:
            connection: of a transaction.
            said: project key, run key, alert.
            now: Unix seconds.

        Returns:
            The keys of those that were not there before.
        """
        new: list[int] = []
        for project_key, run_key, alert in said:
            statement = insert_missing(alerts).values(
                project_key=project_key,
                run_key=run_key,
                source=alert.source,
                place=alert.place,
                created_at=alert.created_at,
                level=alert.level,
                title=alert.title,
                text=alert.text,
            )
            for key in connection.execute(statement.returning(alerts.c.key)).scalars().all():
                new.append(key)
                is_old = now - alert.created_at > SENT_WITHIN_S
                if not is_old and not _was_said_lately(connection, run_key, key, alert):
                    queue(connection, project_key, run_key, key, alert.level, now=now)
        return new

    def newest(
        self,
        *,
        project_key: int | None = None,
        run_key: int | None = None,
        first: int = 50,
        before: int | None = None,
    ) -> AlertPage:
        """Return a page of alerts, newest first: of a project, of a run, or of everything.

        Args:
            project_key: its alerts only.
            run_key: its alerts only.
            first: at most so many, and never more than 1,000.
            before: the key of the last alert of the page before.
        """
        n = max(0, min(first, MAX_PAGE))
        of = []
        if project_key is not None:
            of.append(alerts.c.project_key == project_key)
        if run_key is not None:
            of.append(alerts.c.run_key == run_key)
        total = select(func.count()).select_from(alerts).where(*of)
        query = _SELECT.where(*of).order_by(alerts.c.key.desc()).limit(n + 1)
        if before is not None:
            query = query.where(alerts.c.key < before)
        with self._database.read() as connection:
            n_total = connection.execute(total).scalar_one()
            rows = connection.execute(query).all()
        found = [AlertRecord(**row._mapping) for row in rows]
        return AlertPage(n_total, found[:n], len(found) > n)


def _was_said_lately(connection: Connection, run_key: int, key: int, alert: NewAlert) -> bool:
    """Whether another of the run's writers said the same title within the waiting time."""
    if alert.wait_s <= 0:
        return False
    query = select(alerts.c.key).where(
        alerts.c.run_key == run_key,
        alerts.c.title == alert.title,
        alerts.c.key != key,
        alerts.c.created_at > alert.created_at - alert.wait_s,
        alerts.c.created_at <= alert.created_at,
    )
    return connection.execute(query.limit(1)).first() is not None


_SELECT: Select[tuple[object, ...]] = (
    select(
        alerts.c.key,
        alerts.c.source,
        alerts.c.created_at,
        alerts.c.level,
        alerts.c.title,
        alerts.c.text,
        runs.c.run_id,
        runs.c.name.label("run_name"),
        projects.c.entity,
        projects.c.name.label("project"),
    )
    .join_from(alerts, runs, alerts.c.run_key == runs.c.key)
    .join(projects, alerts.c.project_key == projects.c.key)
)
