"""The web app is built from its sources with the right Node.js, once, and again when they change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import webapp


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout whose web app is built by a program that only looks like npm and counts its calls."""
    (tmp_path / "web" / "src").mkdir(parents=True)
    (tmp_path / "web" / "package-lock.json").write_text("{}")
    (tmp_path / "web" / "src" / "main.ts").write_text("1")
    return tmp_path


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def node(tree: Path) -> webapp.Node:
    static = tree / "src/epochal/server/static"
    npm = program(
        tree / "bin",
        "npm",
        f'echo "$1" >>{tree}/calls\n'
        f"case $1 in ci) mkdir -p node_modules; touch node_modules/.package-lock.json;;\n"
        f"*) mkdir -p {static}; touch {static}/index.html;; esac",
    )
    return webapp.Node("24.0", (str(npm),), npm.parent)


def calls(tree: Path) -> list[str]:
    return (tree / "calls").read_text().split()


def test_a_second_build_of_the_same_sources_does_nothing(tree: Path, node: webapp.Node) -> None:
    webapp.build(tree, node)
    webapp.build(tree, node)

    assert calls(tree) == ["ci", "run"]


def test_a_changed_source_is_built_again(tree: Path, node: webapp.Node) -> None:
    webapp.build(tree, node)
    (tree / "web" / "src" / "main.ts").write_text("2")
    webapp.build(tree, node)

    assert calls(tree) == ["ci", "run", "run"]


def test_a_changed_lock_file_brings_its_packages(tree: Path, node: webapp.Node) -> None:
    webapp.build(tree, node)
    lock = tree / "web" / "package-lock.json"
    lock.write_text("{ }")
    os.utime(lock, (lock.stat().st_mtime + 10,) * 2)
    webapp.build(tree, node)

    assert calls(tree) == ["ci", "run", "ci", "run"]


def test_a_build_that_leaves_nothing_is_an_error(tree: Path) -> None:
    npm = program(tree / "bin", "npm", "exit 0")

    with pytest.raises(webapp.WebBuildError, match=r"left no .*index\.html"):
        webapp.build(tree, webapp.Node("24.0", (str(npm),), npm.parent))


def test_a_failed_build_is_an_error_that_names_the_command(tree: Path) -> None:
    npm = program(tree / "bin", "npm", "exit 7")

    with pytest.raises(webapp.WebBuildError, match=r"`npm ci --no-progress` failed .* \(exit code 7\)"):
        webapp.build(tree, webapp.Node("24.0", (str(npm),), npm.parent))


@pytest.mark.parametrize(("version", "is_used"), [("v20.19.0", True), ("v18.20.4", False), ("what", False)])
def test_a_node_on_path_is_used_only_if_it_is_new_enough(
    version: str, is_used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    program(folder, "node", f"echo {version}")
    program(folder, "npm", "exit 0")
    monkeypatch.setenv("PATH", f"{folder}:/bin")

    found = webapp.find_node()

    assert (found is not None and found.bin_folder == folder) == is_used
