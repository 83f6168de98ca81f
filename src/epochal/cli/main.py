"""The command `epochal`.

A command's own module and what it needs are imported when it runs, so that `epochal --help` is quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from epochal._version import __version__
from epochal.cli.key import add_key
from epochal.cli.link import add_link
from epochal.cli.login import add_login, add_logout
from epochal.cli.modes import add_offline, add_online
from epochal.cli.serving import add_server, add_ui
from epochal.cli.status import add_status
from epochal.cli.store import add_store
from epochal.cli.sync import add_sync
from epochal.errors import EpochalError

_EXAMPLES = """\
examples:
  epochal ui                                see the runs of this machine, live
  epochal ui --port 9000 --no-browser       on a port of your choice; open the printed link yourself
  epochal ui --runs-dir /scratch/runs       watch a further folder of runs
  epochal link                              another sign-in link for the running server
  epochal login https://HOST                send later runs to a server
  epochal sync                              send what was logged offline
  epochal server --host 0.0.0.0             for a machine that others reach
  epochal store check                       is what the server keeps sound?
  epochal key new                           an API key, for machines that send their runs here

`epochal COMMAND --help` explains a command.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="epochal",
        description="Experiment tracking at full speed: log everything, keep everything, see it live.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"epochal {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add_ui(commands)
    add_server(commands)
    add_link(commands)
    add_login(commands)
    add_logout(commands)
    add_status(commands)
    add_sync(commands)
    add_offline(commands)
    add_online(commands)
    add_store(commands)
    add_key(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, 1 after an error was explained, or the command's own."""
    parser = build_parser()
    parsed = parser.parse_args(arguments)
    if not hasattr(parsed, "command"):
        parser.print_help()
        return 0
    try:
        code: int | None = parsed.command(parsed)
    except EpochalError as error:
        print(f"epochal: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # A folder that may not be entered, a disk that is full: a sentence of the system's, not our bug.
        print(f"epochal: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code or 0


if __name__ == "__main__":
    sys.exit(main())
