"""Users: who has API keys, and where their runs go."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from epochal.store.metadata.base import Database, insert_missing
from epochal.store.metadata.records import Role, UserRecord
from epochal.store.metadata.tables import users

_OF_NAME = select(users).where(users.c.name == bindparam("name_"))
_OF_ENTITY = select(users).where(users.c.entity == bindparam("entity_"))


class Users:
    """By name, and by entity: both belong to one user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_name(self, name: str) -> UserRecord | None:
        """Return the user of that name."""
        with self._database.read() as connection:
            row = connection.execute(_OF_NAME, {"name_": name}).mappings().one_or_none()
        return None if row is None else UserRecord(**row)

    def of_entity(self, entity: str) -> UserRecord | None:
        """Return the user whose entity it is."""
        with self._database.read() as connection:
            row = connection.execute(_OF_ENTITY, {"entity_": entity}).mappings().one_or_none()
        return None if row is None else UserRecord(**row)

    def add(self, connection: Connection, name: str, entity: str, role: Role, *, now: float) -> None:
        """Make a user, unless there is one of that name or entity."""
        row = {"name": name, "entity": entity, "role": role, "created_at": now}
        connection.execute(insert_missing(users), row)
