from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from epochal.sdk import environment
from epochal.sidecar import provenance


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("not run: git is not installed")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("print(1)\n")
    for command in (
        ["init", "-q", "-b", "trunk"],
        ["remote", "add", "origin", "https://me:hunter2@example.org/me/project.git"],
        ["add", "train.py"],
        ["-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_git_tells_commit_branch_and_remote_without_credentials(work_tree: Path) -> None:
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=work_tree, text=True).strip()

    assert provenance.Git().describe(str(work_tree)) == {
        "commit": head,
        "branch": "trunk",
        "remote": "https://example.org/me/project.git",
        "root": str(work_tree),
        "is_dirty": False,
    }


def test_changed_files_make_a_work_tree_dirty_and_untracked_ones_do_not(work_tree: Path) -> None:
    (work_tree / "data.bin").write_text("")
    assert provenance.Git().describe(str(work_tree))["is_dirty"] is False

    (work_tree / "train.py").write_text("print(2)\n")
    assert provenance.Git().describe(str(work_tree))["is_dirty"] is True


def test_a_folder_without_git_has_no_git_facts(tmp_path: Path) -> None:
    assert provenance.Git().describe(str(tmp_path)) == {}


def test_packages_are_named_as_they_are_required() -> None:
    found = provenance.of_packages(sys.path)

    import psutil

    assert f"psutil=={psutil.__version__}" in found
    assert "pytest-timeout" in {line.partition("==")[0] for line in found}


def test_the_first_of_two_installed_versions_is_the_one_that_is_imported(tmp_path: Path) -> None:
    for folder, version in (("one", "2.0"), ("two", "1.0")):
        (tmp_path / folder / f"some_package-{version}.dist-info").mkdir(parents=True)

    assert provenance.of_packages([str(tmp_path / "one"), str(tmp_path / "two")]) == ["some-package==2.0"]


def test_of_the_environment_only_names_on_the_list_are_recorded() -> None:
    facts = environment.facts({"SLURM_JOB_ID": "7", "SECRET": "s", "HF_TOKEN": "t", "RANK": "0"})

    assert provenance.of_trainer(facts)["environment"] == {"SLURM_JOB_ID": "7", "RANK": "0"}


def test_the_command_line_is_recorded_without_its_secrets() -> None:
    recorded = provenance.of_trainer({"pid": 7, "raw_command": ["train.py", "--api-key", "abc"]})

    assert recorded == {"pid": 7, "command": ["train.py", "--api-key", "***"]}


def test_the_machine_is_described() -> None:
    found = provenance.of_machine()

    assert found["host"] == os.uname().nodename
    assert found["cpu_count_logical"] == os.cpu_count()
