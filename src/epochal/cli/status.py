"""`epochal status`: where runs go, and what of them is still only here."""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

from epochal.base.home import home


class Status(NamedTuple):
    """What the command says."""

    server: str | None
    username: str | None
    has_key: bool
    mode: str
    n_runs: int  # run folders of this machine
    n_unsent: int  # … that the server has not confirmed in full, by the notes in them
    n_unsent_bytes: int


def add_status(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `status`."""
    parser = commands.add_parser(
        "status",
        help="say where runs go, and what of them is only here",
        description="Says where later runs go, and what of the runs on this machine the server has not "
        "confirmed. Asks no network.",
    )
    parser.add_argument("--json", action="store_true", help="Print it as JSON")
    parser.set_defaults(command=run_status)


def run_status(parsed: argparse.Namespace) -> None:
    """Print it."""
    status = look()
    if parsed.json:
        import msgspec

        print(msgspec.json.encode(status._asdict()).decode())
        return
    from epochal.cli.sync_bar import size

    who = f" as {status.username}" if status.username else "" if status.has_key else ", without a key"
    print(f"Server: {status.server}{who}" if status.server else "Server: none; see runs with: epochal ui")
    print(f"Mode:   {status.mode}")
    print(f"Runs:   {status.n_runs} on this machine")
    if status.server:
        left = f"{status.n_unsent} ({size(status.n_unsent_bytes)})" if status.n_unsent else "none"
        print(f"Unsent: {left}" + ("; send them with: epochal sync" if status.n_unsent else ""))


def look() -> Status:
    """Return where runs go and how many are not sent."""
    from epochal.base.servers import known_servers
    from epochal.cli.server_choice import choose
    from epochal.runlog.folder import runs_folders
    from epochal.upload.note import is_all_sent, run_log_sizes
    from epochal.upload.sync import find_folders

    choice = choose()
    known = known_servers(home(os.environ)).get(choice.address or "")
    folders = [f.path for f in find_folders(p for p in runs_folders(home(os.environ)) if p.is_dir())]
    unsent = [f for f in folders if choice.address is None or not is_all_sent(f, choice.address)]
    return Status(
        server=choice.address,
        username=known.username if known is not None and known.key == choice.key else None,
        has_key=bool(choice.key),
        mode=choice.mode,
        n_runs=len(folders),
        n_unsent=len(unsent),
        n_unsent_bytes=sum(size for folder in unsent for _, size in run_log_sizes(folder)),
    )
