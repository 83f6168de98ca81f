"""`epochal offline` and `epochal online`: whether later runs are sent, for all runs of this user here."""

from __future__ import annotations

import argparse
import os

from epochal.base.home import home


def add_offline(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `offline`."""
    parser = commands.add_parser(
        "offline",
        help="keep later runs on this machine",
        description='Keeps later runs on this machine, as mode="offline" does, until `epochal online`. '
        "Settings of a run and EPOCHAL_MODE win.",
    )
    parser.set_defaults(command=run_offline)


def add_online(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `online`."""
    parser = commands.add_parser(
        "online",
        help="send later runs again",
        description="Sends later runs to the server again, if there is one.",
    )
    parser.set_defaults(command=run_online)


def run_offline(parsed: argparse.Namespace) -> None:
    """Write it into the settings file."""
    from epochal.base.settings_file import put

    del parsed
    put(home(os.environ) / "settings", "mode", "offline")
    print("Later runs are kept on this machine. Send them with: epochal sync")


def run_online(parsed: argparse.Namespace) -> None:
    """Take it out of the settings file."""
    from epochal.base.settings_file import put
    from epochal.cli.server_choice import choose

    del parsed
    put(home(os.environ) / "settings", "mode", None)
    address = choose().address
    print(f"Later runs are sent to {address}." if address else "Later runs are seen live with: epochal ui")
