"""Where a run is sent: the server that the settings name, with the key that belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from epochal.base.servers import known_servers, normal_address
from epochal.errors import UsageError
from epochal.sdk.settings import Settings
from epochal.sdk.terminal import terminal


class Destination(NamedTuple):
    """A server that takes runs."""

    base_url: str
    api_key: str
    entity: str  # where it puts runs that name none, as far as known; else empty
    max_bytes_per_s: float

    def __repr__(self) -> str:
        return f"Destination({self.base_url!r})"  # The key is a secret.


def destination_of(settings: Settings, home: Path) -> Destination | None:
    """Return where runs with these settings go; None if they stay on this machine.

    Asks no network.  An address without a key, or one that is none, is said once, and the run stays.
    """
    if not settings.base_url or settings.mode not in ("online", "shared"):
        return None
    try:
        address = normal_address(settings.base_url)
    except UsageError as error:
        terminal.warn_once(("base_url", settings.base_url), f"{error}; the run is kept on this machine.")
        return None
    known = known_servers(home).get(address)
    key = settings.api_key or (known.key if known is not None else None)
    if not key:
        terminal.warn_once(
            ("no key", address),
            f"There is no key for {address}: the run is kept on this machine.\n"
            f"epochal login {address}   or the variable EPOCHAL_API_KEY; then: epochal sync",
        )
        return None
    # What the file says of the key's owner holds for the key in the file.
    entity = known.entity if known is not None and known.key == key else ""
    return Destination(address, key, entity, settings.x_upload_bytes_per_second)
