"""`login`, `setup`, `teardown`, `require`: nothing here ever asks a question, and nothing waits for a network
unless it is told to."""

from __future__ import annotations

import os
from collections.abc import Mapping

from epochal.base.home import home
from epochal.sdk.process import process
from epochal.sdk.settings import Settings
from epochal.sdk.terminal import terminal

KEY_PREFIX = "epochal-"
VERIFY_TIMEOUT_S = 10.0
_NO_SERVER = "Runs are kept on this machine, and `epochal ui` shows them: no login is needed."


def login(
    key: str | None = None,
    relogin: bool | None = None,
    host: str | None = None,
    force: bool | None = None,
    timeout: float | None = None,
    verify: bool = False,
    **unknown: object,
) -> bool:
    """Choose the server, and the key for it, that later runs of this process are sent to.

    Nothing is written to the disk; `epochal login` on the command line keeps a key for good.  Returns False
    if runs are to be sent to a server and there is no key for it; True without a server, which needs none.

    Args:
        key: for the server; one that is not Epochal's (of a W&B script, say) is not used, so that it reaches
            no server that it is not for.
        host: address of the server; the one of the settings if None.
        timeout: seconds that `verify` waits for the server; 10 if None.
        verify: ask the server whether the key is good.
        relogin, force: accepted.

    Raises:
        UsageError: `host` is no address.
        AuthenticationError: with `verify`, the server does not accept the key.
        CommError: with `verify`, the server cannot be reached.
    """
    del relogin, force, unknown
    from epochal.base.servers import known_servers, normal_address
    from epochal.sdk.init import merged_settings

    if process.current is not None:
        terminal.warn_once("late login", "login() after init() changes nothing for the run that is live.")
    if key is not None and not key.startswith(KEY_PREFIX):
        terminal.info_once("foreign key", "login(): the key is not one of Epochal's, and is not used.")
        key = None
    process.settings.update({"api_key": key, "base_url": None if host is None else normal_address(host)})
    settings = merged_settings(None, {})
    if not settings.base_url:
        terminal.info_once("login", _NO_SERVER)
        return True
    address = normal_address(settings.base_url)
    known = known_servers(home(os.environ)).get(address)
    found = settings.api_key or (None if known is None else known.key)
    if not found:
        terminal.warn_once(
            ("no key", address),
            f"There is no key for {address}: runs are kept on this machine.\n"
            f"epochal login {address}   or the variable EPOCHAL_API_KEY; then: epochal sync",
        )
        return False
    if verify:
        _verify(address, found, VERIFY_TIMEOUT_S if timeout is None else timeout)
    return True


def _verify(address: str, key: str, timeout_s: float) -> None:
    from epochal.upload.client import Client

    client = Client(address, key, connect_timeout_s=timeout_s, read_timeout_s=timeout_s)
    try:
        terminal.info(f"Logged in to {address} as {client.viewer().username}.")
    finally:
        client.close()


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
