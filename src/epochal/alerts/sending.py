"""Sends messages by a process of its own that is ended when it takes too long."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

import msgspec

from epochal.alerts.send import Answer, Message, Task

SEND_TIMEOUT_S = 30.0
NOT_ALLOWED = (
    "Its address is private or of this machine; the server's setting --alert-allow-network can allow it."
)


class Sent(NamedTuple):
    """What became of messages."""

    sent: list[bool]
    error: str | None  # in words that give nothing of the address away; None if all were sent


def send_messages(
    url: str, messages: Sequence[Message], allowed: Sequence[str], *, timeout_s: float = SEND_TIMEOUT_S
) -> Sent:
    """Send messages to a channel; without any, only check that its address means something.

    Args:
        url: apprise's, checked by `check_url`.
        messages: in order.
        allowed: networks that may be reached beside the public ones.
        timeout_s: for all of them together.
    """
    if find_spec("apprise") is None:
        return Sent([False] * len(messages), "The package apprise is not installed on the server.")
    answer = _ask(Task(url, list(messages), list(allowed)), timeout_s)
    if isinstance(answer, str):
        return Sent([False] * len(messages), answer)
    sent = answer.sent or [False] * len(messages)
    if answer.is_valid and all(sent):
        return Sent(sent, None)
    if answer.is_refused:
        return Sent(sent, NOT_ALLOWED)
    if answer.is_blocked:
        return Sent(sent, "It asks for something that a channel may not do, such as reading a file.")
    if not answer.is_valid:
        return Sent(sent, "The address is not one that its service understands.")
    return Sent(sent, "The service did not take it, or could not be reached.")


def _ask(task: Task, timeout_s: float) -> Answer | str:
    """Return the sender's answer, or what went wrong."""
    # Nothing of the server's own: no proxies, no ~/.netrc, no keys of clouds.
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "SSL_CERT_FILE") if name in os.environ}
    command = [sys.executable, "-P", "-B", "-W", "ignore", "-m", "epochal.alerts.send"]
    try:
        done = subprocess.run(
            command,
            input=msgspec.json.encode(task),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept | {"HOME": "/nonexistent", "LANG": "C.UTF-8"},
            cwd="/",
            timeout=timeout_s,
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=Answer)
    except subprocess.TimeoutExpired:
        return f"It took longer than {timeout_s:.0f} seconds."
    except (OSError, msgspec.MsgspecError):
        return "The process that sends ended before it was done."
