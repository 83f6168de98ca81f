"""Telling the sidecar: never a wait, never an exception, whatever became of it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from epochal.sdk import sidecar_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not run: reads /proc")

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
import psutil
from epochal.runlog.format import Header
from epochal.runlog.writer import RunLogWriter
from epochal.sdk import sidecar_process

def new_run(name):
    folder = Path(name)
    folder.mkdir()
    header = Header(run_id=name, project="p", entity=None, writer="w1", kind="primary", start_time=1.0)
    RunLogWriter(folder / "w1.runlog", header).close()
    return folder

def sidecars():
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if words[1:2] == ["-I"] and str(os.getpid()) in words and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            pass
    return found

def wait_for_one():
    while not (found := sidecars()):
        time.sleep(0.01)
    return found[0]
"""


def run(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = PRELUDE + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=100
    )


def test_a_sidecar_that_does_not_read_never_holds_the_training_up(tmp_path: Path) -> None:
    done = run(
        """
        first = new_run("first")
        sidecar_process.attach(first, {})
        sidecar = wait_for_one()
        sidecar.send_signal(signal.SIGSTOP)
        for i in range(3000):  # far more than the socket holds
            sidecar_process.attach(first, {"note": "x" * 1000})
        sidecar.kill()
        print("went on")
        """,
        tmp_path,
    )

    assert done.stdout == "went on\n", done.stderr


def test_a_machine_that_kills_every_sidecar_is_not_asked_for_ever(tmp_path: Path) -> None:
    done = run(
        """
        folder = new_run("first")
        for _ in range(20):
            sidecar_process.attach(folder, {})
            for process in sidecars():
                process.kill()
                process.wait()
        print(len(sidecars()), len(sidecar_process._link.starts))
        """,
        tmp_path,
    )

    assert done.stdout == f"0 {sidecar_process.MAX_STARTS_PER_MINUTE}\n", done.stderr


def test_inside_a_program_that_embeds_python_there_is_no_sidecar_and_no_error(tmp_path: Path) -> None:
    done = run(
        """
        sys.frozen, sys.base_exec_prefix = True, "/nowhere"
        folder = new_run("first")
        sidecar_process.attach(folder, {})
        sidecar_process.detach(folder)
        print(len(sidecars()))
        """,
        tmp_path,
    )

    assert done.stdout == "0\n", done.stderr


def test_modules_of_the_user_s_folder_do_not_reach_the_sidecar(tmp_path: Path) -> None:
    for name in ("signal", "select", "socket", "psutil", "msgspec", "platform", "resource"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')\nraise SystemExit('from the user')\n")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    script = textwrap.dedent(
        """
        import os, sys
        sys.path.remove(os.path.dirname(os.path.abspath(sys.argv[0])))
        """
    )
    (tmp_path / "train.py").write_text(script + PRELUDE + textwrap.dedent(
        """
        os.chdir(sys.argv[1])
        sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
        folder = new_run("first")
        sidecar_process.attach(folder, {})
        while not list(folder.glob("sidecar-*.runlog")):
            time.sleep(0.01)
        """
    ))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "../train.py", str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "nothing")},
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("imported"))
