"""`init`: what a run is, where it is kept, and what happens to another one."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.runlog.folder import runs_folders
from epochal.runlog.format import RecordType
from epochal.runlog.reader import RunLogReader
from epochal.sdk import footer, previous
from epochal.sdk.session import runs_folder
from epochal.sdk.settings import Settings

Records = Callable[[epochal.Run, RecordType], list[list[Any]]]
Rows = Callable[[epochal.Run], dict[int, dict[str, Any]]]


def header_of(run: epochal.Run) -> Any:
    path = next(p for p in Path(run.sync_dir).glob("*.runlog") if not p.name.startswith("sidecar-"))
    with RunLogReader(path) as reader:
        return reader.header


def test_a_run_is_what_was_asked_for(records: Records) -> None:
    run = epochal.init(
        entity="team",
        project="demo",
        id="abc",
        name="first",
        notes="n",
        tags=["a", "b"],
        group="g",
        job_type="train",
    )

    assert (run.path, run.name, run.notes, run.tags) == ("team/demo/abc", "first", "n", ("a", "b"))
    assert (run.group, run.job_type, run.mode, run.resumed, run.step) == ("g", "train", "online", False, 0)
    expected = {"name": "first", "notes": "n", "tags": ["a", "b"], "group": "g", "job_type": "train"}
    assert records(run, RecordType.ATTRIBUTES)[0][2] == expected
    header = header_of(run)
    assert (header.run_id, header.project, header.entity, header.kind) == ("abc", "demo", "team", "primary")


def test_what_is_not_asked_for_has_a_default(epochal_home: Path) -> None:
    run = epochal.init()

    assert (run.project, run.entity) == ("uncategorized", "local")
    assert len(run.id) == 8
    assert len(run.name.split("-")) == 3
    assert Path(run.sync_dir).parent == epochal_home / "runs"
    assert Path(run.dir) == Path(run.sync_dir) / "files"


def test_default_names_count_the_runs_of_a_project() -> None:
    numbers = []
    for project in ("a", "a", "b", "a"):
        numbers.append(epochal.init(project=project).name.rpartition("-")[2])
        epochal.finish()

    assert numbers == ["1", "2", "1", "3"]


def test_dir_gets_a_folder_that_the_local_server_is_told_of(tmp_path: Path, epochal_home: Path) -> None:
    run = epochal.init(dir=tmp_path / "here")

    assert Path(run.sync_dir).parent == tmp_path / "here" / "epochal"
    assert tmp_path / "here" / "epochal" in runs_folders(epochal_home)


def test_a_folder_that_cannot_be_written_to_is_replaced_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    run = epochal.init(dir=tmp_path / "file" / "below")
    run.log({"a": 1})

    assert rows(run) == {0: {"a": 1}}
    assert "cannot be written to" in capsys.readouterr().err


def test_no_folder_at_all_costs_the_record_and_not_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "epochal").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    run = epochal.init(dir=tmp_path / "file" / "below")
    run.log({"a": 1})

    assert run.summary["a"] == 1
    assert "nothing is recorded" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        {"project": "a/b"},
        {"project": "x" * 129},
        {"id": "a:b"},
        {"id": " a"},
        {"tags": [""]},
        {"tags": ["x" * 65]},
        {"mode": "sometimes"},
        {"resume": "perhaps"},
        {"reinit": "maybe"},
        {"resume": "must"},
        {"tags": 5},
        {"settings": 5},
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_and_leaves_no_run(arguments: dict[str, Any]) -> None:
    with pytest.raises(epochal.UsageError):
        epochal.init(**arguments)

    assert epochal.run is None


def test_unknown_arguments_and_old_ones_are_accepted_with_one_notice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        epochal.init(magic=True, anonymous="allow", save_code=True, fork_from="a?_step=1")
        epochal.finish()

    shown = capsys.readouterr().err
    assert [shown.count(name) for name in ("argument magic", "anonymous", "save_code", "fork_from")] == [
        1,
        1,
        1,
        1,
    ]


def test_a_text_is_one_tag_and_tags_may_be_added_later(
    capsys: pytest.CaptureFixture[str], records: Records
) -> None:
    run = epochal.init(tags="abc")
    run.tags += ("x", "abc", "")

    assert run.tags == ("abc", "x")
    assert "tag '' is left out" in capsys.readouterr().err
    assert records(run, RecordType.ATTRIBUTES)[-1][2] == {"tags": ["abc", "x"]}


def test_name_and_notes_may_be_changed(run: epochal.Run, records: Records) -> None:
    run.name, run.notes = "new", "better"

    assert (run.name, run.notes) == ("new", "better")
    assert [r[2] for r in records(run, RecordType.ATTRIBUTES)[-2:]] == [{"name": "new"}, {"notes": "better"}]


@pytest.mark.parametrize(
    ("asked", "mode"), [("dryrun", "offline"), ("run", "online"), ("offline", "offline")]
)
def test_old_names_of_modes_are_known(asked: str, mode: str) -> None:
    run = epochal.init(mode=asked)

    assert run.mode == mode
    assert Path(run.sync_dir).name.startswith("offline-run-" if mode == "offline" else "run-")


def test_a_disabled_run_leaves_nothing_and_answers_everything(epochal_home: Path, tmp_path: Path) -> None:
    run = epochal.init(mode="disabled", config={"lr": 0.1})
    run.log({"a": 1, "image": epochal.Image(_pixels())})
    run.define_metric("a")
    run.save("*.txt")
    run.config.x = 2

    assert (run.disabled, run.url, run.summary["a"], run.config.lr) == (True, None, 1, 0.1)
    run.finish()
    assert not (epochal_home / "runs").exists()


def test_finish_twice_is_harmless_and_records_the_end_once(run: epochal.Run, records: Records) -> None:
    run.finish(exit_code=7)
    run.finish()

    assert [r[2]["exit_code"] for r in records(run, RecordType.EXIT)] == [7]
    assert epochal.run is None


@pytest.mark.parametrize(
    ("error", "code", "has_traceback"),
    [
        (None, 0, False),
        (ValueError("x"), 1, True),
        (KeyboardInterrupt(), 255, True),
        (SystemExit(0), 0, False),
    ],
)
def test_a_with_block_records_how_it_ended(
    error: BaseException | None, code: int, has_traceback: bool, records: Records
) -> None:
    run = epochal.init()
    with contextlib.suppress(ValueError, KeyboardInterrupt, SystemExit), run:
        if error is not None:
            raise error

    end = records(run, RecordType.EXIT)[0][2]
    assert (end["exit_code"], end["traceback"] is not None) == (code, has_traceback)


class TestAnotherRun:
    """`reinit`."""

    def test_a_script_gets_the_run_that_is_live(self) -> None:
        first = epochal.init(config={"a": 1})

        assert epochal.init(config={"b": 2}) is first
        assert first.config.as_dict() == {"a": 1, "b": 2}

    @pytest.mark.parametrize("reinit", [True, "finish_previous"])
    def test_finish_previous_ends_the_live_one(self, reinit: Any, records: Records) -> None:
        first = epochal.init()
        second = epochal.init(reinit=reinit)

        assert second is not first
        assert epochal.run is second
        assert len(records(first, RecordType.EXIT)) == 1

    @pytest.mark.parametrize("reinit", [False, "return_previous"])
    def test_return_previous_gives_the_live_one(self, reinit: Any) -> None:
        first = epochal.init()

        assert epochal.init(reinit=reinit) is first

    def test_create_new_leaves_the_module_level_names_alone(self, rows: Rows) -> None:
        first = epochal.init()
        second = epochal.init(reinit="create_new")
        second.log({"b": 2})
        epochal.log({"a": 1})
        second.finish()

        assert epochal.run is first
        assert (rows(first), rows(second)) == ({0: {"a": 1}}, {0: {"b": 2}})


class TestResume:
    """`resume`: what it means that an id exists."""

    def begin(self, **more: Any) -> epochal.Run:
        run = epochal.init(project="demo", id="r1", config={"lr": 0.1}, name="first", tags=["a"])
        run.define_metric("loss", summary="min")
        for loss in (3.0, 1.0, 2.0):
            run.log({"loss": loss})
        run.log({"x": 1}, step=10)
        run.finish(**more)
        return run

    @pytest.mark.parametrize("resume", ["must", "allow"])
    def test_it_goes_on_where_the_run_ended(self, resume: str, rows: Rows) -> None:
        before = self.begin()

        run = epochal.init(project="demo", id="r1", resume=resume, config={"lr": 0.2, "new": 1})
        run.log({"loss": 5.0})

        assert (run.resumed, run.starting_step, run.step, run.name, run.tags) == (
            True,
            11,
            12,
            "first",
            ("a",),
        )
        assert run.config.as_dict() == {"lr": 0.2, "new": 1}
        assert run.summary.as_dict() == {"loss": {"min": 1.0}, "x": 1}
        assert run.sync_dir != before.sync_dir
        assert rows(run) == {11: {"loss": 5.0}}
        assert (header_of(run).resumed, header_of(run).start_step) == (True, 11)

    def test_rows_of_earlier_steps_are_kept(self, rows: Rows) -> None:
        self.begin()
        run = epochal.init(project="demo", id="r1", resume="must")
        run.log({"loss": 9.0}, step=1)

        assert rows(run) == {1: {"loss": 9.0}}

    def test_tags_are_replaced(self) -> None:
        self.begin()

        assert epochal.init(project="demo", id="r1", resume="must", tags=["b"]).tags == ("b",)

    def test_must_needs_the_run(self) -> None:
        with pytest.raises(epochal.UsageError, match="there is no run r1"):
            epochal.init(project="demo", id="r1", resume="must")

    def test_allow_begins_a_run_that_is_not_there(self) -> None:
        run = epochal.init(project="demo", id="r1", resume="allow")

        assert (run.id, run.resumed, run.step) == ("r1", False, 0)

    def test_never_refuses_a_run_that_is_there(self) -> None:
        assert epochal.init(project="demo", id="r0", resume="never").id == "r0"
        epochal.finish()
        self.begin()

        with pytest.raises(epochal.UsageError, match="already"):
            epochal.init(project="demo", id="r1", resume="never")

    def test_without_resume_the_steps_begin_anew_and_it_says_so(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.begin()
        assert "already" not in capsys.readouterr().err

        run = epochal.init(project="demo", id="r1")
        assert (run.resumed, run.step, len(run.config)) == (False, 0, 0)
        assert "The run r1 of the project demo is in" in capsys.readouterr().err

    def test_an_id_of_another_project_is_another_run(self) -> None:
        self.begin()

        with pytest.raises(epochal.UsageError):
            epochal.init(project="other", id="r1", resume="must")

    @pytest.mark.parametrize("resume", ["auto", True])
    def test_auto_goes_on_with_a_run_that_did_not_end_well(self, resume: Any) -> None:
        first = epochal.init(project="demo", resume=resume)
        first.log({"a": 1})
        first.finish(exit_code=1)
        second = epochal.init(project="demo", resume=resume)
        assert (second.id, second.resumed, second.step) == (first.id, True, 1)

        second.finish(exit_code=0)
        assert epochal.init(project="demo", resume=resume).id != first.id

    def test_auto_leaves_a_run_alone_that_another_process_trains(self) -> None:
        """Two jobs in one folder, say on two GPUs: neither crashed."""
        source = (
            "import epochal; run = epochal.init(project='demo', resume='auto'); print(run.id, flush=True); "
            "input(); import os; os._exit(1)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            other_id = other.stdout.readline().strip()
            assert previous.remembered(runs_folder(Settings()), "demo") is None
            other.stdin.write("\n")
            other.stdin.flush()
            other.wait(30)
        run = epochal.init(project="demo", resume="auto")

        assert (run.id, run.resumed) == (other_id, True)


def test_a_run_is_pickled_and_copied_by_its_id(run: epochal.Run) -> None:
    assert pickle.loads(pickle.dumps(run)) is run
    assert copy.deepcopy({"run": run})["run"] is run
    assert copy.copy(run) is run


def test_shared_writers_number_their_rows_and_leave_the_end_to_the_primary(records: Records) -> None:
    shared = epochal.Settings(x_label="rank1", x_primary=False, x_update_finish_state=False)
    run = epochal.init(mode="shared", id="job", settings=shared)
    run.log({"a": 1}, commit=False)
    run.log({"b": 2})
    run.log({"c": 3})
    run.log({"d": 4}, step=7)
    run.finish()

    assert [r[2:] for r in records(run, RecordType.UNPLACED_ROW)] == [
        [0, {"a": 1}],
        [0, {"b": 2}],
        [1, {"c": 3}],
    ]
    assert [r[2:] for r in records(run, RecordType.ROW)] == [[7, {"d": 4}]]
    assert records(run, RecordType.EXIT) == []
    assert (header_of(run).kind, header_of(run).label) == ("secondary", "rank1")


def test_the_address_of_a_running_server_is_the_runs_address(epochal_home: Path) -> None:
    (epochal_home / "server").mkdir(parents=True)
    note = f'{{"pid": {os.getpid()}, "url": "http://127.0.0.1:8585/"}}'
    (epochal_home / "server" / "server.json").write_text(note)

    run = epochal.init(project="demo", id="r1")

    assert run.url == "http://127.0.0.1:8585/local/demo/runs/r1"
    assert run.get_project_url() == "http://127.0.0.1:8585/local/demo"
    run.finish()
    assert epochal.init(mode="offline").url is None


def test_a_server_that_is_gone_gives_no_address(epochal_home: Path, run: epochal.Run) -> None:
    (epochal_home / "server").mkdir(parents=True)
    (epochal_home / "server" / "server.json").write_text('{"pid": 999999999, "url": "http://127.0.0.1:1"}')

    assert run.url is None


def test_the_footer_shows_curves_and_summary(run: epochal.Run, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(100):
        run.log({"loss": 1 / (i + 1), "name": "x"})
    run.finish()

    shown = capsys.readouterr().err
    assert "loss █▃▂▂▁" in shown
    assert "loss 0.01" in shown
    assert "\033" not in shown


def test_the_footer_leaves_out_what_would_take_long_to_read(capsys: pytest.CaptureFixture[str]) -> None:
    wide = epochal.init(id="wide")
    for i in range(2):
        wide.log({f"k{j}": i for j in range(footer.MAX_METRICS_READ + 1)})
    wide.finish()
    first = epochal.init(id="long")
    first.log({"text": "x" * (footer.MAX_BYTES_READ + 1)})
    first.finish()
    resumed = epochal.init(id="long", resume="must")
    resumed.log({"loss": 1})
    resumed.finish()

    shown = capsys.readouterr().err
    assert shown.count("is finished.") == 3
    assert "Summary:" not in shown
    assert "History:" not in shown


@pytest.mark.parametrize("settings", [{"quiet": True}, {"silent": True}])
def test_quiet_runs_print_nothing(settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run = epochal.init(settings=settings)
    run.log({"a": 1})
    run.finish()

    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_saved_files_are_in_the_runs_folder(run: epochal.Run, records: Records) -> None:
    Path("out").mkdir()
    Path("out/a.txt").write_text("a")
    Path("b.txt").write_text("b")

    saved = run.save("**/*.txt") + run.save("b.txt", policy="now")

    assert {Path(p).read_text() for p in saved} == {"a", "b"}
    assert [r[2] for r in records(run, RecordType.FILE)] == ["b.txt", "out/a.txt", "b.txt"]
    Path("out/a.txt").write_text("later")
    assert (Path(run.dir) / "out" / "a.txt").read_text() == "later"


def _pixels() -> Any:
    return pytest.importorskip("numpy").zeros((2, 2, 3), dtype="uint8")
