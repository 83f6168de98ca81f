"""`epochal link`: a fresh sign-in link of a running server."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from epochal.base.home import home
from epochal.errors import UsageError


def add_link(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `link`."""
    parser = commands.add_parser(
        "link",
        help="print a fresh sign-in link of the running server",
        description="Prints a link that signs one browser in to the running server, once, within a day.",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="Data folder of the server (default: $EPOCHAL_HOME/server)",
    )
    parser.set_defaults(command=run_link)


def run_link(parsed: argparse.Namespace) -> None:
    """Print the link.

    Raises:
        UsageError: no server runs on the data folder.
    """
    from epochal.access.login_tokens import LoginTokens
    from epochal.server.data_folder import login_tokens_path, running_server

    folder = (parsed.data_dir or home(os.environ) / "server").absolute()
    server = running_server(folder)
    if server is None:
        raise UsageError(
            f"No Epochal server is running on {folder}.\n"
            "Start one with `epochal ui`, or name the folder of the one you mean: epochal link --data-dir DIR"
        )
    token = LoginTokens(login_tokens_path(folder), time.time).mint()
    print(f"{server.url}/login?token={token}")
