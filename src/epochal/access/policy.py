"""Who may use a route.

Every route of the server declares one of these; a route without one does not start.
"""

from __future__ import annotations

from enum import Enum, auto


class Policy(Enum):
    """What a caller must have shown before a route answers."""

    ANYONE = auto()  # nothing: the sign-in page, the health check, the app's scripts and styles
    READ = auto()  # a session, or an API key of any role
    SEND = auto()  # an API key that may write; a session is not enough: no page may send runs
