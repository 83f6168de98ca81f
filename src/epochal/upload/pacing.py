"""When to send, and how much at once: courtesy towards the server and the network.

- After a failure, a random wait below a bound that doubles ("full jitter"): a thousand senders whose server
  comes back do not all come at once.
- Of the server's quota, what is left is spread over what is left of its window.
- A body is as large as takes about four seconds at the rate that was seen: small on a slow line, so that
  every few seconds something is acknowledged, and large on a fast one.
- While the server answers slowly, more time is left between requests, which then carry more each.

Source of the jitter: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections.abc import Callable

from epochal.upload.client import NotNowError, Quota

MIN_BODY_BYTES = 2 << 10
FIRST_BODY_BYTES = 64 << 10
BODY_S = 4.0
INTERVAL_S = 1.0  # between requests while little is to be sent: rows are fresh within two seconds
MAX_INTERVAL_S = 10.0
BACK_OFF_S = 1.0
MAX_BACK_OFF_S = 60.0
# While somebody waits for the end, or the job is over, there is no time for long waits.
MAX_HURRIED_BACK_OFF_S = 2.0
_LOW_QUOTA = 200.0  # thousandths; above it, nobody is slowed down
_ANSWER_SHARE = 3.0  # the interval is at least so many times the server's time to answer


class Pace:
    """The pace towards one server.

    Args:
        max_body_bytes: bound of a body.
        max_bytes_per_s: cap on the line, 0 for none.
        random: gives numbers from 0 to 1.
    """

    def __init__(self, max_body_bytes: int, max_bytes_per_s: float, random: Callable[[], float]) -> None:
        self.is_hurried = False
        self.n_failures = 0
        self._max_body_bytes = max_body_bytes
        self._cap = max_bytes_per_s
        self._random = random
        self._body_bytes = float(min(FIRST_BODY_BYTES, max_body_bytes))
        self._answer_s = 0.0  # smoothed
        self._quota: Quota | None = None
        self._quota_cost = 10.0

    @property
    def body_bytes(self) -> int:
        """How large the next body may be."""
        most = self._body_bytes if not self._cap else min(self._body_bytes, self._cap * BODY_S)
        return max(MIN_BODY_BYTES, int(most))

    @property
    def interval_s(self) -> float:
        """Time between two requests that are not full."""
        if self.is_hurried:
            return 0.0
        return min(MAX_INTERVAL_S, max(INTERVAL_S, _ANSWER_SHARE * self._answer_s))

    def limit_body(self, max_bytes: int) -> None:
        """Never send more than `max_bytes` at once again: the server said so."""
        self._max_body_bytes = max(MIN_BODY_BYTES, min(self._max_body_bytes, max_bytes))
        self._body_bytes = min(self._body_bytes, self._max_body_bytes)

    def succeeded(self, n_bytes: int, took_s: float, quota: Quota | None) -> float:
        """Take note of an answer; return how long to wait at least before the next request."""
        self.n_failures = 0
        self._answer_s += 0.3 * (took_s - self._answer_s)
        wanted = n_bytes / max(took_s, 1e-3) * BODY_S
        if wanted > self._body_bytes:
            # A small body says little about the line, so it grows step by step.
            self._body_bytes = min(wanted, self._body_bytes * 4, self._max_body_bytes)
        elif took_s > BODY_S:
            self._body_bytes = max(wanted, self._body_bytes / 4, MIN_BODY_BYTES)
        return max(self._by_quota(quota), n_bytes / self._cap if self._cap else 0.0)

    def failed(self, error: NotNowError, took_s: float) -> float:
        """Take note of a failure; return how long to wait."""
        self.n_failures += 1
        # Whoever gave up, a smaller body would have been through earlier.
        if error.is_timeout or took_s > BODY_S:
            self._body_bytes = max(MIN_BODY_BYTES, self._body_bytes / 4)
        most = MAX_HURRIED_BACK_OFF_S if self.is_hurried else MAX_BACK_OFF_S
        bound = min(most, BACK_OFF_S * 2.0 ** min(self.n_failures - 1, 16))
        wait_s = 0.05 + self._random() * bound
        if error.retry_after_s is not None:
            # Never earlier than asked, and not all at the same moment after it.
            wait_s = error.retry_after_s * (1.0 + 0.1 * self._random()) + 0.1 * wait_s
        return wait_s

    def _by_quota(self, quota: Quota | None) -> float:
        before, self._quota = self._quota, quota
        if quota is None:
            return 0.0
        if before is not None and before.remaining > quota.remaining:
            self._quota_cost += 0.3 * (before.remaining - quota.remaining - self._quota_cost)
        if quota.remaining > _LOW_QUOTA:
            return 0.0
        return quota.reset_s * min(1.0, self._quota_cost / max(quota.remaining, 1e-3))
