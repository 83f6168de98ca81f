"""Who may import whom, as a table.

The table is the one in the style guide: an arrow that is not in it is a mistake, or a debt with a reason.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"

# All may import these.
FREE = {"epochal.errors", "epochal.ids", "epochal._version"}

# Layer: the other layers it may import.  `api` and `cli` may import anything, but inside a call, so that
# starting them is quick and works without the server's dependencies.
LAYERS: dict[str, set[str]] = {
    "base": set(),
    "runlog": {"base"},
    "wire": {"base", "runlog"},
    # It starts the sidecar and never imports it; login() alone asks a server, by the client in `upload`.
    "sdk": {"base", "runlog", "upload.client"},
    "upload": {"base", "runlog", "wire"},
    "sidecar": {"base", "runlog", "wire", "upload"},
    "store.metrics": {"base", "wire"},
    "store.metadata": {"base", "wire"},
    "store.blobs": {"base", "wire"},
    "access": {"base", "wire", "store.metadata"},
    "ingest": {"base", "runlog", "wire", "store"},
    "query": {"base", "wire", "store"},
    "importers": {"base", "runlog", "wire", "ingest"},
    "care": {"base", "runlog", "wire", "store", "ingest"},
    "alerts": {"base", "store.metadata"},
    "server": {"base", "wire", "store", "access", "ingest", "query", "alerts"},
    "server.compat": {"base", "wire", "store", "access", "ingest", "query"},
    "api": {"base"},
    # The declarations that its options and help are made from; `upload` for the types alone.
    "cli": {"base", "server.settings", "upload"},
}
ANYTHING_INSIDE_CALLS = {"api", "cli"}
# The package itself re-exports the SDK.
LAYERS["(package)"] = {"sdk", "base"}

# Third-party packages a layer may import; what is imported inside a call of the SDK is the user's own.
SDK_PACKAGES = {"msgspec"}
SERVER_PACKAGES = {"msgspec", "numpy", "zstandard"}
PACKAGES: dict[str, set[str]] = {
    "base": SDK_PACKAGES,
    "runlog": SDK_PACKAGES,
    "wire": {"msgspec", "zstandard"},
    "sdk": SDK_PACKAGES,
    "upload": {"msgspec", "urllib3"},
    "sidecar": {"msgspec", "psutil", "pynvml", "zstandard"},
    "store.metrics": SERVER_PACKAGES,
    "store.metadata": {"msgspec", "numpy", "sqlalchemy", "alembic"},
    "store.blobs": {"obstore"},
    "access": {"msgspec"},
    "ingest": SERVER_PACKAGES,
    "query": {*SERVER_PACKAGES, "sqlalchemy", "regex"},
    "alerts": {"msgspec", "apprise", "requests"},  # requests as part of apprise, to stop its redirects
    "importers": SERVER_PACKAGES,
    "care": SERVER_PACKAGES,
    "server": {*SERVER_PACKAGES, "starlette", "uvicorn", "uvloop", "ariadne", "graphql", "arro3", "limits"},
    "server.compat": {"msgspec", "starlette"},
    "api": set(),
    "cli": set(),
    "(package)": set(),
}

# (module, what it imports): why that is so for now, and what will end it.
DEBTS: dict[tuple[str, str], str] = {
    ("epochal.server.main", "epochal.runlog.folder"): (
        "a server is put together in one place, which has to know the folders to watch; the watcher could"
    ),
}


class Import(NamedTuple):
    """One import statement's target."""

    module: str
    line: int
    target: str
    is_inside_call: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    """Return the layer with the longest name that the module lies in."""
    inside = module.removeprefix("epochal").removeprefix(".")
    candidates = [name for name in LAYERS if inside == name or inside.startswith(name + ".")]
    if candidates:
        return max(candidates, key=len)
    return "(package)" if module == "epochal" else inside


def imports_of(path: Path) -> Iterator[Import]:
    """Yield every import in the file, those for type checkers included: they are dependencies too."""
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    yield from _walk(ast.parse(path.read_text()), module, package, is_inside_call=False)


