"""`epochal ui` and `epochal server`: the same server, for one person and for several."""

from __future__ import annotations

import argparse
import importlib.util
import os

from epochal.base.home import home
from epochal.cli.options import add_options, settings_from
from epochal.errors import UsageError

_NEEDED = ("numpy", "starlette", "uvicorn", "ariadne", "sqlalchemy", "alembic", "arro3")


def add_ui(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `ui`."""
    parser = commands.add_parser(
        "ui",
        help="show the runs of this machine in the browser, live",
        description="Shows the runs of this machine in the browser, live. Nothing needs to be running while "
        "you train: runs are files, and this reads them.",
    )
    parser.add_argument("--no-browser", action="store_true", help="Print the address only")
    # Who serves others needs to think about the network first: `epochal server` is for that.
    add_options(parser, without=("host",))
    parser.set_defaults(command=run_ui)


def add_server(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `server`."""
    parser = commands.add_parser(
        "server",
        help="the same without a browser, for a machine that others reach",
        description="Runs the server without opening a browser. It listens on this machine only unless "
        "--host says otherwise; put a proxy with TLS in front of it where the network is not yours.",
    )
    add_options(parser)
    parser.set_defaults(command=run_server)


def run_ui(parsed: argparse.Namespace) -> None:
    """Serve, with a browser where there is a display."""
    _serve(parsed, open_browser=not parsed.no_browser)


def run_server(parsed: argparse.Namespace) -> None:
    """Serve."""
    _serve(parsed, open_browser=False)


def _serve(parsed: argparse.Namespace, *, open_browser: bool) -> None:
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise UsageError("The server is not installed here. Install it: pip install 'epochal[server]'")
    from epochal.server.main import serve

    serve(settings_from(parsed), home(os.environ), open_browser=open_browser)
