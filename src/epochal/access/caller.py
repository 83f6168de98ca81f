"""Who sends a request, and what they may do."""

from __future__ import annotations

import msgspec

from epochal.access.api_keys import may
from epochal.store.metadata import ApiKeyRecord, Role, UserRecord


class Caller(msgspec.Struct, frozen=True):
    """One request's sender."""

    user: UserRecord
    role: Role
    has_key: bool  # an API key, and not the session of a browser

    def may(self, needed: Role) -> bool:
        """Whether the caller may do what the role `needed` stands for."""
        return may(self.role, needed)

    def may_write_to(self, entity: str) -> bool:
        """Whether the caller's runs may go to `entity`: their own, or any for an admin."""
        return self.may("write") and (entity == self.user.entity or self.user.role == "admin")


def caller_of_key(key: ApiKeyRecord) -> Caller:
    """Return who shows `key`."""
    return Caller(key.user, key.role, has_key=True)


def caller_of_session(owner: UserRecord) -> Caller:
    """Return who has a session: the owner of the data folder, who alone can make sign-in links."""
    return Caller(owner, owner.role, has_key=False)
