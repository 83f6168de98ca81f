"""`epochal key`: the API keys of a server's data folder."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from epochal.base.home import home
from epochal.errors import UsageError

_ROLES = ("read", "write", "admin")


def add_key(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `key`."""
    parser = commands.add_parser(
        "key",
        help="make, list and revoke API keys, on the server's machine",
        description="Makes, lists and revokes the API keys by which programs are let in: `epochal key new` "
        "prints one, once. For the machine that has the server's data, whether a server runs or not.",
    )
    parser.add_argument(
        "action", choices=("new", "list", "revoke"), help="What to do: `new`, `list`, or `revoke NUMBER`"
    )
    parser.add_argument(
        "number", nargs="?", type=int, metavar="NUMBER", help="Of the key to revoke, as listed"
    )
    parser.add_argument(
        "--user", metavar="NAME", help="Whose the new key is (default: the owner of the data)"
    )
    parser.add_argument(
        "--role", choices=_ROLES, default="write", help="What the new key may do (default: write)"
    )
    parser.add_argument(
        "--name", default="key", metavar="TEXT", help="What to call the new key (default: key)"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="Data folder of the server (default: $EPOCHAL_HOME/server)",
    )
    parser.set_defaults(command=run_key)


def run_key(parsed: argparse.Namespace) -> None:
    """Do it.

    Raises:
        UsageError: there is no such key, or the arguments do not fit together.
        DataFolderError: the data folder cannot be used.
    """
    from epochal.server.key_commands import listed_keys, new_key, revoke_key

    if (parsed.action == "revoke") != (parsed.number is not None):
        raise UsageError("`epochal key revoke` takes the NUMBER of a key; `epochal key list` shows them.")
    folder = (parsed.data_dir or home(os.environ) / "server").absolute()
    if parsed.action == "new":
        print(new_key(folder, user=parsed.user, role=parsed.role, name=parsed.name), flush=True)
    elif parsed.action == "list":
        print(listed_keys(folder))
    else:
        revoke_key(folder, parsed.number)
        print(f"Key {parsed.number} is revoked. What uses it is refused from now on.")
