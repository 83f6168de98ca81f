"""A look at a whole data folder, by the library and from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epochal.care.check import Progress, check_folder
from epochal.errors import DataFolderError, UsageError

if TYPE_CHECKING:
    from tests.care.conftest import Folder


def test_a_folder_that_a_server_left_is_sound(folder: Folder) -> None:
    told: list[Progress] = []

    report = check_folder(folder.path, tell=told.append)

    assert report.n_problems == 0, report
    assert [(file.file, file.project) for file in report.files] == [
        ("metadata.db", None),
        ("projects/1.db", "local/p"),
        ("projects/3.db", "local/q"),
    ]
    assert report.n_runs == 3
    assert {progress.file for progress in told} == {"projects/1.db", "projects/3.db"}


def test_a_check_beside_ingest_reports_nothing_that_is_only_being_written(folder: Folder) -> None:
    stop = threading.Event()
    with folder.opened() as (_, _, ingest):

        def log() -> None:
            while not stop.is_set():
                ingest.accept([folder.log("r1", 10), folder.log("r2", 1)])
                stop.wait(0.002)

        logging = threading.Thread(target=log)
        logging.start()
        try:
            for _ in range(5):
                report = check_folder(folder.path)
                assert report.n_problems == 0, report
        finally:
            stop.set()
            logging.join()


@pytest.mark.parametrize(
    ("file", "statement", "said"),
    [
        ("metadata.db", "UPDATE runs SET n_rows = 7 WHERE run_id = 'r2'", "7 rows"),
        ("metadata.db", "UPDATE runs SET last_step = 7 WHERE run_id = 'r2'", "step 7"),
        ("metadata.db", "DELETE FROM runs WHERE run_id = 'r2'", "the metadata does not know it"),
        ("metadata.db", "DELETE FROM runs WHERE run_id = 'r2'", "belongs to nothing"),
        ("metadata.db", "UPDATE writers SET applied_offset = 1000000", "that its history does not have"),
        ("projects/1.db", "UPDATE runs SET run_id = NULL WHERE run_id = 'r2'", "does not have"),
    ],
)
def test_files_that_disagree_are_found(folder: Folder, file: str, statement: str, said: str) -> None:
    folder.sql(statement, file)

    problems = [problem for file in check_folder(folder.path).files for problem in file.problems]

    assert any(said in problem.what for problem in problems), problems


def test_a_missing_file_and_one_of_no_project_are_found(folder: Folder) -> None:
    (folder.path / "projects" / "3.db").rename(folder.path / "projects" / "9.db")

    found = {file.file: [p.kind for p in file.problems] for file in check_folder(folder.path).files}

    assert found == {
        "metadata.db": [],
        "projects/1.db": [],
        "projects/3.db": ["file"],
        "projects/9.db": ["orphan"],
    }


def test_one_project_or_run_is_looked_at_alone(folder: Folder) -> None:
    folder.sql("UPDATE runs SET n_bytes = 1 WHERE run_id = 'r2'")

    assert check_folder(folder.path, project="q").n_problems == 0
    assert check_folder(folder.path, project="local/p").n_problems == 1
    assert check_folder(folder.path, project="p", run="r1").n_problems == 0
    with pytest.raises(UsageError, match="nowhere"):
        check_folder(folder.path, project="nowhere")


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="no data folder"):
        check_folder(tmp_path)


def command(folder: Folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "epochal.cli.main", "store", *arguments, "--data-dir", str(folder.path)]
    environment = os.environ | {"EPOCHAL_HOME": str(folder.path.parent)}
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


def test_the_command_says_that_all_is_sound_or_what_is_not(folder: Folder) -> None:
    sound = command(folder, "check")
    folder.sql("UPDATE runs SET n_bytes = 1 WHERE run_id = 'r2'")
    unsound = command(folder, "check")
    as_json = command(folder, "check", "--json")

    assert (sound.returncode, sound.stderr) == (0, "")
    assert sound.stdout.splitlines()[-1] == "All is sound."
    assert (unsound.returncode, as_json.returncode) == (3, 3)
    assert "run r2: it says that it takes 1 bytes" in unsound.stdout
    assert [f["file"] for f in json.loads(as_json.stdout)["files"] if f["problems"]] == ["projects/1.db"]
