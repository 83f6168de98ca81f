"""Sessions: what a browser holds after it was let in.

A session is `expiry.id.signature`; the signature is an HMAC with the data folder's secret.  The server
keeps no list, so a restart signs nobody out, and a new secret signs everybody out.

Source: RFC 2104 (HMAC).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable

LIFETIME_S = 30 * 24 * 3600
_MAX_CHARS = 256


class Sessions:
    """Issues and checks the sessions of one data folder.

    Args:
        secret: 32 bytes that only the server knows.
        clock: Unix seconds.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float]) -> None:
        self._key = hmac.digest(secret, b"epochal session", "sha256")
        self._clock = clock

    @property
    def cookie_name(self) -> str:
        """The cookie that carries a session: `epochal_session_` and eight characters for the data folder.

        Browsers share cookies between the ports of a host; two servers on one machine must not sign each
        other's visitors out.
        """
        return f"epochal_session_{hashlib.sha256(b'name' + self._key).hexdigest()[:8]}"

    def issue(self) -> str:
        """Return a new session, good for `LIFETIME_S` seconds; safe in a cookie."""
        body = f"{int(self._clock()) + LIFETIME_S}.{secrets.token_urlsafe(16)}"
        return f"{body}.{self._sign(body)}"

    def is_valid(self, session: str) -> bool:
        """Whether `session` was issued here and has not expired."""
        if len(session) > _MAX_CHARS or not session.isascii():
            return False
        body, _, signature = session.rpartition(".")
        if not hmac.compare_digest(signature, self._sign(body)):
            return False
        # Signed by us, so it is a number.
        return self._clock() < int(body.partition(".")[0])

    def _sign(self, body: str) -> str:
        digest = hmac.digest(self._key, body.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
