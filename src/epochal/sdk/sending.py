"""What a script's own process does about sending: it waits a little at a run's end, and says what is left.

The sending itself is the sidecar's.  Whatever the server does, the wait is bounded: by the time without any
progress, and in all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from epochal.sdk import sidecar_process
from epochal.sdk.process import process
from epochal.sdk.terminal import terminal

if TYPE_CHECKING:
    from epochal.sdk.run import Run

_POLL_S = 0.02
_MAX_POLL_S = 0.1
# A server that one run waited for in vain is not waited for by the next hundred: of them, one a minute looks.
_LOOK_AGAIN_AFTER_S = 60.0
_LOOK_S = 1.0


class Sent(NamedTuple):
    """How the wait for the server ended."""

    is_all: bool
    text: str  # for the user, if something is left; else empty


def wait(run: Run, began: float) -> tuple[Sent, KeyboardInterrupt | None]:
    """Wait until the server has all of `run`, whose sidecar was told that it is over.

    Args:
        run: of this process, with a destination.
        began: when finish() began, by the monotonic clock.

    Returns:
        How that ended, and the Ctrl-C that ended it, if one did.
    """
    interrupt = None
    said: Mapping[str, Any] | None = None
    patience_s = _patience_s(run)
    try:
        said = _wait(run, began, patience_s)
    except KeyboardInterrupt as error:
        interrupt = error
        said = sidecar_process.upload_of(run._session.folder)
    if said is not None and said.get("entity"):
        run._destination = run._destination and run._destination._replace(entity=str(said["entity"]))
    sidecar_process.forget_upload(run._session.folder)
    if said is not None and said.get("done") and not said.get("why"):
        _remember(run, is_in_vain=False)
        return Sent(True, ""), interrupt
    if patience_s > 0.0 and interrupt is None:
        _remember(run, is_in_vain=True)
    return Sent(False, _what_is_left(run, said)), interrupt


def _patience_s(run: Run) -> float:
    """Return how long `run` waits for a server that takes nothing."""
    assert run._destination is not None
    in_vain_at = process.waited_in_vain.get(run._destination.base_url)
    if in_vain_at is None:
        return run._settings.finish_timeout
    is_time = time.monotonic() - in_vain_at > _LOOK_AGAIN_AFTER_S
    return min(_LOOK_S, run._settings.finish_timeout) if is_time else 0.0


def _remember(run: Run, *, is_in_vain: bool) -> None:
    assert run._destination is not None
    if is_in_vain:
        process.waited_in_vain[run._destination.base_url] = time.monotonic()
    else:
        process.waited_in_vain.pop(run._destination.base_url, None)


def _wait(run: Run, began: float, patience_s: float) -> Mapping[str, Any] | None:
    settings, folder = run._settings, run._session.folder
    end = began + settings.finish_total_timeout
    progress_at, n_sent, poll_s = time.monotonic(), -1, _POLL_S
    said = sidecar_process.upload_of(folder)
    is_restarted = False
    while (now := time.monotonic()) < min(end, progress_at + patience_s):
        said = sidecar_process.upload_of(folder) or said
        if said is not None and (said.get("done") or said.get("final")):
            return said
        if not sidecar_process.is_there():
            # Killed in the meantime; another one goes on from where the server is.  Twice is no accident.
            if is_restarted:
                return said
            is_restarted = True
            _hand_over_again(run)
        if said is not None and said["sent"] > n_sent:
            n_sent, progress_at = said["sent"], now
        time.sleep(poll_s)
        poll_s = min(_MAX_POLL_S, poll_s * 1.2)
    return said


def _hand_over_again(run: Run) -> None:
    from epochal.sdk.ending import sidecar_settings

    sidecar_process.attach(run._session.folder, sidecar_settings(run))
    sidecar_process.detach(run._session.folder)


def _what_is_left(run: Run, said: Mapping[str, Any] | None) -> str:
    assert run._destination is not None
    server, folder = run._destination.base_url, run._session.folder
    why = f" ({said['why']})" if said and said.get("why") else ""
    how_much = (
        f"{_size(said['left'])} of the run {run.name}" if said and said.get("left") else f"The run {run.name}"
    )
    verb = "are" if said and said.get("left") else "is"
    hint = "" if said and said.get("final") else " The sidecar goes on trying for a while."
    rest = f" not {'all ' if verb == 'is' else ''}on {server} yet{why}.{hint}"
    return f"{how_much} {verb}{rest} Nothing is lost; what is missing is sent by: epochal sync {folder}"


def say_trouble(folder: str, server: str, said: Mapping[str, Any]) -> None:
    """Say once, while the run in `folder` lives, that its server does not take it for now, or at all."""
    if said.get("final"):
        text = (
            f"{server} does not take this run: {said['why']}. The run goes on, kept in {folder}.\n"
            f"When that is mended: epochal sync {folder}"
        )
    else:
        text = (
            f"{server} does not take rows now: {said['why']}. The run goes on, kept in {folder},\n"
            "and is sent when the server is back."
        )
    terminal.warn_once(("upload", folder), text)


def _size(n_bytes: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"
