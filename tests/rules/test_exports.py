"""What `import epochal` offers is complete, documented, and typed."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import epochal

# State rather than things: what the live run has, or None.
STATE = {"__version__", "run", "config", "summary"}
NAMES = sorted(set(epochal.__all__) - STATE)


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_name_has_a_docstring_of_its_own(name: str) -> None:
    thing = getattr(epochal, name)

    assert thing.__doc__, f"epochal.{name} needs a docstring"


@pytest.mark.parametrize("name", [name for name in NAMES if inspect.isclass(getattr(epochal, name))])
def test_every_public_method_of_an_exported_class_has_a_docstring(name: str) -> None:
    cls = getattr(epochal, name)
    bare = [
        member
        for member, value in vars(cls).items()
        if not member.startswith("_")
        and (callable(value) or isinstance(value, property))
        and not inspect.getdoc(getattr(cls, member))
    ]

    assert not bare, f"epochal.{name} has methods without a docstring: {bare}"


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_function_is_typed_throughout(name: str) -> None:
    thing = getattr(epochal, name)
    function = vars(thing).get("__init__") if inspect.isclass(thing) else thing
    if not inspect.isfunction(function):
        return
    bare = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.annotation is parameter.empty and parameter.name != "self"
    ]

    assert not bare, f"epochal.{name}: annotate {bare}"


def test_the_reference_says_what_the_docstrings_say(root: Path) -> None:
    command = [sys.executable, "scripts/write_sdk_reference.py", "--print"]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout

    written = (root / "docs" / "reference" / "sdk.md").read_text()
    assert written == said, "run: python scripts/write_sdk_reference.py"


def test_every_exported_name_is_there_and_shown_to_completion() -> None:
    assert all(hasattr(epochal, name) for name in epochal.__all__)
    assert set(epochal.__all__) <= set(dir(epochal))
