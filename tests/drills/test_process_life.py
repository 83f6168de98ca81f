"""However a training process ends, its run says so, its rows are there, and nothing is left running.

Every case is a real process; what its run folder says afterwards is what is checked.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from epochal.runlog.format import RecordType

# The drills' fixture; a Training is described in this folder's conftest.
Start = Callable[..., Any]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not run: reads /proc")

BEGIN = """
import atexit, os, signal, sys, threading, time
import epochal as wandb
run = wandb.init(project="drill")
wandb.log({"loss": 1.0})
"""
# Before the first run, whose own words are looked at already.
OFTEN_CHECKED = "from epochal.sdk import sidecar_process; sidecar_process.CHECK_EVERY_S = 0.0"
SLEEP = (
    BEGIN
    + """
print("ready", flush=True)
time.sleep(600)
"""
)


@pytest.mark.parametrize(
    ("body", "code", "state", "recorded", "signal_number"),
    [
        ("", 0, "finished", 0, None),
        ("wandb.finish()", 0, "finished", 0, None),
        ("wandb.finish(exit_code=7)", 0, "failed", 7, None),
        ("raise ValueError('bad batch')", 1, "failed", 1, None),
        ("sys.excepthook = lambda *_: None\nraise ValueError('bad batch')", 1, "failed", 1, None),
        ("sys.exit(3)", 3, "failed", 3, None),
        ("sys.exit(0)", 0, "finished", 0, None),
        ("sys.exit('went wrong')", 1, "failed", 1, None),
        ("raise SystemExit(4)", 4, "failed", 4, None),
        ("try: sys.exit(3)\nexcept SystemExit: pass", 0, "finished", 0, None),
        ("atexit.register(wandb.finish)\nraise SystemExit(4)", 4, "failed", 4, None),
        ("atexit.register(lambda: wandb.finish(exit_code=7))", 0, "failed", 7, None),
        ("os._exit(0)", 0, "finished", 0, None),
        ("os._exit(5)", 5, "failed", 5, None),
        ("os.abort()", -6, "crashed", None, 6),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -11, "crashed", None, 11),
        ("run.mark_preempting(); os.kill(os.getpid(), signal.SIGTERM)", -15, "preempted", None, 15),
        ("run.mark_preempting(); sys.exit(1)", 1, "preempted", 1, None),
        ("run.mark_preempting()", 0, "finished", 0, None),
    ],
)  # fmt: skip
def test_a_run_s_state_is_how_its_process_ended(
    train: Start, body: str, code: int, state: str, recorded: int | None, signal_number: int | None
) -> None:
    training = train(BEGIN + body)

    assert training.wait() == code
    end = training.folder().end()
    assert (end["state"], end["exit_code"], end["signal"]) == (state, recorded, signal_number)
    assert training.folder().values("loss") == [1.0]


def test_an_uncaught_exception_is_recorded_with_its_traceback(train: Start) -> None:
    training = train(BEGIN + "def step():\n    raise ValueError('bad batch')\nstep()")

    training.wait()
    traceback = training.folder().end()["traceback"]
    assert traceback.endswith("ValueError: bad batch\n")
    assert "in step" in traceback
    assert "ValueError: bad batch" in training.errors, "the user sees it as ever"


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (signal.SIGTERM, "killed"),
        (signal.SIGHUP, "killed"),
        (signal.SIGKILL, "killed"),
        (signal.SIGQUIT, "killed"),
        (signal.SIGUSR1, "killed"),
        (signal.SIGXCPU, "killed"),
        (signal.SIGSEGV, "crashed"),
        (signal.SIGBUS, "crashed"),
    ],
)
def test_a_signal_is_recorded_and_the_rows_survive(train: Start, number: signal.Signals, state: str) -> None:
    training = train(SLEEP)
    training.read_line()

    training.process.send_signal(number)

    assert training.wait() == -number
    end = training.folder().end()
    assert (end["state"], end["signal"]) == (state, number)
    assert number.name in end["reason"]
    assert training.folder().values("loss") == [1.0]


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_is_a_failure_with_code_255(train: Start, times: int) -> None:
    # Ready only inside the try: the signal may come while that is still being printed.  The second one comes
    # while the program cleans up after the first.
    script = BEGIN + "try:\n    print('ready', flush=True)\n    time.sleep(600)\n"
    script += "finally:\n    print('cleaning', flush=True)\n"
    script += "    time.sleep(600)\n" if times == 2 else ""
    training = train(script)
    training.read_line()

    training.process.send_signal(signal.SIGINT)
    if times == 2:
        training.read_line()
        training.process.send_signal(signal.SIGINT)

    assert training.wait() == -signal.SIGINT
    end = training.folder().end()
    assert (end["state"], end["exit_code"]) == ("failed", 255)
    assert "KeyboardInterrupt" in end["traceback"]


def test_the_program_s_own_signal_handler_runs_as_ever(train: Start) -> None:
    script = (
        BEGIN
        + """
