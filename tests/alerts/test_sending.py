"""Messages reach real receivers, and hostile addresses reach nothing."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from epochal.alerts.channels import check_url, hint_of
from epochal.alerts.send import Message
from epochal.alerts.sending import NOT_ALLOWED, send_messages
from epochal.errors import UsageError

if TYPE_CHECKING:
    from tests.alerts.conftest import Receiver

pytest.importorskip("apprise", reason="the package apprise sends")
HERE = ["127.0.0.0/8"]
MESSAGE = Message("WARN: loss", "it is NaN <b>&", "WARN")


def test_a_webhook_gets_every_message(receiver: Receiver) -> None:
    url = f"json://127.0.0.1:{receiver.port}/hook"
    done = send_messages(url, [MESSAGE, Message("two", "second", "INFO")], HERE)

    assert done == ([True, True], None)
    assert [(m["title"], m["message"], m["type"]) for m in receiver.messages] == [
        ("WARN: loss", "it is NaN <b>&", "warning"),
        ("two", "second", "info"),
    ]


def test_mail_is_sent(mail_server: Any) -> None:
    port = mail_server.server_address[1]
    url = (
        f"mailto://127.0.0.1:{port}?from=epochal@example.org&to=ada@example.org&smtp=127.0.0.1&mode=insecure"
    )
    done = send_messages(url, [MESSAGE], HERE)

    assert done == ([True], None)
    assert b"Subject: WARN: loss" in mail_server.mails[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"])
def test_this_machine_is_not_reached_unless_that_is_allowed(receiver: Receiver, host: str) -> None:
    done = send_messages(f"json://{host}:{receiver.port}/", [MESSAGE], [])

    assert done.sent == [False]
    assert done.error is not None
    assert receiver.got == []


def test_a_name_is_judged_by_the_address_that_is_connected_to(receiver: Receiver) -> None:
    done = send_messages(f"json://localhost:{receiver.port}/", [MESSAGE], [])

    assert done == ([False], NOT_ALLOWED)


def test_no_redirect_is_followed(receiver: Receiver) -> None:
    receiver.status, receiver.location = 307, f"http://127.0.0.1:{receiver.port}/inner"
    for more in ("", "?redirect=yes"):
        done = send_messages(f"json://127.0.0.1:{receiver.port}/outer{more}", [MESSAGE], HERE)
        assert done.sent == [False]

    assert {path for path, _ in receiver.got} == {"/outer"}


def test_no_file_of_this_machine_is_sent(receiver: Receiver, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"text": "the secret"}')
    url = f"workflows://127.0.0.1:{receiver.port}/workflow/signature/?template={secret}"
    done = send_messages(url, [MESSAGE], HERE)

    assert "reading a file" in str(done.error)
    assert all(b"the secret" not in body for _, body in receiver.got)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        held: list[socket.socket] = []
        thread = threading.Thread(target=lambda: held.append(silent.accept()[0]))
        thread.start()
        done = send_messages(
            f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=600", [MESSAGE], HERE, timeout_s=6.0
        )
        thread.join()
        held[0].close()

    assert done.sent == [False]
    assert "longer" in str(done.error)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "syslog://localhost",
        "dbus://",
        "gnome://",
        "macosx://",
        "windows://",
        "http://169.254.169.254/latest",
        "apprise://localhost/key",
        "mqtt://localhost/topic",
        "rsyslog://localhost",
        "discord",
        "discord://",
        "json://a, syslog://",
        "json://a/\n",
        "json://" + "a" * 3000,
    ],
)
def test_what_is_no_channel_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_url(url)

    assert url not in str(refused.value)


def test_nothing_of_an_address_is_shown_but_its_kind() -> None:
    assert hint_of("slack://T1JJ/secret/token") == "slack://…"
