"""`login`, `setup`, `teardown`, `require`: nothing here ever asks a question or waits for a network."""

from __future__ import annotations

from collections.abc import Mapping

from epochal.sdk.process import process
from epochal.sdk.settings import Settings
from epochal.sdk.terminal import terminal

_NO_SERVER = (
    "This version of Epochal keeps runs on this machine; `epochal ui` shows them. "
    "Nothing is sent to a server, so no login is needed."
)


def login(
    key: str | None = None,
    relogin: bool | None = None,
    host: str | None = None,
    force: bool | None = None,
    timeout: float | None = None,
    verify: bool = False,
    **unknown: object,
) -> bool:
    """Return True: runs are kept on this machine, which needs no account.

    A key or a host given is kept for this process and said not to be used yet.
    """
    del relogin, force, timeout, verify, unknown
    if process.current is not None:
        terminal.warn_once("late login", "login() after init() changes nothing.")
    if key is not None or host is not None:
        process.settings.update({"api_key": key, "base_url": host})
        terminal.info_once("login", f"The key is not checked and not used. {_NO_SERVER}")
    else:
        terminal.info_once("login", _NO_SERVER)
    return True


def setup(settings: Settings | Mapping[str, object] | None = None) -> None:
    """Take settings for every later `init` of this process."""
    if settings is not None:
        process.settings.update(settings.given() if isinstance(settings, Settings) else dict(settings))


def teardown(exit_code: int | None = None) -> None:
    """Finish every live run of this process."""
    for run in reversed(process.live()):
        run.finish(exit_code)


def require(requirement: object = None, experiment: object = None) -> None:
    """Accept a feature switch of the stock client; nothing here is switched."""
    del requirement, experiment
