"""What may not be in the repository, whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

# A lock file or a script that names a host installs from there and nowhere else, also where a mirror is
# configured.  In pieces, so that this file passes its own rule.
HOSTS = ["registry." + "npmjs", "registry." + "yarnpkg", "files." + "pythonhosted", "py" + "pi.org"]

MOST_BYTES = 2 * 2**20


def texts(files: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return the files that are text."""
    found = []
    for path in files:
        try:
            found.append((path, path.read_text()))
        except UnicodeDecodeError:
            continue
    return found


def test_no_file_names_the_host_of_a_package_registry(tracked_files: Sequence[Path]) -> None:
    found = [f"{path}: {host}" for path, text in texts(tracked_files) for host in HOSTS if host in text]

    assert not found, (
        "leave the host to the configuration of pip and npm "
        "(npm: omit-lockfile-registry-resolved=true in web/.npmrc): " + "; ".join(found)
    )


def test_no_file_holds_a_path_of_the_machine_it_was_written_on(
    root: Path, tracked_files: Sequence[Path]
) -> None:
    machine_paths = [f"{root}/", f"{Path.home()}/", "/" + "work/main", "/" + "work/shared"]
    # A container's /root is anybody's; only a path that names a person or a checkout gives one away.
    machine_paths.remove(f"{Path.home()}/") if str(Path.home()) == "/root" else None
    found = [f"{path}: {bad}" for path, text in texts(tracked_files) for bad in machine_paths if bad in text]

    assert not found, "write the path relative to the repository: " + "; ".join(found)


def test_no_file_is_large(tracked_files: Sequence[Path]) -> None:
    large = [
        f"{path} ({path.stat().st_size} bytes)" for path in tracked_files if path.stat().st_size > MOST_BYTES
    ]

    assert not large, "a clone carries every version for ever; make it by a script instead: " + "; ".join(
        large
    )


def test_no_test_folder_is_a_package(tracked_files: Sequence[Path], root: Path) -> None:
    """Tests are imported by path: two files may share a name, and no folder shadows a module."""
    packages = [
        path for path in tracked_files if path.name == "__init__.py" and root / "tests" in path.parents
    ]

    assert not packages, f"remove: {packages}"


@pytest.mark.parametrize(
    "name", ["LICENSE", "README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"]
)
def test_the_repository_introduces_itself(root: Path, name: str) -> None:
    assert (root / name).read_text().strip()


def test_a_changelog_fragment_has_a_known_kind_and_a_sentence(root: Path) -> None:
    kinds = {"added", "changed", "fixed", "removed", "breaking"}
    for path in (root / "changes").glob("*"):
        if path.name == "README.md":
            continue
        assert re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(kinds)})\.md", path.name), (
            f"name it <slug>.<kind>.md: {path}"
        )
        assert path.read_text().strip().endswith((".", ".*", ")")), f"write a whole sentence: {path}"
