"""API keys, known by their digests only."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, bindparam, insert, select, update

from epochal.store.metadata.base import Database
from epochal.store.metadata.records import ApiKeyRecord, Role, UserRecord
from epochal.store.metadata.tables import api_keys, users

_OF_USER = {column: column.label(f"user_{column.name}_") for column in users.c}
_OF_KEY = [c for c in api_keys.c if c.name not in ("user_key", "digest")]


class ApiKeys:
    """By number, and by digest."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_digests(self, digests: Collection[bytes]) -> dict[bytes, ApiKeyRecord]:
        """Return the keys with these SHA-256 digests that were not revoked."""
        with self._database.read() as connection:
            rows = connection.execute(_FIND, {"digests": list(digests)}).mappings().all()
        return {row["digest"]: _record(row) for row in rows}

    def all(self, *, user_key: int | None = None) -> list[ApiKeyRecord]:
        """Return the keys of everybody, or of one user, oldest first; revoked ones too."""
        query = _select().order_by(api_keys.c.number)
        if user_key is not None:
            query = query.where(api_keys.c.user_key == user_key)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def add(
        self,
        connection: Connection,
        user_key: int,
        *,
        name: str,
        role: Role,
        digest: bytes,
        hint: str,
        now: float,
    ) -> int:
        """Put a key on record and return its number."""
        row = {"user_key": user_key, "name": name, "role": role, "digest": digest, "hint": hint}
        made = connection.execute(insert(api_keys).values(**row, created_at=now))
        assert made.inserted_primary_key is not None
        return int(made.inserted_primary_key[0])

    def revoke(self, connection: Connection, number: int, *, now: float) -> bool:
        """Make a key worthless; return whether there was one of that number that still was good."""
        made = connection.execute(_REVOKE, {"number_": number, "at_": now})
        return made.rowcount == 1

    def touch(self, connection: Connection, numbers: Iterable[int], *, now: float) -> None:
        """Say that keys were used."""
        connection.execute(_TOUCH, [{"number_": number, "at_": now} for number in numbers])


def _select() -> Select[tuple[Any, ...]]:
    return select(*_OF_KEY, api_keys.c.digest, *_OF_USER.values()).join_from(api_keys, users)


def _record(row: RowMapping) -> ApiKeyRecord:
    user = UserRecord(**{column.name: row[label.name] for column, label in _OF_USER.items()})
    return ApiKeyRecord(user=user, **{column.name: row[column.name] for column in _OF_KEY})


_FIND = _select().where(
    api_keys.c.digest.in_(bindparam("digests", expanding=True)), api_keys.c.revoked_at.is_(None)
)
_REVOKE = (
    update(api_keys)
    .where(api_keys.c.number == bindparam("number_"), api_keys.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("at_"))
)
_TOUCH = (
    update(api_keys).where(api_keys.c.number == bindparam("number_")).values(last_used_at=bindparam("at_"))
)