def on_term(number, frame):
    wandb.log({"loss": 2.0})
    sys.exit(0)
signal.signal(signal.SIGTERM, on_term)
print("ready", flush=True)
time.sleep(600)
"""
    )
    training = train(script)
    training.read_line()
    training.process.terminate()

    assert training.wait() == 0
    assert training.folder().end()["state"] == "finished"
    assert training.folder().values("loss") == [1.0, 2.0]


def test_a_kill_of_the_whole_process_group_is_recorded(train: Start) -> None:
    training = train(SLEEP)
    training.read_line()
    training.sidecar()

    os.killpg(training.process.pid, signal.SIGKILL)

    assert training.wait() == -signal.SIGKILL
    assert training.folder().end()["state"] == "killed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_scheduler_that_signals_every_process_of_the_job_does_not_end_the_sidecar(
    train: Start, number: signal.Signals
) -> None:
    training = train(SLEEP)
    training.read_line()
    sidecar = training.sidecar()

    # As scancel does: first the helpers, some time before the training itself.
    sidecar.send_signal(number)
    time.sleep(0.2)
    assert sidecar.is_running()
    training.process.kill()

    training.wait()
    assert training.folder().end()["state"] == "killed"


def test_a_sidecar_that_was_killed_comes_back_and_the_end_is_right(train: Start) -> None:
    script = (
        BEGIN
        + """
print("ready", flush=True)
sys.stdin.readline()
print("still training", flush=True)
sys.stdin.readline()
os._exit(5)
"""
    )
    training = train(OFTEN_CHECKED + script)
    training.read_line()
    first = training.sidecar()
    first.kill()
    first.wait()

    training.tell("go on")
    training.read_line()
    second = training.next_sidecar(first)
    training.tell("end")

    assert training.wait() == 5
    assert second.pid != first.pid
    end = training.folder().end()
    assert (end["state"], end["exit_code"]) == ("failed", 5)


@pytest.mark.parametrize("disposition", ["SIG_DFL", "SIG_IGN"])
def test_a_killed_sidecar_never_kills_the_training_by_a_broken_pipe(train: Start, disposition: str) -> None:
    script = (
        f"""
import signal
signal.signal(signal.SIGPIPE, signal.{disposition})
"""
        + BEGIN
        + """
print("ready", flush=True)
sys.stdin.readline()
for _ in range(3):
    wandb.log({"loss": 2.0})
wandb.finish()
"""
    )
    training = train(script)
    training.read_line()
    sidecar = training.sidecar()
    sidecar.kill()
    sidecar.wait()
    training.tell("go on")

    assert training.wait() == 0
    assert training.folder().end()["state"] == "finished"
    assert training.folder().values("loss") == [1.0, 2.0, 2.0, 2.0]


def test_the_sidecar_is_nobody_s_child_and_holds_nothing_of_the_job(train: Start) -> None:
    """A launcher that waits for all its children, or reads a pipe to its end, must not wait for ours."""
    script = (
        """
import os
reading, writing = os.pipe()
os.set_inheritable(writing, True)  # As C libraries do.
"""
        + BEGIN
        + """
try:
    os.wait()
except ChildProcessError:
    print("no children", flush=True)
os.close(writing)
print("end of pipe", os.read(reading, 1), flush=True)
sys.stdin.readline()
"""
    )
    training = train(script)

    assert training.read_line() == "no children"
    sidecar = training.sidecar()
    assert training.read_line() == "end of pipe b''"
    assert os.getsid(sidecar.pid) != os.getsid(training.process.pid)
    assert sidecar.cwd() == "/"
    training.tell("end")
    assert training.wait() == 0


def test_a_program_that_becomes_a_daemon_gets_nothing_of_ours_into_its_own_connections(train: Start) -> None:
    """It closes every descriptor it finds; the sidecar's number may be a connection by the time we look."""
    script = (
        BEGIN
        + """
import socket
fds = os.listdir("/proc/self/fd")
ours = [int(fd) for fd in fds if "socket" in os.path.realpath(f"/proc/self/fd/{fd}")]
here, there = socket.socketpair()
for fd in ours:
    os.dup2(there.fileno(), fd)
print("checked", flush=True)
wandb.finish()
here.setblocking(False)
try:
    sys.exit(f"we wrote {here.recv(100)!r} to a connection of the program")
except BlockingIOError:
    sys.exit(0 if ours else "there was no socket")
"""
    )
    training = train(OFTEN_CHECKED + script)

    assert training.wait() == 0, training.errors
    assert training.folder().end()["state"] == "finished"


