"""What Epochal says to the person at the terminal: one line each, on stderr, and each thing once.

A training script's output belongs to its user.  So everything is prefixed, nothing is repeated, nothing
is coloured where stderr is not a terminal, and `quiet`/`silent` are obeyed.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable

_COLOURS = {"info": "\033[34m", "warn": "\033[33m", "error": "\033[31m"}
_RESET = "\033[0m"


class Terminal:
    """Prints notices; remembers what it has said.

    Attributes:
        show_info, show_warnings, show_errors: what is printed at all.
    """

    def __init__(self) -> None:
        self.show_info = True
        self.show_warnings = True
        self.show_errors = True
        self._said: set[Hashable] = set()

    def info(self, text: str) -> None:
        """Print a line of information."""
        if self.show_info:
            self._print("info", text)

    def warn(self, text: str) -> None:
        """Print a warning."""
        if self.show_warnings:
            self._print("warn", text)

    def error(self, text: str) -> None:
        """Print an error."""
        if self.show_errors:
            self._print("error", text)

    def info_once(self, cause: Hashable, text: str) -> None:
        """Print a line of information unless something was said about `cause` before."""
        if self._first(cause):
            self.info(text)

    def warn_once(self, cause: Hashable, text: str) -> None:
        """Print a warning unless something was said about `cause` before."""
        if self._first(cause):
            self.warn(text)

    def error_once(self, cause: Hashable, text: str) -> None:
        """Print an error unless something was said about `cause` before."""
        if self._first(cause):
            self.error(text)

    def internal(self, doing: str, error: BaseException) -> None:
        """Say that a fault of our own was met and contained, in one line for each kind of it."""
        cause = ("internal", doing, type(error))
        self.error_once(
            cause,
            f"A fault inside Epochal while {doing} ({type(error).__name__}: {error}); your script goes on.",
        )

    def forget(self, cause: Hashable) -> None:
        """Let `cause` be said again, for a new run that deserves its own notice."""
        self._said.discard(cause)

    def _first(self, cause: Hashable) -> bool:
        if cause in self._said:
            return False
        self._said.add(cause)
        return True

    def _print(self, level: str, text: str) -> None:
        stream = sys.stderr
        # A daemon, a notebook kernel that is going down or a closed stream has none that works.
        if stream is None:
            return
        try:
            prefix = "epochal:"
            if stream.isatty():
                prefix = f"{_COLOURS[level]}{prefix}{_RESET}"
            word = {"info": "", "warn": "Warning: ", "error": "Error: "}[level]
            lines = (word + text).splitlines() or [""]
            stream.write("".join(f"{prefix} {line}\n" for line in lines))
        except (OSError, ValueError, AttributeError):
            return


terminal = Terminal()
"""The one terminal of this process; there is only one stderr."""


def termlog(string: str = "", newline: bool = True, repeat: bool = True) -> None:
    """Print a line with the product's prefix; `repeat=False` prints the same text once."""
    del newline
    terminal.info(string) if repeat else terminal.info_once(("term", string), string)


def termwarn(string: str, newline: bool = True, repeat: bool = True) -> None:
    """Print a warning with the product's prefix; `repeat=False` prints the same text once."""
    del newline
    terminal.warn(string) if repeat else terminal.warn_once(("term", string), string)


def termerror(string: str, newline: bool = True, repeat: bool = True) -> None:
    """Print an error with the product's prefix; `repeat=False` prints the same text once."""
    del newline
    terminal.error(string) if repeat else terminal.error_once(("term", string), string)
