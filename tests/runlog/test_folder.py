"""Where run logs lie and how they are found again."""

from __future__ import annotations

from pathlib import Path

from epochal.runlog.folder import announce, default_runs_folder, new_run_folder, runs_folders, sessions_of


def test_two_sessions_of_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    first = new_run_folder(tmp_path, "abc", mode="online", now=1_000_000.0)
    second = new_run_folder(tmp_path, "abc", mode="online", now=1_000_000.5)

    assert first != second
    assert sessions_of(tmp_path, "abc") == [first, second]


def test_sessions_are_found_by_the_whole_id(tmp_path: Path) -> None:
    new_run_folder(tmp_path, "a-b", mode="online", now=1.0)
    mine = new_run_folder(tmp_path, "b", mode="offline", now=2.0)

    assert sessions_of(tmp_path, "b") == [mine]
    assert mine.name.startswith("offline-run-")
    assert sessions_of(tmp_path / "missing", "b") == []


def test_an_announced_folder_is_found_and_the_default_one_needs_no_note(tmp_path: Path) -> None:
    elsewhere = tmp_path / "scratch" / "epochal"
    for _ in range(2):
        announce(tmp_path / "home", elsewhere)
        announce(tmp_path / "home", default_runs_folder(tmp_path / "home"))

    assert runs_folders(tmp_path / "home") == [tmp_path / "home" / "runs", elsewhere]
    assert len(list((tmp_path / "home" / "folders").iterdir())) == 1


def test_a_home_that_cannot_be_written_to_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")

    announce(tmp_path / "home", tmp_path / "runs")

    assert runs_folders(tmp_path / "home") == [tmp_path / "home" / "runs"]