def _walk(node: ast.AST, module: str, package: str, *, is_inside_call: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(module, child.lineno, alias.name, is_inside_call)
        elif isinstance(child, ast.ImportFrom):
            base = ".".join(package.split(".")[: -child.level + 1 or None]) if child.level else ""
            origin = ".".join(part for part in (base, child.module) if part)
            for alias in child.names:
                yield Import(module, child.lineno, _submodule(origin, alias.name), is_inside_call)
        else:
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk(child, module, package, is_inside_call=is_inside_call or is_function)


def _submodule(origin: str, name: str) -> str:
    """Return `origin.name` where that is a module of ours, else `origin`."""
    path = SOURCE.joinpath(*origin.split("."), name)
    is_module = path.is_dir() or path.with_suffix(".py").is_file()
    return f"{origin}.{name}" if is_module else origin


def is_allowed(found: Import) -> bool:
    layer, top = layer_of(found.module), found.target.partition(".")[0]
    if top in sys.stdlib_module_names or top == "__future__":
        return True
    if top != "epochal":
        user_owned = layer == "sdk" and found.is_inside_call
        in_call = layer in ANYTHING_INSIDE_CALLS and found.is_inside_call
        return user_owned or in_call or top in PACKAGES.get(layer, set())
    target = layer_of(found.target)
    if found.target in FREE or target == layer:
        return True
    if layer in ANYTHING_INSIDE_CALLS and found.is_inside_call:
        return True
    if layer == "server" and target == "server.compat":
        return found.module == "epochal.server.app"
    if layer == "server.compat" and target == "server":
        return True
    inside = found.target.removeprefix("epochal.")
    return any(inside == other or inside.startswith(other + ".") for other in LAYERS.get(layer, set()))


ALL_FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: module_name(path))
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    found = [i for i in imports_of(path) if not is_allowed(i) and (i.module, i.target) not in DEBTS]

    assert not found, "\n".join(
        f"{i.module}:{i.line} imports {i.target}; the layer '{layer_of(i.module)}' may import "
        f"{', '.join(sorted(LAYERS[layer_of(i.module)] | PACKAGES[layer_of(i.module)])) or 'nothing'}"
        f"{' and anything inside a call' if layer_of(i.module) in ANYTHING_INSIDE_CALLS else ''}"
        for i in found
    )


def test_every_module_lies_in_a_layer() -> None:
    unknown = [
        name
        for name in map(module_name, ALL_FILES)
        if name not in FREE and layer_of(name) not in LAYERS and name not in {"epochal.store"}
    ]

    assert not unknown, f"add a layer to LAYERS, or move: {unknown}"


def test_every_debt_is_still_owed() -> None:
    owed = {(i.module, i.target) for path in ALL_FILES for i in imports_of(path) if not is_allowed(i)}

    assert DEBTS.keys() <= owed, f"paid: remove from DEBTS {sorted(DEBTS.keys() - owed)}"


@pytest.mark.parametrize(
    ("module", "target", "is_inside_call"),
    [
        ("epochal.base.clock", "epochal.runlog.writer", False),
        ("epochal.sdk.run", "epochal.sidecar.main", True),
        ("epochal.sdk.run", "numpy", False),
        ("epochal.store.metrics.contract", "epochal.store.metadata.runs", False),
        ("epochal.cli.ui", "epochal.server.main", False),
        ("epochal.cli.ui", "starlette", False),
        ("epochal.server.routes.live", "epochal.server.compat.wandb", False),
        ("epochal.server.routes.live", "epochal.sdk.run", True),
    ],
)
def test_a_forbidden_arrow_is_found(module: str, target: str, is_inside_call: bool) -> None:
    assert not is_allowed(Import(module, 1, target, is_inside_call))


@pytest.mark.parametrize(
    ("module", "target", "is_inside_call"),
    [
        ("epochal.base.clock", "epochal.errors", False),
        ("epochal.cli.ui", "epochal.server.main", True),
        ("epochal.sdk.values", "numpy", True),
        ("epochal.ingest.accept", "epochal.store.metadata.runs", False),
        ("epochal.server.app", "epochal.server.compat.wandb", False),
    ],
)
def test_an_allowed_arrow_passes(module: str, target: str, is_inside_call: bool) -> None:
    assert is_allowed(Import(module, 1, target, is_inside_call))
