"""Writes docs/reference/cli.md from the command line itself.

python scripts/write_cli_reference.py            # write it
python scripts/write_cli_reference.py --print    # to the standard output; a test compares that with the file
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from epochal.cli.main import build_parser

TARGET = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"

HEAD = """\
# The command line

Made by `python scripts/write_cli_reference.py` from what `epochal --help` says; edit it there.

Every command reads `EPOCHAL_HOME`, the folder of runs and data (`~/.epochal` unless it is set). An error is
one message on the standard error and exit code 1; a command line that cannot be understood has exit code 2.
A server that is stopped with Ctrl-C or SIGTERM ends with 0.
"""


def reference() -> str:
    """Return the page."""
    return "\n".join([HEAD, *(_section(name, parser) for name, parser in commands().items())])


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command."""
    found = _below(build_parser(), "")
    if not found:
        raise LookupError("the command line has no commands")
    return found


def _below(parser: argparse.ArgumentParser, prefix: str) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                below = _below(command, f"{prefix}{name} ")
                found |= below or {f"{prefix}{name}": command}
    return found


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    lines = [f"## epochal {name}", "", str(parser.description), ""]
    for group in parser._action_groups:
        options = [action for action in group._group_actions if "--help" not in action.option_strings]
        if options:
            title = str(group.title).capitalize()
            lines += [f"| {title} | |", "| --- | --- |", *(_row(option) for option in options), ""]
    return "\n".join(lines)


def _row(option: argparse.Action) -> str:
    value = f" {option.metavar}" if option.metavar else ""
    text = str(option.help).replace("%%", "%").replace("|", "\\|")
    name = option.option_strings[-1] + value if option.option_strings else option.metavar or option.dest
    return f"| `{name}` | {text}. |"


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(reference())
    else:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(reference())
