"""`epochal store`: looking after a data folder."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from epochal.base.home import home
from epochal.errors import UsageError

_NEEDED = ("numpy", "sqlalchemy", "alembic")


def add_store(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `store` and those below it."""
    parser = commands.add_parser(
        "store",
        help="look after a data folder: check it, repair it",
        description="Looks after what a server keeps: its data folder.",
    )
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = below.add_parser(
        "check",
        help="read everything and say what is damaged",
        description="Reads everything in a data folder, beside a running server or without one, and says "
        "what is damaged. It changes nothing. Exit code 0: all is sound; 3: something is not.",
    )
    _add_data_dir(check)
    check.add_argument("--project", metavar="NAME", help="Only this project: NAME or ENTITY/NAME")
    check.add_argument("--run", metavar="ID", help="Only the run with this id")
    check.add_argument("--json", action="store_true", help="Print the report as JSON")
    check.set_defaults(command=run_check)
    _add_repair(below)


def _add_repair(below: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    repair = below.add_parser(
        "repair",
        help="set right what `check` found",
        description="Sets right what can be set right in the data folder of a server that does not run: "
        "levels are made anew from their points, points are taken again from blocks and run logs that are "
        "still there, and what is lost is put on record with its run. What is removed is kept in the folder "
        "`repaired`. Exit code 0: all is sound now; 3: something is not.",
    )
    _add_data_dir(repair)
    repair.add_argument("--project", metavar="NAME", help="Only this project: NAME or ENTITY/NAME")
    repair.set_defaults(command=run_repair)


def run_repair(parsed: argparse.Namespace) -> int:
    """Repair, print what was done, and return the exit code of a check after it."""
    _need_server()
    import time

    from epochal.care.check import check_folder
    from epochal.care.repair import repair_folder
    from epochal.care.show import check_lines
    from epochal.runlog.folder import runs_folders
    from epochal.server.data_folder import DataFolder

    folder = _data_dir(parsed)
    if not (folder / "metadata.db").is_file():
        check_folder(folder)  # which says what is wrong with it
    data = DataFolder(folder)
    try:
        done = repair_folder(
            folder,
            runs_folders=runs_folders(home(os.environ)),
            stamp=time.strftime("%Y%m%d-%H%M%S"),
            project=parsed.project,
        )
        print("\n".join(done or ["There is nothing to repair."]))
        report = check_folder(folder, project=parsed.project)
    finally:
        data.close()
    print("\n".join(check_lines(report)))
    return 3 if report.n_problems else 0


def run_check(parsed: argparse.Namespace) -> int:
    """Check, print the report, and return the exit code."""
    _need_server()
    import msgspec

    from epochal.care.check import check_folder
    from epochal.care.show import Bar, check_lines

    bar = Bar(sys.stderr)
    report = check_folder(_data_dir(parsed), project=parsed.project, run=parsed.run, tell=bar.show)
    bar.clear()
    if parsed.json:
        print(msgspec.json.encode(report).decode())
    else:
        print("\n".join(check_lines(report)))
    return 3 if report.n_problems else 0


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="Data folder of the server (default: $EPOCHAL_HOME/server)",
    )


def _data_dir(parsed: argparse.Namespace) -> Path:
    folder: Path = parsed.data_dir or home(os.environ) / "server"
    return folder.absolute()


def _need_server() -> None:
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise UsageError("The server is not installed here. Install it: pip install 'epochal[server]'")
