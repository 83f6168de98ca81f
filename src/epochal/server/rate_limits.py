"""How often a project may send and a user may ask, and how often a sign-in may fail.

Windows of a minute that begin with the first request.  Whoever is within the quota may go over it once, by
what one request brings: a request larger than the quota must not wait for ever.

A limited answer carries what W&B documents: `RateLimit-Limit` and `RateLimit-Remaining` in thousandths of the
window's quota, and `RateLimit-Reset`, the seconds until the window ends.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from epochal.server.failures import RequestError
from epochal.server.settings import ServerSettings

MAX_FAILED_SIGN_INS = 30  # a minute, from one address
_SCALE = 1000
_WINDOW_S = 60

Headers = dict[str, str]
_Charge = tuple[RateLimitItemPerMinute, int]  # the quota, and what of it one request takes


class LimitedError(RequestError):
    """A request beyond a limit."""

    def __init__(self, who: str, headers: Headers) -> None:
        wait = headers["ratelimit-reset"]
        super().__init__(
            429,
            "rate_limited",
            f"The limit for {who} is used up for this minute.",
            f"Try again in {wait} s. The limits are settings of the server.",
            headers={**headers, "retry-after": wait},
        )


class RateLimits:
    """The limits of one server, in its memory.  Thread-safe.

    Args:
        settings: 0 stands for no limit.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._requests = _item("ingest-requests", settings.ingest_requests_per_minute)
        self._bytes = _item("ingest-bytes", settings.ingest_bytes_per_minute)
        self._api = _item("api", settings.api_requests_per_minute)
        self._sign_ins = RateLimitItemPerMinute(MAX_FAILED_SIGN_INS, namespace="sign-ins")

    def ingest(self, entity: str, project: str, n_bytes: int) -> Headers:
        """Count a request that brings `n_bytes` to a project; return the headers for its answer.

        Raises:
            LimitedError: the project has used its quota up; the request does not count.
        """
        charges = [(item, cost) for item, cost in ((self._requests, 1), (self._bytes, n_bytes)) if item]
        return self._charge(charges, f"the project {entity}/{project}", entity, project)

    def api(self, *who: str) -> Headers:
        """Count a request of a user or an address; return the headers for its answer.

        Raises:
            LimitedError: they have used their quota up.
        """
        return self._charge([(self._api, 1)] if self._api else [], "requests", *who)

    def check_sign_in(self, address: str) -> None:
        """Make sure that `address` may try to sign in.

        Raises:
            LimitedError: too many attempts from there have failed.
        """
        if not self._limiter.test(self._sign_ins, address):
            raise LimitedError("sign-ins that fail", self._headers([self._sign_ins], address))

    def sign_in_failed(self, address: str) -> None:
        """Count an attempt from `address` that failed."""
        self._limiter.hit(self._sign_ins, address)

    def _charge(self, charges: Sequence[_Charge], what: str, *who: str) -> Headers:
        items = [item for item, _ in charges]
        if not all(self._limiter.test(item, *who) for item in items):
            raise LimitedError(what, self._headers(items, *who))
        for item, cost in charges:
            self._limiter.hit(item, *who, cost=cost)
        return self._headers(items, *who)

    def _headers(self, items: Sequence[RateLimitItemPerMinute], *who: str) -> Headers:
        """Return the headers of the quota that is nearest to its end; none where there is no limit."""
        if not items:
            return {}
        stats = [(item, self._limiter.get_window_stats(item, *who)) for item in items]
        item, (reset_at, remaining) = min(stats, key=lambda pair: pair[1].remaining / pair[0].amount)
        wait = min(_WINDOW_S, max(1, math.ceil(reset_at - time.time())))
        return {
            "ratelimit-limit": str(_SCALE),
            "ratelimit-remaining": str(_SCALE * remaining // item.amount),
            "ratelimit-reset": str(wait),
        }


def _item(name: str, amount: int) -> RateLimitItemPerMinute | None:
    return RateLimitItemPerMinute(amount, namespace=name) if amount > 0 else None
