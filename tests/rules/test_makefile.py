"""The Makefile: every command says what it does, and what texts tell people to type exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

TARGET = re.compile(r"^([a-z][a-z-]*):(?!=)(.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def makefile(root: Path) -> str:
    return (root / "Makefile").read_text()


def targets(makefile: str) -> dict[str, str]:
    """Return each target with the rest of its line."""
    return {name: rest for name, rest in TARGET.findall(makefile) if name != ".PHONY"}


def test_every_command_has_a_comment(makefile: str) -> None:
    public = makefile.partition("# --- What the commands above stand on")[0]
    silent = [name for name, rest in targets(public).items() if "## " not in rest]

    assert not silent, f"add `## what it does` to the line of: {silent}"


def test_every_target_is_phony(makefile: str) -> None:
    """A file that happens to have a target's name (`web/` does) must not keep it from running."""
    phony = {name for line in re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE) for name in line.split()}

    assert set(targets(makefile)) - phony == set()


def test_make_alone_lists_every_command(makefile: str, root: Path) -> None:
    public = makefile.partition("# --- What the commands above stand on")[0]
    listed = subprocess.run(["make"], cwd=root, capture_output=True, text=True, check=True).stdout

    assert set(re.findall(r"^  ([a-z-]+)", listed, re.MULTILINE)) == set(targets(public))


def test_every_script_a_command_calls_exists(makefile: str, root: Path) -> None:
    called = set(re.findall(r"(?:scripts|bench)/[\w./-]+", makefile))

    assert called
    assert [name for name in sorted(called) if not (root / name).is_file()] == []


def test_every_benchmark_is_run_by_a_command(makefile: str, root: Path) -> None:
    """A figure that no command repeats is a claim; helpers are those that another benchmark names."""
    texts = {path: path.read_text() for path in (root / "bench").rglob("*") if path.suffix in {".py", ".mjs"}}
    commands = makefile + (root / "scripts" / "bench.py").read_text()
    programs = [path for path, text in texts.items() if "__main__" in text or path.suffix == ".mjs"]
    unused = [
        path.relative_to(root).as_posix()
        for path in programs
        if path.relative_to(root).as_posix() not in commands
        and not any(path.name in text for other, text in texts.items() if other != path)
    ]

    assert not unused, f"add to BENCHMARKS in scripts/bench.py: {unused}"


def test_every_make_command_in_a_text_exists(makefile: str, tracked_files: list[Path]) -> None:
    known = targets(makefile)
    for path in tracked_files:
        if path.suffix != ".md":
            continue
        named = set(re.findall(r"`make ([a-z-]+)", path.read_text()))
        named |= set(re.findall(r"^\$? ?make ([a-z-]+)", path.read_text(), re.MULTILINE))
        assert named <= known.keys(), f"{path.name} names commands that do not exist: {named - known.keys()}"
