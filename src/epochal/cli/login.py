"""`epochal login` and `epochal logout`: which server later runs are sent to, and the key for it."""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from epochal.base.home import home
from epochal.errors import AuthenticationError, CommError, UsageError

TIMEOUT_S = 15.0


def add_login(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `login`."""
    parser = commands.add_parser(
        "login",
        help="send later runs to a server",
        description="Asks a server whether a key is good, keeps the key in a file that only you can read, "
        "and sends later runs to that server. Keys are made on the server's machine with `epochal key new`.",
    )
    parser.add_argument(
        "host", nargs="?", metavar="HOST", help="Address of the server (default: the one that is set)"
    )
    parser.add_argument(
        "--key", metavar="KEY", help="The key; - reads it from the standard input (default: asks for it)"
    )
    parser.set_defaults(command=run_login)


def add_logout(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `logout`."""
    parser = commands.add_parser(
        "logout",
        help="forget a server's key, and keep later runs on this machine",
        description="Forgets a server's key. Later runs are kept on this machine if they were sent there.",
    )
    parser.add_argument(
        "host", nargs="?", metavar="HOST", help="Address of the server (default: the one that is set)"
    )
    parser.set_defaults(command=run_logout)


def run_login(parsed: argparse.Namespace) -> None:
    """Ask the server, and keep what it confirmed.

    Raises:
        UsageError: no server or no key is given.
        CommError: the server does not accept the key, or cannot be reached; nothing was kept.
    """
    from epochal.base.servers import KnownServer, is_readable_on_the_way, keep_server
    from epochal.base.settings_file import put
    from epochal.cli.server_choice import choose
    from epochal.upload.client import Client

    choice = choose(parsed.host)
    if choice.address is None:
        raise UsageError("Which server? epochal login https://HOST")
    key = _key(parsed.key, choice.address)
    client = Client(choice.address, key, connect_timeout_s=TIMEOUT_S, read_timeout_s=TIMEOUT_S)
    try:
        viewer = client.viewer()
    except AuthenticationError as error:
        raise AuthenticationError(f"{choice.address} does not accept this key: {error}") from error
    except CommError as error:
        raise CommError(f"{choice.address} cannot be asked: {error}. Nothing was kept.") from error
    finally:
        client.close()
    folder = home(os.environ)
    keep_server(folder, choice.address, KnownServer(key, viewer.username, viewer.entity))
    put(folder / "settings", "base_url", choice.address)
    print(f"Logged in to {choice.address} as {viewer.username}. Later runs are sent there.")
    if is_readable_on_the_way(choice.address):
        print("That address has no TLS: the key and your rows can be read by whoever is on the way.")
    _warn_of_variables(choice.address)


def run_logout(parsed: argparse.Namespace) -> None:
    """Forget the key, and the server if it is the one that runs are sent to.

    Raises:
        UsageError: no server is named.
    """
    from epochal.base.servers import keep_server
    from epochal.base.settings_file import put
    from epochal.cli.server_choice import choose
    from epochal.sdk.environment_variables import settings_from_file

    choice, folder = choose(parsed.host), home(os.environ)
    if choice.address is None:
        raise UsageError("Which server? epochal logout https://HOST")
    keep_server(folder, choice.address, None)
    if settings_from_file(folder / "settings").base_url == choice.address:
        put(folder / "settings", "base_url", None)
    print(f"Logged out of {choice.address}.")


def _key(given: str | None, address: str) -> str:
    if given == "-":
        given = sys.stdin.readline()
    elif given is None and _is_of_variables(address):
        given = os.environ["EPOCHAL_API_KEY"]
    elif given is None:
        if not sys.stdin.isatty():
            raise UsageError(
                f"No key is given for {address}: epochal login {address} --key KEY, or --key - to read it "
                "from the standard input, or the variable EPOCHAL_API_KEY."
            )
        given = getpass.getpass(f"Key for {address}: ")
    key = given.strip()
    if not key or not key.isprintable() or " " in key:
        raise UsageError("That is no key: a key is one word of letters, digits and signs.")
    return key


def _is_of_variables(address: str) -> bool:
    """Whether there is a key in a variable, and for this server."""
    from epochal.base.servers import normal_address

    named = os.environ.get("EPOCHAL_BASE_URL")
    return bool(os.environ.get("EPOCHAL_API_KEY")) and (not named or normal_address(named) == address)


def _warn_of_variables(address: str) -> None:
    named = os.environ.get("EPOCHAL_BASE_URL")
    if named and named.rstrip("/") != address:
        print(f"EPOCHAL_BASE_URL is set to {named} here, and wins.")
