"""Who sends a request: found out from its key or its session, without ever blocking the event loop.

Every key is looked up anew, so that one that was revoked, by whatever process, is worthless at once.
Look-ups that come close together share one question to the database: a thousand sidecars that each send
once a second cost at most two hundred questions a second.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request

from epochal.access.api_keys import ApiKeys, digest_of, is_key
from epochal.store.metadata import ApiKeyRecord

_GATHER_S = 0.005

_log = logging.getLogger("epochal.server")


class KeyLookups:
    """Looks API keys up.  For one event loop.

    Args:
        api_keys: of the data folder.
    """

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="epochal-keys")
        self._waiting: dict[bytes, asyncio.Future[ApiKeyRecord | None]] = {}
        self._n_asked = 0  # since the last look-up was answered
        self._task: asyncio.Task[None] | None = None

    async def find(self, key: str) -> ApiKeyRecord | None:
        """Return the record of `key`; None if it is not known, or was revoked before this was called."""
        if not is_key(key):
            return None
        digest = digest_of(key)
        waiting = self._waiting.get(digest)
        if waiting is None:
            waiting = self._waiting[digest] = asyncio.get_running_loop().create_future()
        self._n_asked += 1
        if self._task is None:
            self._task = asyncio.create_task(self._look_up())
        # Shielded: several requests wait for one answer, and one of them may hang up.
        return await asyncio.shield(waiting)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _look_up(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                try:
                    found = await loop.run_in_executor(self._thread, self._api_keys.find, list(asked))
                except Exception as error:  # noqa: BLE001 - told to everybody who waits for it
                    _fail(asked, error)
                else:
                    self._answer(asked, found)
                n_asked, self._n_asked = self._n_asked, 0
                # Whoever comes alone does not wait for company.
                await asyncio.sleep(_GATHER_S if n_asked > 1 else 0)
        finally:
            self._task = None

    def _answer(
        self,
        asked: dict[bytes, asyncio.Future[ApiKeyRecord | None]],
        found: dict[bytes, ApiKeyRecord],
    ) -> None:
        for digest, waiting in asked.items():
            record = next((r for known, r in found.items() if hmac.compare_digest(known, digest)), None)
            if not waiting.done():
                waiting.set_result(record)
        if found:
            self._thread.submit(self._touch, list(found.values()))

    def _touch(self, records: list[ApiKeyRecord]) -> None:
        try:
            self._api_keys.touch(records)
        except Exception:  # noqa: BLE001 - a full disk; nothing depends on it
            _log.debug("when a key was used could not be written", exc_info=True)


def _fail(asked: dict[bytes, asyncio.Future[ApiKeyRecord | None]], error: Exception) -> None:
    for waiting in asked.values():
        if not waiting.done():
            waiting.set_exception(error)


def shown_secret(request: Request) -> str | None:
    """Return what the Authorization header shows: a bearer token, or the password of HTTP Basic."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