def test_rows_logged_while_the_interpreter_shuts_down_are_kept(train: Start) -> None:
    script = (
        BEGIN
        + """
class Model:
    def __del__(self):
        wandb.log({"loss": 3.0})
model = Model()
def late():
    global model
    wandb.log({"loss": 2.0})
    model = None
atexit.register(late)
"""
    )
    training = train(script)

    assert training.wait() == 0
    assert training.folder().values("loss") == [1.0, 2.0, 3.0]
    assert training.folder().end()["state"] == "finished"


def test_threads_that_outlive_the_main_thread_still_log(train: Start) -> None:
    script = (
        BEGIN
        + """
def work(n):
    time.sleep(0.1)
    for i in range(200):
        wandb.log({"loss": n})
for n in range(4):
    threading.Thread(target=work, args=(float(n),)).start()
"""
    )
    training = train(script)

    assert training.wait() == 0
    values = training.folder().values("loss")
    assert sorted(values) == sorted([1.0] + [float(n) for n in range(4) for _ in range(200)])


def test_two_runs_of_one_process_end_each_as_it_did(train: Start) -> None:
    script = """
import os
import epochal as wandb
first = wandb.init(project="drill", id="first", reinit="create_new")
second = wandb.init(project="drill", id="second", reinit="create_new")
first.finish()
os._exit(9)
"""
    training = train(script)
    training.wait()

    states = {f.path.name.rpartition("-")[2]: f.end()["state"] for f in training.folders()}
    assert states == {"first": "finished", "second": "failed"}


def test_a_loop_over_many_runs_has_one_sidecar(train: Start) -> None:
    script = """
import os, sys
import epochal as wandb
for i in range(20):
    with wandb.init(project="drill") as run:
        run.log({"loss": float(i)})
print(len(os.listdir("/proc/self/fd")), flush=True)
sys.stdin.readline()
"""
    training = train(script)
    n_open = int(training.read_line())
    assert len(training.sidecars()) <= 1
    training.tell("end")

    assert training.wait() == 0
    assert n_open <= 8
    assert [f.end()["state"] for f in training.folders()] == ["finished"] * 20


def test_what_the_program_prints_is_in_the_run_and_on_the_screen(train: Start) -> None:
    training = train(BEGIN + "for i in range(3): print('epoch', i, end='\\r')\nprint('done')")

    assert training.wait() == 0
    text = "epoch 0\repoch 1\repoch 2\rdone\n"
    assert training.folder().console() == text
    assert text.replace("\r", "\n") in training.output  # as a pipe in text mode gives it


def test_the_run_knows_where_it_came_from(train: Start) -> None:
    training = train(BEGIN)
    training.wait()
    training.folder().end()

    metadata = training.folder().metadata()
    assert metadata["program"].endswith("train.py")
    assert metadata["host"] == os.uname().nodename
    assert metadata["pid"] == training.process.pid
    assert any(package.startswith("msgspec==") for package in metadata["packages"])


def test_system_metrics_come_at_once_and_at_the_interval_that_was_asked_for(train: Start) -> None:
    script = """
import sys
import epochal as wandb
wandb.init(project="drill", settings=wandb.Settings(_stats_sample_rate_seconds=0.1))
sys.stdin.readline()
"""
    training = train(script)
    deadline = time.monotonic() + 30
    samples: list[Any] = []
    while len(samples) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
        if any(training.home.glob("runs/*/sidecar-*.runlog")):
            samples = training.folder().records(RecordType.SYSTEM, of_sidecar=True)
    training.tell("end")
    training.wait()

    assert len(samples) >= 5
    assert all(sample[2]["proc.memory.rssMB"] > 0 for sample in samples)


def test_a_process_that_replaces_itself_by_another_program_is_watched_to_its_end(train: Start) -> None:
    training = train(BEGIN + "os.execv(sys.executable, [sys.executable, '-c', 'import sys; sys.exit(6)'])")

    assert training.wait() == 6
    end = training.folder().end()
    assert (end["state"], end["exit_code"]) == ("failed", 6)
