"""Which server a command talks to, and with which key: as runs choose it, so that both mean the same one."""

from __future__ import annotations

import os
from typing import NamedTuple

from epochal.base.home import home
from epochal.errors import UsageError


class Choice(NamedTuple):
    """A server, and the key for it if there is one."""

    address: str | None
    key: str | None
    mode: str


def choose(address: str | None = None) -> Choice:
    """Return the server at `address`, or the one that the settings name.

    Raises:
        UsageError: `address` is no address.
    """
    from epochal.base.servers import known_servers, normal_address
    from epochal.sdk.environment_variables import settings_from_environment, settings_from_file

    folder = home(os.environ)
    settings = settings_from_file(folder / "settings")
    settings.update(settings_from_environment(os.environ).given())
    named = address or settings.base_url
    if not named:
        return Choice(None, None, settings.mode)
    normal = normal_address(named)
    known = known_servers(folder).get(normal)
    # A key in a variable is for the server that the settings name, and for no other that is typed here.
    is_theirs = settings.base_url is None or normal_address(settings.base_url) == normal
    given = settings.api_key if is_theirs else None
    return Choice(normal, given or (None if known is None else known.key), settings.mode)


def choose_for_certain(address: str | None) -> tuple[str, str]:
    """Return address and key of the server.

    Raises:
        UsageError: no server is named, or there is no key for it.
    """
    choice = choose(address)
    if choice.address is None:
        raise UsageError(
            "No server is named. Log in to one with `epochal login HOST`, or set EPOCHAL_BASE_URL and "
            "EPOCHAL_API_KEY."
        )
    if not choice.key:
        raise UsageError(
            f"There is no key for {choice.address}. Keep one with `epochal login {choice.address}`, or set "
            "EPOCHAL_API_KEY."
        )
    return choice.address, choice.key
