"""Writes docs/reference/sdk.md from the docstrings of what `import epochal` offers.

python scripts/write_sdk_reference.py            # write it
python scripts/write_sdk_reference.py --print    # to the standard output; a test compares that with the file
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import epochal

TARGET = Path(__file__).parents[1] / "docs" / "reference" / "sdk.md"

HEAD = """\
# The SDK

Made by `python scripts/write_sdk_reference.py` from the docstrings; edit them there. The guide is
[Logging with the SDK](../guides/sdk.md), the fields of `Settings` are under [Settings](settings.md).

`epochal.run` is the live run or None; `epochal.config` and `epochal.summary` are its config and summary.
"""

STATE = {"__version__", "run", "config", "summary"}
# Their fields have a page of their own.
FIELDS_ELSEWHERE = {"Settings"}


def reference() -> str:
    """Return the page."""
    names = sorted(set(epochal.__all__) - STATE, key=str.lower)
    return "\n".join([HEAD, *("\n".join(_entry(name)) for name in names)])


def _entry(name: str) -> Iterator[str]:
    thing = getattr(epochal, name)
    yield f"## {name}\n"
    if thing.__name__ != name and not inspect.isclass(thing):
        yield f"Another name of `{thing.__name__}`.\n"
        return
    if inspect.isclass(thing):
        yield from _class(name, thing)
    else:
        yield from _function(name, thing)


def _function(name: str, function: Callable[..., object]) -> Iterator[str]:
    yield f"```python\n{name}{_signature(function)}\n```\n"
    yield _text(inspect.getdoc(function))


def _class(name: str, cls: type) -> Iterator[str]:
    own_init = vars(cls).get("__init__")
    is_error = issubclass(cls, BaseException)
    if inspect.isfunction(own_init) and not is_error and name not in FIELDS_ELSEWHERE:
        yield f"```python\n{name}{_signature(own_init)}\n```\n"
    yield _text(inspect.getdoc(cls))
    if is_error or name in FIELDS_ELSEWHERE:
        return
    for member, value in sorted(_members(cls).items()):
        if isinstance(value, property):
            yield f"### {name}.{member}\n\n{_text(inspect.getdoc(value))}"
        else:
            yield f"### {name}.{member}\n\n```python\n{member}{_signature(value)}\n```\n"
            yield _text(inspect.getdoc(value))


def _members(cls: type) -> dict[str, Callable[..., object] | property]:
    """Return the public methods and properties of a class and of those of ours that it stands on."""
    members: dict[str, Callable[..., object] | property] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("epochal."):
            for name, value in vars(base).items():
                if isinstance(value, classmethod | staticmethod):
                    value = value.__func__
                if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    members[name] = value
    return members


def _signature(function: Callable[..., object]) -> str:
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    text = str(signature.replace(parameters=parameters)).replace("'", "")
    if len(text) < 80:
        return text
    # One parameter a line where they would not fit on one.
    lines = ["("]
    star = inspect.Parameter.KEYWORD_ONLY
    for i, parameter in enumerate(parameters):
        previous = parameters[i - 1].kind if i else None
        if parameter.kind is star and previous not in (star, inspect.Parameter.VAR_POSITIONAL):
            lines.append("    *,")
        lines.append(f"    {parameter},".replace("'", ""))
    return "\n".join([*lines, text[text.rindex(")") :]])


def _text(doc: str | None) -> str:
    """Return a docstring as Markdown: the items under `Args:` and the like become lists."""
    lines, in_list = [], False
    for line in (doc or "").splitlines():
        if line.rstrip() in ("Args:", "Raises:", "Returns:", "Yields:", "Attributes:"):
            lines += [f"*{line.strip().rstrip(':')}*", ""]
            in_list = True
        elif in_list and line.startswith("    ") and not line.startswith("     "):
            item, colon, rest = line.strip().partition(": ")
            lines.append(f"- `{item}`: {rest}" if colon and " " not in item else f"- {line.strip()}")
        elif in_list and line.startswith("     "):
            lines.append(f"  {line.strip()}")
        else:
            in_list = in_list and not line.strip()
            lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(reference())
    else:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(reference())
