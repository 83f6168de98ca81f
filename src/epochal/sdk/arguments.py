"""What arguments of several functions have in common."""

from __future__ import annotations

from collections.abc import Iterable

from epochal.sdk.terminal import terminal

MAX_TAG_CHARACTERS = 64


def split_tags(value: Iterable[str] | str | None) -> tuple[list[str], list[str]]:
    """Return the tags in `value`, without repetitions, and those that cannot be one; a text is one tag."""
    given = [value] if isinstance(value, str) else [str(tag) for tag in value or ()]
    unique = list(dict.fromkeys(given))
    good = [tag for tag in unique if 0 < len(tag) <= MAX_TAG_CHARACTERS]
    return good, [tag for tag in unique if tag not in good]


def say_unknown(function: str, arguments: dict[str, object]) -> None:
    """Say once of each argument that nobody knows that it does nothing."""
    for name in arguments:
        terminal.info_once(
            ("argument", function, name),
            f"{function}() does not know the argument {name}; it changes nothing.",
        )
