"""Where alerts are sent, and which of them are still to be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

from sqlalchemy import Connection, Select, delete, func, insert, or_, select, update

from epochal.store.metadata.base import Database, insert_missing
from epochal.store.metadata.records import AlertChannel, AlertLevel
from epochal.store.metadata.tables import alert_channels, alert_deliveries, alerts, projects, runs

# Of one channel: a loop that says a new title each time must not fill the disk with what nobody will read.
MAX_WAITING = 500
# Seconds between a try that failed and the next one; after the last one it is over.
_WAITS_S = (30.0, 120.0, 600.0, 3600.0)


class Due(NamedTuple):
    """An alert that is to be sent now."""

    alert_key: int
    channel_key: int
    n_tries: int  # before this one
    url: str
    level: str
    title: str
    text: str
    run_id: str
    run_name: str
    entity: str
    project: str


class AlertChannels:
    """By key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, project_key: int | None, name: str, url: str, level: AlertLevel, *, now: float) -> int:
        """Make a channel of a project, or of all; return its key."""
        with self._database.write() as connection:
            made = insert(alert_channels).values(
                project_key=project_key, name=name, url=url, level=level, created_at=now
            )
            return int(connection.execute(made.returning(alert_channels.c.key)).scalar_one())

    def delete(self, key: int) -> None:
        """Remove a channel with all that waits for it."""
        with self._database.write() as connection:
            connection.execute(delete(alert_deliveries).where(alert_deliveries.c.channel_key == key))
            connection.execute(delete(alert_channels).where(alert_channels.c.key == key))

    def of_project(self, project_key: int | None) -> list[AlertChannel]:
        """Return the channels of a project, or those of all projects, oldest first."""
        query = select(alert_channels).where(alert_channels.c.project_key.is_(project_key))
        if project_key is not None:
            query = select(alert_channels).where(alert_channels.c.project_key == project_key)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(alert_channels.c.key)).all()
        return [AlertChannel(**row._mapping) for row in rows]

    def get(self, key: int) -> AlertChannel | None:
        """Return one channel."""
        with self._database.read() as connection:
            row = connection.execute(select(alert_channels).where(alert_channels.c.key == key)).first()
        return None if row is None else AlertChannel(**row._mapping)

    def outcomes(self, alert_key: int) -> list[tuple[str, str, str | None]]:
        """Return (channel's name, state, error) for every channel that an alert goes to."""
        query = (
            select(alert_channels.c.name, alert_deliveries.c.state, alert_deliveries.c.error)
            .join_from(alert_deliveries, alert_channels)
            .where(alert_deliveries.c.alert_key == alert_key)
            .order_by(alert_channels.c.key)
        )
        with self._database.read() as connection:
            return [(name, state, error) for name, state, error in connection.execute(query)]

    def take_due(self, now: float, limit: int) -> list[Due]:
        """Return alerts to send now, and count that as a try: a crash meanwhile costs no more than that.

        Args:
            now: Unix seconds.
            limit: at most so many.
        """
        with self._database.read() as connection:
            if connection.execute(_is_due(now).limit(1)).first() is None:
                return []
        with self._database.write() as connection:
            due = [Due(*row) for row in connection.execute(_due(now, limit))]
            for one in due:
                over = one.n_tries >= len(_WAITS_S)
                again = None if over else now + _WAITS_S[one.n_tries]
                _set(connection, one, n_tries=one.n_tries + 1, next_try_at=again)
        return due

    def tried(self, outcomes: Iterable[tuple[Due, str | None]]) -> None:
        """Keep what became of tries: the error in words, None where it was sent."""
        with self._database.write() as connection:
            for due, error in outcomes:
                if error is None:
                    _set(connection, due, state="delivered", error=None, next_try_at=None)
                else:
                    state = "failed" if due.n_tries >= len(_WAITS_S) else "waiting"
                    _set(connection, due, state=state, error=error)


def queue(
    connection: Connection, project_key: int, run_key: int, alert_key: int, level: AlertLevel, *, now: float
) -> None:
    """Queue an alert for the channels of its project and for those of all projects."""
    levels = get_args(AlertLevel)
    urgent_enough = levels[: levels.index(level) + 1]
    n_waiting = (
        select(func.count())
        .select_from(alert_deliveries)
        .where(
            alert_deliveries.c.channel_key == alert_channels.c.key,
            alert_deliveries.c.next_try_at.is_not(None),
        )
        .scalar_subquery()
    )
    of = or_(alert_channels.c.project_key.is_(None), alert_channels.c.project_key == project_key)
    query = select(alert_channels.c.key, n_waiting).where(of, alert_channels.c.level.in_(urgent_enough))
    for channel_key, n in connection.execute(query).all():
        is_full = n >= MAX_WAITING
        connection.execute(
            insert_missing(alert_deliveries).values(
                alert_key=alert_key,
                channel_key=channel_key,
                run_key=run_key,
                n_tries=0,
                next_try_at=None if is_full else now,
                state="left_out" if is_full else "waiting",
                error=f"{n} alerts were waiting for this channel already." if is_full else None,
            )
        )


def _set(connection: Connection, due: Due, **values: object) -> None:
    here = (
        alert_deliveries.c.alert_key == due.alert_key,
        alert_deliveries.c.channel_key == due.channel_key,
    )
    connection.execute(update(alert_deliveries).where(*here).values(**values))


def _is_due(now: float) -> Select[Any]:
    return select(alert_deliveries.c.alert_key).where(alert_deliveries.c.next_try_at <= now)


def _due(now: float, limit: int) -> Select[Any]:
    return (
        select(
            alert_deliveries.c.alert_key,
            alert_deliveries.c.channel_key,
            alert_deliveries.c.n_tries,
            alert_channels.c.url,
            alerts.c.level,
            alerts.c.title,
            alerts.c.text,
            runs.c.run_id,
            runs.c.name,
            projects.c.entity,
            projects.c.name,
        )
        .join_from(alert_deliveries, alerts, alert_deliveries.c.alert_key == alerts.c.key)
        .join(alert_channels, alert_deliveries.c.channel_key == alert_channels.c.key)
        .join(runs, alerts.c.run_key == runs.c.key)
        .join(projects, alerts.c.project_key == projects.c.key)
        .where(alert_deliveries.c.next_try_at <= now)
        .order_by(alert_deliveries.c.next_try_at, alert_deliveries.c.alert_key)
        .limit(limit)
    )
