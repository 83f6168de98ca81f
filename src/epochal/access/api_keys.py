"""API keys: what a program shows to be let in.

A key is 44 random characters behind a name by which scanners for leaked secrets find it: 262 bits, so a plain
SHA-256 is as good as a slow hash, and a look-up by the digest tells an attacker nothing.  The key itself is
shown once and stored nowhere.

The stock client drops what stands before the first `-`, and wants at least 40 letters, digits, `_` or `-`
behind it.
"""

from __future__ import annotations

import getpass
import hashlib
import re
import secrets
import string
from collections.abc import Callable, Collection

from epochal.errors import UsageError
from epochal.ids import DEFAULT_ENTITY, check_entity
from epochal.store.metadata import ApiKeyRecord, Metadata, Role, UserRecord

PREFIX = "epochal-"
ROLES: tuple[Role, ...] = ("read", "write", "admin")
TOUCH_EVERY_S = 3600.0
_ALPHABET = string.ascii_letters + string.digits
_N_CHARACTERS = 44
_N_HINT = len(PREFIX) + 4
_MAX_NAME = 100
_SHAPE = re.compile(rf"{PREFIX}[A-Za-z0-9]{{{_N_CHARACTERS}}}")


class ApiKeys:
    """The keys of one data folder.  Thread-safe; several processes may have one at once.

    Args:
        metadata: of the data folder.
        clock: Unix seconds.
    """

    def __init__(self, metadata: Metadata, clock: Callable[[], float]) -> None:
        self._metadata = metadata
        self._clock = clock

    def new(self, user: UserRecord, role: Role, name: str) -> tuple[str, ApiKeyRecord]:
        """Return a new key, which nobody can show again, and its record.

        Args:
            user: whose.
            role: what it may do, at most what `user` may.
            name: what the owner calls it.

        Raises:
            UsageError: the user may not do so much, or the name cannot be shown.
        """
        if not may(user.role, role):
            raise UsageError(f"{user.name} has the role {user.role}, so no key of theirs can have {role}.")
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or not name.strip():
            raise UsageError(f"A key's name has 1 to {_MAX_NAME} characters that can be shown.")
        key = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_N_CHARACTERS))
        store, digest = self._metadata, digest_of(key)
        with store.write() as connection:
            store.api_keys.add(
                connection,
                user.key,
                name=name,
                role=role,
                digest=digest,
                hint=key[:_N_HINT],
                now=self._clock(),
            )
        return key, store.api_keys.of_digests([digest])[digest]

    def find(self, digests: Collection[bytes]) -> dict[bytes, ApiKeyRecord]:
        """Return the good keys among those with these digests (see `digest_of`)."""
        return self._metadata.api_keys.of_digests(digests)

    def all(self) -> list[ApiKeyRecord]:
        """Return every key, oldest first; those that were revoked too."""
        return self._metadata.api_keys.all()

    def revoke(self, number: int) -> bool:
        """Make the key of that number worthless from now on; return whether there was a good one."""
        with self._metadata.write() as connection:
            return self._metadata.api_keys.revoke(connection, number, now=self._clock())

    def touch(self, records: Collection[ApiKeyRecord]) -> None:
        """Say that keys were used; to the hour, so that a request hardly ever writes for it."""
        now = self._clock()
        stale = [r.number for r in records if now - (r.last_used_at or 0.0) >= TOUCH_EVERY_S]
        if stale:
            with self._metadata.write() as connection:
                self._metadata.api_keys.touch(connection, stale, now=now)

    def user(self, name: str) -> UserRecord:
        """Return the user of that name; a new one gets an entity of the same name and the role write.

        Raises:
            UsageError: the name cannot stand in an address, or is somebody else's entity.
        """
        check_entity(name)
        store = self._metadata
        if store.users.of_name(name) is None:
            with store.write() as connection:
                store.users.add(connection, name, name, "write", now=self._clock())
        user = store.users.of_name(name)
        if user is None:
            raise UsageError(f"{name!r} is the entity of another user: choose another name.")
        return user


def owner_of(metadata: Metadata, entity: str, name: str, now: float) -> UserRecord:
    """Return the user whom a data folder belongs to, who is made, as an admin, if there is none yet.

    Args:
        metadata: of the data folder.
        entity: of the owner.
        name: of the owner, if new.
        now: Unix seconds.
    """
    found = metadata.users.of_entity(entity)
    while found is None:
        with metadata.write() as connection:
            metadata.users.add(connection, name, entity, "admin", now=now)
        found = metadata.users.of_entity(entity)
        # Only if somebody else has that name already.
        name += "_"
    return found


def system_user() -> str:
    """Return the name of the person who runs this process, as far as the system knows it."""
    try:
        return check_entity(getpass.getuser())
    except (OSError, KeyError, UsageError):
        return DEFAULT_ENTITY  # in a container, a user may be a number without a name


def is_key(text: str) -> bool:
    """Whether `text` has the shape of an API key."""
    return _SHAPE.fullmatch(text) is not None


def digest_of(key: str) -> bytes:
    """Return what is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def may(role: Role, needed: Role) -> bool:
    """Whether whoever has `role` may do what `needed` stands for."""
    return ROLES.index(role) >= ROLES.index(needed)
