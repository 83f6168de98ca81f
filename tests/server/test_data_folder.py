"""A data folder has one owner, and whoever may not have it is told why."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from epochal.errors import DataFolderError, DataFolderInUseError, NewerDataFolderError
from epochal.server.data_folder import FORMAT, DataFolder, ServerRecord, running_server

RECORD = ServerRecord(pid=os.getpid(), url="http://127.0.0.1:8585", version="0.1.0", started_at=1e9)


def test_a_folder_has_one_owner_at_a_time_and_the_second_one_learns_its_address(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "data")
    first.publish(RECORD)

    with pytest.raises(DataFolderInUseError) as caught:
        DataFolder(tmp_path / "data")
    first.close()
    DataFolder(tmp_path / "data").close()

    assert (caught.value.url, caught.value.pid) == (RECORD.url, RECORD.pid)
    assert RECORD.url in str(caught.value)


def test_the_running_server_is_known_as_long_as_it_runs(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.publish(RECORD)

    assert running_server(tmp_path / "data") == RECORD
    folder.close()
    assert running_server(tmp_path / "data") is None
    assert running_server(tmp_path / "nothing") is None


def test_a_killed_server_leaves_a_folder_that_starts_again(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from epochal.server.data_folder import DataFolder, ServerRecord\n"
        "folder = DataFolder(pathlib.Path(sys.argv[1]))\n"
        "folder.publish(ServerRecord(pid=1, url='http://old', version='', started_at=0.0))\n"
        "print('ready', flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()

    assert running_server(tmp_path / "data") is None
    folder = DataFolder(tmp_path / "data")
    assert not (tmp_path / "data" / "server.json").exists()
    folder.close()


def test_a_new_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "b")
    folder.publish(RECORD)
    folder.close()

    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert (tmp_path / "a" / "b" / "format").read_text() == f"{FORMAT}\n"


def test_a_folder_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("99\n")

    with pytest.raises(NewerDataFolderError, match="newer Epochal"):
        DataFolder(tmp_path)

    assert [p.name for p in tmp_path.iterdir()] == ["format"]


@pytest.mark.parametrize("content", ["", "one", "-1", "\x00"])
def test_a_damaged_format_file_is_named_and_not_guessed_at(tmp_path: Path, content: str) -> None:
    (tmp_path / "format").write_text(content)

    with pytest.raises(DataFolderError, match="should hold a number"):
        DataFolder(tmp_path)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")

    with pytest.raises(DataFolderError, match=r"thesis\.tex"):
        DataFolder(tmp_path)

    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_start_that_was_cut_off_before_the_format_was_written_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "format.new").touch()

    DataFolder(tmp_path).close()


def test_a_path_through_a_file_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(DataFolderError, match="--data-dir"):
            DataFolder(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_called_a_full_disk(tmp_path: Path) -> None:
    # Everything written through this link meets a device that is always full.
    (tmp_path / "format.new").symlink_to("/dev/full")

    with pytest.raises(DataFolderError, match="the disk is full"):
        DataFolder(tmp_path)
