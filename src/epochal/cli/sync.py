"""`epochal sync`: sends runs of this machine to a server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.base.home import home
from epochal.errors import UsageError

if TYPE_CHECKING:
    from epochal.upload.client import Client
    from epochal.upload.outgoing_folder import OutgoingFolder
    from epochal.upload.sender import Sender
    from epochal.upload.sync import RunReport, Sync

LEFT, DAMAGED, INTERRUPTED = 3, 4, 130
_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_ROUND_S = 1.0
# How often a folder is looked at: (seconds since it grew, seconds between looks).
_QUIET = ((120.0, 1.0), (3600.0, 10.0), (float("inf"), 60.0))
MAX_BODY_BYTES = 8 << 20


def add_sync(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `sync`."""
    parser = commands.add_parser(
        "sync",
        help="send runs of this machine to a server",
        description="Sends runs of this machine to a server: what was logged offline, and what a server was "
        "not there for. It can be stopped and started again at any time, also on several machines at once: "
        "what the server has is not sent twice. Exit code 0: the server has everything; 3: some is left; "
        "4: all is there but what is damaged, or what the server cannot store.",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="Run folders, run logs, or folders of runs (default: all runs folders of this machine)",
    )
    parser.add_argument("--server", metavar="HOST", help="Send to this server (default: as runs do)")
    parser.add_argument(
        "--watch", action="store_true", help="Go on: send what is added, by runs that live on any machine"
    )
    parser.add_argument(
        "--again", action="store_true", help="Ask the server also about what it confirmed earlier"
    )
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="Runs at once (default: 4)")
    parser.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="Give up when the server takes nothing for so long (default: 60; without end with --watch)",
    )
    parser.add_argument(
        "--max-rate", type=_bytes, default=0, metavar="BYTES", help="Bytes per second at most, such as 500k"
    )
    parser.add_argument("--json", action="store_true", help="Print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="Print errors only")
    parser.add_argument(
        "--delete-after",
        action="store_true",
        help="Delete the local files of runs that are over, once the server has confirmed every byte of them",
    )
    parser.add_argument(
        "--older-than",
        type=float,
        default=0.0,
        metavar="DAYS",
        help="With --delete-after: keep what was confirmed less than so many days ago",
    )
    parser.add_argument(
        "--keep-size",
        type=_bytes,
        default=0,
        metavar="BYTES",
        help="With --delete-after: keep the newest, as many as fit, such as 20G",
    )
    parser.set_defaults(command=run_sync)


def run_sync(parsed: argparse.Namespace) -> int:
    """Send, print the report, and return the exit code."""
    from epochal.cli.server_choice import choose_for_certain
    from epochal.upload.sync import Sync, report_of

    if parsed.workers < 1:
        raise UsageError("--workers is at least 1")
    address, key = choose_for_certain(parsed.server)
    sync = Sync(
        lambda: _sender(address, key, parsed.max_rate / parsed.workers),
        address,
        n_workers=parsed.workers,
        patience_s=float("inf") if parsed.watch else parsed.patience,
    )
    known: dict[Path, OutgoingFolder] = {}
    is_interrupted = False
    try:
        _watch(parsed, sync, address, known) if parsed.watch else _send_once(parsed, sync, address, known)
    except KeyboardInterrupt:
        is_interrupted = True
    reports = [report_of(folder, sync.trouble) for folder in known.values()]
    is_cleaned = parsed.delete_after and not is_interrupted
    deleted, n_deleted = _delete(parsed, address, key) if is_cleaned else ([], 0)
    _print_report(parsed, address, reports, deleted, n_deleted)
    # Ctrl-C is how watching ends.
    return INTERRUPTED if is_interrupted and not parsed.watch else _exit_code(reports)


def _send_once(
    parsed: argparse.Namespace, sync: Sync, address: str, known: dict[Path, OutgoingFolder]
) -> None:
    from epochal.cli.sync_bar import Bar
    from epochal.upload.sync import find_folders, is_worth_asking

    found = find_folders(parsed.paths or _runs_folders())
    known.update({f.path: f for f in found if parsed.again or is_worth_asking(f, address)})
    bar = Bar(sys.stderr, list(known.values()), is_wanted=not parsed.quiet and not parsed.json)
    try:
        sync.send(list(known.values()), lambda: bar.show(sync.trouble))
    finally:
        bar.clear()


def _watch(parsed: argparse.Namespace, sync: Sync, address: str, known: dict[Path, OutgoingFolder]) -> None:
    """Send what is there and what is added, until Ctrl-C."""
    import time

    from epochal.upload.sync import find_folders, is_worth_asking

    grew_at: dict[Path, float] = {}
    next_look: dict[Path, float] = {}
    if not parsed.quiet:
        print(f"Sending to {address} what is added, until Ctrl-C.", file=sys.stderr)
    while True:
        began = time.monotonic()
        for folder in find_folders(parsed.paths or _runs_folders()):
            if folder.path not in known:
                is_new = parsed.again or is_worth_asking(folder, address)
                known[folder.path] = folder
                grew_at[folder.path] = began if is_new else began - _QUIET[-2][0]
                next_look[folder.path] = began if is_new else began + _QUIET[-1][1]
        due = [known[path] for path, at in next_look.items() if at <= began]
        before = {folder.path: folder.n_sent_bytes for folder in due}
        sync.send(due)
        for folder in due:
            path = folder.path
            if not path.is_dir():
                del known[path], grew_at[path], next_look[path]
                continue
            if folder.n_sent_bytes != before[path]:
                grew_at[path] = began
            quiet_s = began - grew_at[path]
            next_look[path] = began + next(every for until, every in _QUIET if quiet_s <= until)
        time.sleep(max(0.0, _ROUND_S - (time.monotonic() - began)))


def _runs_folders() -> list[Path]:
    from epochal.runlog.folder import runs_folders

    return [folder for folder in runs_folders(home(os.environ)) if folder.is_dir()]


def _client(address: str, key: str) -> Client:
    from epochal.upload.client import Client

    return Client(address, key)


def _sender(address: str, key: str, max_bytes_per_s: float) -> Sender:
    from epochal.upload.sender import Sender

    # Asked before anything is read, so that a run that is there already costs one small request.
    return Sender(
        _client(address, key), max_body_bytes=MAX_BODY_BYTES, max_bytes_per_s=max_bytes_per_s, ask_bytes=0
    )


def _delete(parsed: argparse.Namespace, address: str, key: str) -> tuple[list[Path], int]:
    import time

    from epochal.upload.cleanup import DAY_S, Rules, clean_up
    from epochal.upload.sync import find_folders

    rules = Rules(min_age_s=parsed.older_than * DAY_S, keep_bytes=parsed.keep_size)
    folders = [folder.path for folder in find_folders(parsed.paths or _runs_folders())]
    return clean_up(folders, _client(address, key), address, rules, time.time())


def _exit_code(reports: Iterable[RunReport]) -> int:
    found = list(reports)
    if any(report.n_left_bytes for report in found):
        return LEFT
    return DAMAGED if any(report.lost or report.why_left for report in found) else 0


def _print_report(
    parsed: argparse.Namespace,
    address: str,
    reports: list[RunReport],
    deleted: list[Path],
    n_deleted: int,
) -> None:
    if parsed.json:
        import msgspec

        said = {"server": address, "runs": reports, "deleted": [str(path) for path in deleted]}
        print(msgspec.json.encode(said).decode())
        return
    from epochal.cli.sync_bar import report_lines

    for line in report_lines(address, reports, len(deleted), n_deleted, is_quiet=parsed.quiet):
        print(line)


def _bytes(text: str) -> int:
    """Read a number of bytes: 500k, 20G."""
    word = text.strip().lower().removesuffix("b").removesuffix("/s")
    factor = _UNITS.get(word[-1:], 1)
    try:
        number = float(word.rstrip("kmgt")) * factor
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes, such as 500k or 20G") from None
    if number < 0:
        raise argparse.ArgumentTypeError("a number of bytes is not negative")
    return int(number)
