"""Every answer becomes what was asked for, "the key is not good", "this body is wrong", or "not now"."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from epochal.upload.client import BodyRefusedError, Client, KeyRefusedError, NotNowError


@pytest.fixture
def client(peer: Any) -> Client:
    return Client(peer.url, "epochal-aaaa", environ={}, connect_timeout_s=1.0, read_timeout_s=0.5)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_the_viewer_is_whose_key_it_is(client: Client) -> None:
    assert client.viewer().username == "ada"


def test_a_wrong_key_is_refused(peer: Any) -> None:
    with pytest.raises(KeyRefusedError, match="401"):
        Client(peer.url, "wrong", environ={}).viewer()


@pytest.mark.parametrize(
    "fault", ["500", "502", "503", "429", "408", "507", "reset", "truncated", "html", "302"]
)
def test_everything_else_means_not_now(peer: Any, client: Client, fault: str) -> None:
    peer.fault = lambda path: fault

    with pytest.raises(NotNowError):
        client.send([])
    peer.fault = lambda path: None
    assert client.send([]) == []


def test_a_body_that_is_too_large_is_refused_with_the_bound(peer: Any, client: Client) -> None:
    peer.max_body_bytes = 10

    with pytest.raises(BodyRefusedError) as refused:
        client.send([b"x" * 100])

    assert (refused.value.status, refused.value.max_bytes) == (413, 10)


def test_a_server_that_never_answers_is_given_up(black_hole: str) -> None:
    client = Client(black_hole, "epochal-aaaa", environ={}, read_timeout_s=0.2)

    with pytest.raises(NotNowError, match="does not answer") as gone:
        client.viewer()

    assert gone.value.is_timeout


def test_a_server_that_is_not_there_is_said_in_plain_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NotNowError, match=r"^connection refused$"):
        Client(f"http://127.0.0.1:{port}", "epochal-aaaa", environ={}).viewer()


def test_a_redirect_takes_the_key_nowhere(start_peer: Callable[..., Any]) -> None:
    there, here = start_peer(), start_peer()
    here.fault = lambda path: "302"
    here.headers = {"Location": there.url}

    with pytest.raises(NotNowError):
        Client(here.url, "epochal-aaaa", environ={}).viewer()

    assert there.requests == []


def test_an_answer_without_end_is_not_read_to_its_end(peer: Any, client: Client) -> None:
    peer.fault = lambda path: "endless"

    with pytest.raises(NotNowError, match="no Epochal server"):
        client.viewer()

    peer.fault = lambda path: None
    assert client.viewer().username == "ada"


def test_the_connection_is_kept(peer: Any, client: Client) -> None:
    for _ in range(5):
        client.send([])

    assert len(peer._held) == 1


def test_a_proxy_of_the_environment_is_used_but_not_for_what_it_excludes(peer: Any) -> None:
    through = Client("http://epochal.test", "epochal-aaaa", environ={"http_proxy": peer.url})
    assert through.viewer().username == "ada"

    beside = Client(
        peer.url, "epochal-aaaa", environ={"http_proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1"}
    )
    assert beside.viewer().username == "ada"


def test_a_certificate_of_nobody_is_not_trusted_until_the_user_names_it(
    tls_peer: Any, certificate: tuple[Path, Path]
) -> None:
    url = f"https://localhost:{tls_peer.port}"
    with pytest.raises(NotNowError, match="certificate cannot be trusted"):
        Client(url, "epochal-aaaa", environ={}).viewer()

    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        trusting = Client(url, "epochal-aaaa", environ={name: str(certificate[0])})
        assert trusting.viewer().username == "ada"
        trusting.close()


def test_a_certificate_for_another_name_is_not_trusted(tls_peer: Any, certificate: tuple[Path, Path]) -> None:
    environ = {"SSL_CERT_FILE": str(certificate[0])}
    with pytest.raises(NotNowError, match="certificate cannot be trusted"):
        Client(f"https://127.0.0.1:{tls_peer.port}", "epochal-aaaa", environ=environ).viewer()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for `localhost` that nobody signed, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout k.pem -out c.pem"
    command += " -addext subjectAltName=DNS:localhost"
    if shutil.which("openssl") is None:
        pytest.skip("not run: needs the program openssl")
    subprocess.run(command.split(), cwd=folder, capture_output=True, check=True)
    return folder / "c.pem", folder / "k.pem"


@pytest.fixture
def tls_peer(start_peer: Callable[..., Any], certificate: tuple[Path, Path]) -> Any:
    """The server, behind TLS with that certificate."""
    return start_peer(certificate=certificate)
