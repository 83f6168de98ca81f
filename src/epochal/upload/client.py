"""Speaks docs/formats/ingest.md with one server, over one kept connection.

Every answer becomes one of four things: what was asked for, "the key is not good", "this body is wrong", or
"not now".  What to do about each is the sender's.  Nothing is retried here, and no redirect is followed: a
key goes to the address that it was given for and to no other.
"""

from __future__ import annotations

import io
import os
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import msgspec
import urllib3

from epochal._version import __version__
from epochal.errors import AuthenticationError, CommError

CONTENT_TYPE = "application/vnd.epochal.blocks"
CONNECT_TIMEOUT_S = 10.0
# An overloaded server acknowledges late on purpose.
READ_TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 4 << 20
# A config has at most 64 MiB, and a summary of a million keys about as much.
MAX_RESUMABLE_BYTES = 256 << 20
# Longer than any sensible wait; a server that asks for more is asked again earlier.
MAX_RETRY_AFTER_S = 600.0
_MAX_SAID_CHARACTERS = 200

T = TypeVar("T")


class KeyRefusedError(AuthenticationError):
    """The key is not good (401), or may not write (403)."""


class BodyRefusedError(CommError):
    """The body as a whole is wrong; `max_bytes` if it is too large."""

    def __init__(self, why: str, status: int, max_bytes: int | None) -> None:
        super().__init__(why)
        self.status, self.max_bytes = status, max_bytes


class NotNowError(CommError):
    """The server was not reached, or cannot take anything now; `retry_after_s` if it said for how long."""

    def __init__(self, why: str, retry_after_s: float | None = None, *, is_timeout: bool = False) -> None:
        super().__init__(why)
        self.retry_after_s, self.is_timeout = retry_after_s, is_timeout


class Limits(msgspec.Struct, frozen=True):
    """What a body may be."""

    max_body_bytes: int = 8 << 20
    max_block_bytes: int = 8 << 20


class Viewer(msgspec.Struct, frozen=True):
    """Whose the key is."""

    username: str
    entity: str
    server: dict[str, Any] = {}
    limits: Limits = Limits()


class Refusal(msgspec.Struct, frozen=True):
    """Why a block cannot be stored as it is."""

    code: str = ""
    message: str = ""
    hint: str = ""


class Stored(msgspec.Struct, frozen=True):
    """How far the server has one writer."""

    project: str
    run: str
    writer: str
    offset: int
    entity: str = ""
    error: Refusal | None = None


class _Answer(msgspec.Struct, frozen=True):
    writers: list[Stored]


class Offsets(msgspec.Struct, frozen=True):
    """What the server has of a run."""

    writers: dict[str, int]
    ended: bool = False


class Resumable(msgspec.Struct, frozen=True):
    """A run as its sessions left it, as far as the server has them; see docs/formats/ingest.md."""

    next_step: int
    state: str = ""
    config: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    summary: dict[str, dict[str, Any]] = {}
    writers: dict[str, int] = {}


class Quota(msgspec.Struct, frozen=True):
    """What is left of the server's limit, as its last answer said."""

    remaining: float  # 0 to 1000 of the window
    reset_s: float


class Client:
    """One server, asked with one key.  Not thread-safe.

    Args:
        base_url: of the server, in its normal spelling.
        api_key: for it.
        environ: proxies and certificates are taken from here.
        connect_timeout_s, read_timeout_s: after so long without a sign of life it counts as not reached.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        environ: Mapping[str, str] = os.environ,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self.base_url = base_url
        self.quota: Quota | None = None
        key = api_key.strip()  # A file or a variable that a key came from may end with a newline.
        self._is_key = bool(key) and key.isascii() and key.isprintable() and " " not in key
        self._headers = {
            "Authorization": f"Bearer {key}",
            "User-Agent": f"epochal/{__version__}",
            "Accept": "application/json",
        }
        self._timeout = urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s)
        self._pool = _pool(base_url, environ)

    def viewer(self) -> Viewer:
        """Return whose key this is; raises as `send`."""
        return self._get("/api/viewer", {}, Viewer)

    def offsets(self, entity: str | None, project: str, run: str) -> Offsets:
        """Return what the server has of a run; raises as `send`."""
        fields = {"project": project, "run": run} | ({"entity": entity} if entity else {})
        return self._get("/api/offsets", fields, Offsets)

    def resumable(self, entity: str | None, project: str, run: str) -> Resumable | None:
        """Return what a session that goes on with a run has to know, None if the server knows no such run.

        Raises as `send`.
        """
        fields = {"project": project, "run": run} | ({"entity": entity} if entity else {})
        data = self._read("GET", "/api/resume", MAX_RESUMABLE_BYTES, headers=self._headers, fields=fields)
        return cast("Resumable | None", _decoded(msgspec.msgpack.decode, data, Resumable | None))

    def send(self, blocks: Sequence[bytes]) -> list[Stored]:
        """Send encoded blocks and return how far the server has each of their writers.

        Raises:
            KeyRefusedError: the key is not good, or may not write.
            BodyRefusedError: the server will never take these blocks in one body.
            NotNowError: nothing is known of what became of them; sending them again is harmless.
        """
        n_bytes = sum(4 + len(block) for block in blocks)
        headers = {**self._headers, "Content-Type": CONTENT_TYPE, "Content-Length": str(n_bytes)}
        # As a file: the timeout then holds for each piece and not for all of it, and nothing is copied twice.
        body = _Pieces(piece for block in blocks for piece in (len(block).to_bytes(4, "little"), block))
        return self._ask("POST", "/api/blocks", _Answer, headers=headers, body=body).writers

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def _get(self, path: str, fields: dict[str, str], kind: type[T]) -> T:
        return self._ask("GET", path, kind, headers=self._headers, fields=fields)

    def _ask(self, method: str, path: str, kind: type[T], **request: Any) -> T:  # noqa: ANN401
        data = self._read(method, path, MAX_ANSWER_BYTES, **request)
        return cast("T", _decoded(msgspec.json.decode, data, kind))

    def _read(self, method: str, path: str, max_bytes: int, **request: Any) -> bytes:  # noqa: ANN401
        """Return the body of an answer with status 200."""
        if not self._is_key:
            raise KeyRefusedError("the key is none: a key is one word")
        try:
            response = self._pool.request(
                method,
                self.base_url + path,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                **request,
            )
            # As it comes: nothing was said of taking it compressed, and a small bomb could be in it.
            data = response.read(max_bytes, decode_content=False)
            if response.read(1, decode_content=False):
                response.close()
                raise NotNowError("what answers there is no Epochal server")
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise NotNowError(_plainly(error), is_timeout=_is_timeout(error)) from error
        except OSError as error:  # urllib3 lets some through while a body is being sent.
            raise NotNowError(
                error.strerror or str(error), is_timeout=isinstance(error, TimeoutError)
            ) from error
        self.quota = _quota(response.headers)
        if response.status == 200:
            return data
        raise _refusal(response.status, response.headers, data)


def _decoded(decode: Callable[..., Any], data: bytes, kind: Any) -> Any:  # noqa: ANN401
    try:
        return decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotNowError("what answers there is no Epochal server") from error


class _Pieces(io.RawIOBase):
    """Pieces of bytes, read as one file."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Return about `size` bytes; nothing at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = len(self._rest) if size < 0 else size
        part, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return part


