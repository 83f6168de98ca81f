"""What a server knows of a run that `init` is to go on with: asked once, and waited for within a bound."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from epochal.errors import EpochalError

if TYPE_CHECKING:
    from epochal.sdk.destination import Destination
    from epochal.upload.client import Resumable


class Answer(NamedTuple):
    """What came of it."""

    found: Resumable | None = None  # None: the server knows no such run, or did not say
    trouble: str = ""  # why it did not say; empty if it did, or was not asked


def ask(destination: Destination, entity: str | None, project: str, run_id: str, timeout_s: float) -> Answer:
    """Ask the server for a run and return its answer, after `timeout_s` seconds at the latest."""
    said: list[Answer] = []
    # In a thread: no timeout of a connection bounds a server that answers one byte a second.
    thread = threading.Thread(
        target=lambda: said.append(_answer(destination, entity, project, run_id, timeout_s)),
        name="resume",
        daemon=True,
    )
    thread.start()
    thread.join(timeout_s)
    return said[0] if said else Answer(trouble=f"it did not answer within {timeout_s:g} s")


def _answer(
    destination: Destination, entity: str | None, project: str, run_id: str, timeout_s: float
) -> Answer:
    from epochal.upload.client import Client

    client = Client(
        destination.base_url, destination.api_key, connect_timeout_s=timeout_s, read_timeout_s=timeout_s
    )
    try:
        return Answer(client.resumable(entity, project, run_id))
    except EpochalError as error:
        return Answer(trouble=str(error))
    except Exception as error:  # noqa: BLE001  a fault of ours costs the answer, not the training
        return Answer(trouble=f"{type(error).__name__}: {error}")
    finally:
        client.close()
