"""What goes into the file that standard output is, whoever writes it, is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import read_all
from epochal.runlog.writer import RunLogWriter
from epochal.sidecar.console_files import ConsoleFile, ConsoleFiles

SCRIPT = """
import ctypes, os, subprocess, sys
print("before")
sys.stdout.flush()
import epochal as wandb
run = wandb.init(project="demo", id="r1", settings={"console": sys.argv[1]})
print("python")
sys.stdout.flush()
os.write(1, b"descriptor\\n")
libc = ctypes.CDLL(None)
libc.printf(b"C\\n")
libc.fflush(None)
subprocess.run(["echo", "program"])
if os.fork() == 0:
    os.write(1, b"child\\n")
    os._exit(0)
os.wait()
print("error", file=sys.stderr)
print("held back")
"""


def printed(home: Path, deadline_s: float = 30.0) -> str:
    """Return the console output of the one run of `home`, once its sidecar has ended."""
    [folder] = (home / "runs").iterdir()
    deadline = time.monotonic() + deadline_s
    while True:
        records: list[Any] = [f.record for path in folder.glob("*.runlog") for f in read_all(path)[0]]
        if any(r[0] == RecordType.EXIT and r[2]["state"] for r in records):
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    records.sort(key=lambda record: record[1])
    return "".join(record[3] for record in records if record[0] == RecordType.CONSOLE)


def run_script(tmp_path: Path, console: str, *, errors: str) -> str:
    out, home = tmp_path / "out.txt", tmp_path / "home"
    env = {**os.environ, "EPOCHAL_HOME": str(home), "EPOCHAL_SILENT": "true"}
    with out.open("ab") as stdout, (tmp_path / errors).open("ab") as stderr:
        subprocess.run(
            [sys.executable, "-c", SCRIPT, console],
            stdout=stdout,
            stderr=stderr,
            env=env,
            check=True,
            timeout=60,
        )
    return printed(home)


def test_everybody_who_writes_to_the_file_of_standard_output_is_recorded_once(tmp_path: Path) -> None:
    got = run_script(tmp_path, "redirect", errors="errors.txt")
    assert sorted(got.splitlines()) == sorted(
        ["python", "descriptor", "C", "program", "child", "error", "held back"]
    )
    assert (tmp_path / "out.txt").read_text().split("\n", 1)[0] == "before"


def test_a_file_that_is_both_streams_is_recorded_once(tmp_path: Path) -> None:
    got = run_script(tmp_path, "redirect", errors="out.txt")
    assert sorted(got.splitlines()) == sorted((tmp_path / "out.txt").read_text().splitlines()[1:])
    assert got.count("error") == 1


def test_without_asking_for_it_only_what_python_prints_is_recorded(tmp_path: Path) -> None:
    assert run_script(tmp_path, "auto", errors="errors.txt") == "python\nerror\nheld back\n"


def followed(path: Path, folder: Path, offset: int = 0) -> ConsoleFiles:
    status = path.stat()
    file: ConsoleFile = ("stdout", str(path), offset, status.st_dev, status.st_ino)
    return ConsoleFiles([file], folder)


def texts(files: ConsoleFiles, max_bytes: int = 1 << 20) -> str:
    found: list[str] = []
    files.advance(lambda stream, text, read_to: found.append(text), max_bytes)
    return "".join(found)


def test_a_character_may_come_in_two_writes_and_a_file_may_be_emptied(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes(b"old")
    files = followed(path, tmp_path, offset=3)
    with path.open("ab") as out:
        out.write("é".encode()[:1])
        out.flush()
        assert texts(files) == ""
        out.write("é".encode()[1:])
    assert texts(files) == "é"
    path.write_bytes(b"new")
    assert texts(files) == "new"
    files.close()


def test_another_file_by_that_name_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes(b"secret")
    status = path.stat()
    files = ConsoleFiles([("stdout", str(path), 0, status.st_dev, status.st_ino + 1)], tmp_path)
    assert texts(files) == ""


def test_a_sidecar_goes_on_where_one_that_was_killed_left_off(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes(b"one\n")
    header = Header(run_id="r", project="p", entity=None, writer="sidecar-1", kind="sidecar", start_time=1.0)
    writer = RunLogWriter(tmp_path / "sidecar-1.runlog", header)

    def write(stream: str, text: str, read_to: Mapping[str, int]) -> None:
        writer.record(RecordType.CONSOLE, stream, text, read_to)

    followed(path, tmp_path).advance(write)
    with path.open("ab") as out:
        out.write(b"two\n")

    assert texts(followed(path, tmp_path)) == "two\n"