def _refusal(status: int, headers: Mapping[str, str], data: bytes) -> CommError:
    said = _said(data)
    message = str(said.get("message") or "")[:_MAX_SAID_CHARACTERS]
    why = f"it answers {status}" + (f": {message}" if message else "")
    # The key is good, and these blocks go where it may not: others of the same sender may be fine.
    is_elsewhere = said.get("code") == "entity_not_allowed"
    if status in (401, 403) and not is_elsewhere:
        return KeyRefusedError(why)
    if (status in (400, 413, 415) and said) or is_elsewhere:
        max_bytes = said.get("max_bytes")
        return BodyRefusedError(why, status, max_bytes if isinstance(max_bytes, int) else None)
    retry_after_s = _number(headers.get("Retry-After"), MAX_RETRY_AFTER_S)
    # 408: the body was too long in coming, which a smaller one is not.
    return NotNowError(why, retry_after_s, is_timeout=status == 408)


def _said(data: bytes) -> dict[str, Any]:
    """Return the error in an answer; nothing if it is no answer of ours, such as a proxy's page."""
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    inner = found.get("error", found)
    return inner if isinstance(inner, dict) and "code" in inner else {}


def _quota(headers: Mapping[str, str]) -> Quota | None:
    remaining = _number(headers.get("RateLimit-Remaining"), 1000.0)
    reset_s = _number(headers.get("RateLimit-Reset"), MAX_RETRY_AFTER_S)
    return None if remaining is None or reset_s is None else Quota(remaining, reset_s)


def _number(text: str | None, most: float) -> float | None:
    """Return a number of a header from 0 to `most`; a date, which is allowed too, counts as not given."""
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return None if number is None or number != number else min(most, max(0.0, number))


def _pool(base_url: str, environ: Mapping[str, str]) -> urllib3.PoolManager:
    options: dict[str, Any] = {"maxsize": 1}
    if base_url.startswith("https:"):
        options["ssl_context"] = _certificates(environ)
    proxy = _proxy(base_url, environ)
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(1, **options)


def _certificates(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return the authorities to trust: the system's, or those of the bundle that other tools use here."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if bundle := environ.get(name):
            is_folder = Path(bundle).is_dir()
            return ssl.create_default_context(
                cafile=None if is_folder else bundle, capath=bundle if is_folder else None
            )
    return ssl.create_default_context()


def _proxy(base_url: str, environ: Mapping[str, str]) -> str | None:
    if not any(name.lower().endswith("_proxy") for name in environ):
        return None
    import urllib.request  # slow to import, and needed behind a proxy only

    parts = urlsplit(base_url)
    proxies = {n.lower()[:-6]: v for n, v in environ.items() if n.lower().endswith("_proxy") and v}
    if urllib.request.proxy_bypass(parts.netloc, proxies):
        return None
    found = proxies.get(parts.scheme) or proxies.get("all")
    return found if not found or "://" in found else f"http://{found}"


def _is_timeout(error: Exception) -> bool:
    # A refused connection is, by its base class, a timeout in urllib3.
    is_new = isinstance(error, urllib3.exceptions.NewConnectionError)
    return isinstance(error, urllib3.exceptions.TimeoutError) and not is_new


def _plainly(error: Exception) -> str:
    """Return the reason without the names of objects that libraries put around it."""
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its name is not known"
    if _is_timeout(error):
        is_connecting = isinstance(error, urllib3.exceptions.ConnectTimeoutError)
        return "it does not answer" if is_connecting else "it takes connections and does not answer"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate cannot be trusted: {cause.verify_message}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror[0].lower() + cause.strerror[1:]
        reason = getattr(cause, "reason", None)
        cause = (
            cause.__cause__ or cause.__context__ or (reason if isinstance(reason, BaseException) else None)
        )
    return "the connection broke"
