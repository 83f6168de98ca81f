"""The process that sends: reads a task from standard input, answers on standard output, and ends.

A process of its own, since the library can then be confined (see `confine.py`), bounded in time and memory,
and never costs the server its 50 MB and half a second of loading.
"""

from __future__ import annotations

import os
import resource
import sys

import msgspec

from epochal.alerts.addresses import networks
from epochal.alerts.confine import confine

_MAX_MEMORY = 1 << 30  # bytes of address space: a reply without end ends here
_MAX_CPU_S = 20


class Message(msgspec.Struct, frozen=True):
    """What one person reads."""

    title: str
    body: str
    level: str  # INFO, WARN or ERROR


class Task(msgspec.Struct, frozen=True):
    """Messages for one channel; without any, the address is only checked."""

    url: str
    messages: list[Message]
    allowed: list[str]  # networks that may be reached beside the public ones


class Answer(msgspec.Struct, frozen=True):
    """What became of a task."""

    is_valid: bool  # the address means something to the library
    sent: list[bool]
    is_refused: bool = False  # an address was that may not be reached
    is_blocked: bool = False  # something else was tried that a sender may not do


def send(task: Task) -> Answer:
    """Confine this process for ever, and do what `task` says."""
    import apprise
    import requests

    # No redirect is followed, whatever a plugin asks for: the reply itself is then a failure.
    requests.Session.get_redirect_target = lambda *_: None
    for name in ("mimetypes", "smtplib", "email.mime.text", "encodings.idna", "zoneinfo"):
        __import__(name)
    folders = [os.path.dirname(os.path.dirname(apprise.__file__)), os.path.dirname(os.__file__)]  # noqa: PTH120
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_MAX_CPU_S, _MAX_CPU_S))
    refusals = confine(networks(task.allowed), folders)
    asset = apprise.AppriseAsset(async_mode=False, storage_path=None)
    channel = apprise.Apprise.instantiate(task.url, asset=asset, suppress_exceptions=True)
    if channel is None:
        return Answer(False, [], is_blocked=refusals.n_others > 0)
    sender = apprise.Apprise(asset=asset)
    sender.add(channel)
    kinds = {"INFO": "info", "WARN": "warning", "ERROR": "failure"}
    sent = [
        bool(sender.notify(body=m.body, title=m.title, notify_type=kinds[m.level], body_format="text"))
        for m in task.messages
    ]
    return Answer(True, sent, refusals.n_addresses > 0, refusals.n_others > 0)


def main() -> None:
    """Do one task."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    answer_to = os.fdopen(os.dup(1), "wb")
    # Plugins may print what they are told; nobody is to read it.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    answer = send(task)
    answer_to.write(msgspec.json.encode(answer))
    answer_to.flush()


if __name__ == "__main__":
    main()
