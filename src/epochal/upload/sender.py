"""Sends what outgoing folders hold: one request at a time, of as many run logs as have something new.

What a failure means is in docs/formats/ingest.md.  Whatever happens, no row is given up: a request whose fate
is unknown is sent again, and what the server has already, it skips.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from epochal.upload.client import BodyRefusedError, Client, KeyRefusedError, NotNowError, Refusal, Stored
from epochal.upload.outgoing_folder import OutgoingFolder
from epochal.upload.outgoing_log import Built, OutgoingLog
from epochal.upload.pacing import Pace

POLL_S = 0.5  # how often to look for new rows
# Decoded frames take ten times the memory of the file, so a block is bounded by what is read for it.
MAX_READ_BYTES = 1 << 20
_MIN_READ_BYTES = 4 << 10
_COMPRESSION = 3  # what a block is smaller than the frames it was built of, about
_TOO_LARGE = "too_large"

_Outgoing = tuple[OutgoingFolder, OutgoingLog]


class Trouble(NamedTuple):
    """Why nothing can be sent now."""

    why: str
    since: float  # by the sender's clock
    is_final: bool = False  # the key was refused: nothing will be sent


class Sender:
    """Sends to one server.  Not thread-safe.

    Args:
        client: of the server.
        max_body_bytes: at most so much is sent, and held in memory, at once.
        max_bytes_per_s: cap on the line, 0 for none.
        ask_bytes: of a run log larger than this the server is asked where to go on before it is read.
        clock: seconds that only go forward.
        chance: gives numbers from 0 to 1.

    Attributes:
        trouble: None while all is well.
        n_acknowledged_bytes: of run logs, since the beginning.
        progress_at: when the server last took something, by the clock.
    """

    def __init__(
        self,
        client: Client,
        *,
        max_body_bytes: int = 2 << 20,
        max_bytes_per_s: float = 0.0,
        ask_bytes: int = 256 << 10,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.trouble: Trouble | None = None
        self.n_acknowledged_bytes = 0
        self.progress_at = clock()
        self._client = client
        self._pace = Pace(max_body_bytes, max_bytes_per_s, chance)
        self._ask_bytes = ask_bytes
        self._clock = clock
        self._not_before = clock()
        self._sent_at = float("-inf")
        self._turn = 0  # whose blocks come first
        self._one_by_one = False  # a body was refused: which block of it is the bad one?

    def hurry(self, is_hurried: bool) -> None:
        """Wait little, because somebody waits for the end; what a server asked for is still obeyed."""
        if is_hurried and not self._pace.is_hurried and self._pace.n_failures:
            self._not_before = min(self._not_before, self._clock())
        self._pace.is_hurried = is_hurried

    def step(self, folders: Iterable[OutgoingFolder]) -> float:
        """Make at most one request; return after how many seconds the next step is worth it.

        The folders must have been looked at.  Blocks until the server answers, for a minute at worst.
        """
        now = self._clock()
        if self.trouble is not None and self.trouble.is_final:
            return float("inf")
        if now < self._not_before:
            return self._not_before - now
        logs = self._with_more(folders)
        if not logs:
            return POLL_S
        due = self._sent_at + self._pace.interval_s
        if now < due and sum(log.n_left_bytes for _, log in logs) < self._pace.body_bytes * _COMPRESSION:
            return due - now
        return self._guarded(logs)

    def _with_more(self, folders: Iterable[OutgoingFolder]) -> list[_Outgoing]:
        found = [(folder, log) for folder in folders for log in folder.logs if log.has_more]
        # In turns, so that one that always has more does not keep the others waiting.
        self._turn = self._turn + 1 if found else 0
        at = self._turn % max(1, len(found))
        return found[at:] + found[:at]

    def _guarded(self, logs: Sequence[_Outgoing]) -> float:
        began = self._clock()
        try:
            return self._exchange(logs)
        except KeyRefusedError as error:
            self.trouble = Trouble(str(error), began, is_final=True)
            return float("inf")
        except NotNowError as error:
            now = self._clock()
            self._client.close()  # A connection that failed is not used again.
            for _, log in logs:
                log.rest()  # It may be long until they are read again.
            wait_s = self._pace.failed(error, now - began)
            self._not_before = now + wait_s
            self.trouble = Trouble(str(error), self.trouble.since if self.trouble else began)
            return wait_s

    def _exchange(self, logs: Sequence[_Outgoing]) -> float:
        if self._ask(logs):
            return 0.0
        body = self._fill(logs)
        if not body:
            return POLL_S
        began = self._sent_at = self._clock()
        try:
            answer = self._client.send([built.data for _, _, built in body])
        except BodyRefusedError as error:
            self._refused(error, body)
            return 0.0
        except NotNowError as error:
            if error.is_timeout and len(body) == 1:
                body[0][1].shrink()
            raise
        now = self._clock()
        n_bytes = sum(len(built.data) for _, _, built in body)
        wait_s = self._pace.succeeded(n_bytes, now - began, self._client.quota)
        self._take(answer, body, now)
        self._not_before = now + wait_s
        return wait_s

    def _ask(self, logs: Sequence[_Outgoing]) -> bool:
        """Ask where to go on with one run of which that is not known, if it is worth it."""
        for folder, log in logs:
            if log.offset is None and log.size > self._ask_bytes and log.open() and log.header is not None:
                header = log.header
                known = self._client.offsets(header.entity, header.project, header.run_id).writers
                for other in folder.logs:
                    same = other.open() and other.header is not None and other.header.run_id == header.run_id
                    if same and other.offset is None and other.header is not None:
                        offset = known.get(other.header.writer, 0)
                        self._progressed(other, offset, self._clock())
                return True
        return False

    def _fill(self, logs: Sequence[_Outgoing]) -> list[tuple[OutgoingFolder, OutgoingLog, Built]]:
        """Return blocks for one body, at least one if there is any."""
        most = self._pace.body_bytes
        max_read = max(_MIN_READ_BYTES, min(MAX_READ_BYTES, most * _COMPRESSION))
        body: list[tuple[OutgoingFolder, OutgoingLog, Built]] = []
        n_bytes = 0
        for folder, log in logs:
            taken = 0
            while True:
                if taken == len(log.waiting) and not self._builds(log, max_read):
                    break
                built = log.waiting[taken]
                if body and n_bytes + len(built.data) > most:
                    return body
                body.append((folder, log, built))
                n_bytes += len(built.data)
                taken += 1
                if self._one_by_one or n_bytes >= most:
                    return body
        return body

    def _builds(self, log: OutgoingLog, max_read: int) -> bool:
        return log.size > log.seen_size and log.build(max_read)

    def _take(
        self, answer: Sequence[Stored], body: Sequence[tuple[OutgoingFolder, OutgoingLog, Built]], now: float
    ) -> None:
        stored = {(entry.project, entry.run, entry.writer): entry for entry in answer}
        is_progress = False
        for log, folder in {log: folder for folder, log, _ in body}.items():
            assert log.header is not None
            entry = stored.get((log.header.project, log.header.run_id, log.header.writer))
            if entry is None:
                continue
            folder.entity = entry.entity or folder.entity
            is_progress = self._progressed(log, entry.offset, now) or is_progress
            if entry.error is not None:
                is_progress = True
                self._cannot_be_stored(log, entry.error)
        if not is_progress:
            # It answers well and takes nothing: asked again at once, that would go on for ever.  Should the
            # blocks have been damaged here, they are better the next time.
            for _, log, _ in body:
                log.build_again()
            raise NotNowError("it does not take what is sent")
        self.trouble = None

    def _progressed(self, log: OutgoingLog, offset: int, now: float) -> bool:
        before = log.offset or 0
        is_news = log.acknowledged(offset)
        if offset > before:
            self.n_acknowledged_bytes += offset - before
            self.progress_at = now
        return is_news

    def _cannot_be_stored(self, log: OutgoingLog, error: Refusal) -> None:
        if error.code.endswith(_TOO_LARGE) and log.waiting:
            self._make_smaller(log)
        else:
            log.stop(f"the server cannot store it: {error.message or error.code}")

    def _make_smaller(self, log: OutgoingLog) -> None:
        if not log.shrink():
            log.leave_out_first()

    def _refused(
        self, error: BodyRefusedError, body: Sequence[tuple[OutgoingFolder, OutgoingLog, Built]]
    ) -> None:
        if error.max_bytes:
            self._pace.limit_body(error.max_bytes - 4)
        if len(body) > 1:
            self._one_by_one = True
            return
        self._one_by_one = False
        log = body[0][1]
        if error.status == 413:
            self._make_smaller(log)
        else:
            log.stop(str(error))
