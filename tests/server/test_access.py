"""Nobody gets anything without a session, and no other site's page gets in with one."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.routing import Route

from epochal.access.policy import Policy
from epochal.server.app import create_app
from epochal.server.routes.login import safe_next
from epochal.server.routes.table import ENDPOINTS, Endpoint

if TYPE_CHECKING:
    from tests.server.conftest import LiveServer

OPEN_TO_ANYONE = {"/healthz", "/login", "/assets/{name:path}"}


def concrete(path: str) -> str:
    """Return an address that a route's path matches."""
    return re.sub(r"\{[^}]+\}", "some-name", path)


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def test_only_the_listed_routes_are_open_to_anyone() -> None:
    assert {e.path for e in ENDPOINTS if e.policy is Policy.ANYONE} == OPEN_TO_ANYONE


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.policy is not Policy.ANYONE], ids=named)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_every_other_route_refuses_whoever_is_not_signed_in(
    live_server: LiveServer, endpoint: Endpoint, accept: str
) -> None:
    attempts: list[dict[str, str]] = [
        {},
        {"authorization": "Bearer not-a-token"},
        {"authorization": "Basic YXBpOmtleQ=="},
        {"cookie": "epochal_session=1; epochal_session_00000000=9999999999.x.y"},
    ]
    for extra in attempts:
        answer = httpx.request(
            endpoint.method,
            live_server.url + concrete(endpoint.path),
            headers={"accept": accept, **extra},
            json={} if endpoint.method == "POST" else None,
        )
        assert answer.status_code == 401
        assert "digits" not in answer.text


def test_every_route_of_the_application_is_in_the_table() -> None:
    app = create_app(_AnyServices())  # type: ignore[arg-type]

    assert [route.path for route in app.routes if isinstance(route, Route)] == [e.path for e in ENDPOINTS]
    assert all(isinstance(route, Route) for route in app.routes)


def test_a_route_without_a_policy_does_not_start() -> None:
    async def handler(_: object) -> None: ...

    undeclared = Endpoint("GET", "/new", handler, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no access policy"):
        create_app(_AnyServices(), [undeclared])  # type: ignore[arg-type]


class _AnyServices:
    addresses = None


def test_a_person_who_is_not_signed_in_is_told_how_to(live_server: LiveServer) -> None:
    page = httpx.get(live_server.url + "/local/digits", headers={"accept": "text/html"})

    assert page.status_code == 401
    assert "epochal link" in page.text


def test_a_link_signs_one_browser_in_and_no_second_one(
    live_server: LiveServer, start_server: Callable[..., LiveServer]
) -> None:
    link = start_server().link
    with httpx.Client() as first, httpx.Client() as second:
        assert first.get(link).status_code == 303
        cookie = first.cookies.jar.__iter__().__next__()
        assert second.get(link).status_code == 401
        # Loading the link again in the browser that used it is no mistake.
        assert first.get(link).status_code == 303

    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "lax"
    assert cookie.path == "/"


def test_looking_at_a_link_without_opening_it_does_not_use_it_up(
    start_server: Callable[..., LiveServer],
) -> None:
    link = start_server().link

    assert httpx.head(link).status_code == 204
    assert httpx.get(link, headers={"sec-purpose": "prefetch"}).status_code == 204
    assert httpx.get(link).status_code == 303


def test_a_session_survives_a_restart_of_the_server(start_server: Callable[..., LiveServer]) -> None:
    first = start_server()
    with first.client() as client:
        cookies = dict(client.cookies)
    first.stop()
    second = start_server()

    headers = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    assert httpx.get(second.url + "/api/console", headers=headers).status_code == 400
    assert httpx.get(second.url + "/api/console").status_code == 401


def test_a_token_in_a_header_gives_a_tool_a_session(start_server: Callable[..., LiveServer]) -> None:
    server = start_server()
    token = server.link.partition("token=")[2]
    with httpx.Client(base_url=server.url) as tool:
        answer = tool.get("/api/console", headers={"authorization": f"Bearer {token}"})
        session = next(iter(answer.cookies.values()))
        assert answer.status_code == 400
        tool.cookies.clear()
        again = tool.get("/api/console", headers={"authorization": f"Bearer {token}"})
        by_session = tool.get("/api/console", headers={"authorization": f"Bearer {session}"})

    assert (again.status_code, by_session.status_code) == (401, 400)


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        "evil.example",
        "",
        " /x",
    ],
)
def test_signing_in_leads_nowhere_but_to_this_server(target: str) -> None:
    assert safe_next(target) == "/"


@pytest.mark.parametrize("target", ["/", "/local/digits?x=time#runs", "/local/a b/runs/1"])
def test_signing_in_goes_on_to_the_page_that_was_asked_for(target: str) -> None:
    assert safe_next(target) == target


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8585", "127.0.0.1.evil.example", "", "10.0.0.7"]
)
def test_a_foreign_host_header_gets_nothing_even_with_a_session(client: httpx.Client, host: str) -> None:
    for path in ("/", "/healthz", "/api/live", "/login?token=x"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "host_not_allowed"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    ],
)
def test_a_foreign_page_gets_nothing_with_its_visitors_session(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    for answer in (
        client.post("/graphql", json={"query": "{ viewer { username } }"}, headers=headers),
        client.get("/api/live", headers=headers),
        client.get("/api/console", headers=headers),
    ):
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "origin_not_allowed"
        assert "access-control-allow-origin" not in answer.headers


def test_the_servers_own_page_may_ask(client: httpx.Client) -> None:
    own = {"origin": str(client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}

    assert client.post("/graphql", json={"query": "{ viewer { username } }"}, headers=own).status_code == 200


def test_a_form_cannot_post_to_graphql(client: httpx.Client) -> None:
    """A page elsewhere can send these three types without asking first."""
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = client.post("/graphql", content="{}", headers={"content-type": media_type})
        assert answer.status_code == 415


def test_an_allowed_host_is_let_in(start_server: Callable[..., LiveServer]) -> None:
    server = start_server("--allow-host", "tracker.lab")

    assert httpx.get(server.url + "/healthz", headers={"host": "tracker.lab"}).status_code == 200


def test_every_answer_carries_the_headers_that_protect_a_page(live_server: LiveServer) -> None:
    for path in ("/", "/healthz", "/api/series", "/no/such", "/login"):
        headers = httpx.get(live_server.url + path, headers={"accept": "text/html"}).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_a_server_listens_on_this_machine_only(live_server: LiveServer) -> None:
    port = int(live_server.url.rpartition(":")[2])
    with socket.socket() as other:
        other.settimeout(5)
        # Every 127.x address is this machine, but only 127.0.0.1 was bound.
        with pytest.raises(OSError, match=r"refused|timed out"):
            other.connect(("127.0.0.2", port))


def test_the_sign_in_token_is_in_no_list_of_processes(live_server: LiveServer) -> None:
    token = live_server.link.partition("token=")[2]
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout

    assert sys.executable.rpartition("/")[2] in listed
    assert token not in listed
