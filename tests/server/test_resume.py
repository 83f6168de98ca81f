"""A run goes on on another machine: what it must know comes from the server, which stops nobody."""

from __future__ import annotations

import functools
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import epochal
from epochal.sdk.process import process
from epochal.sdk.settings import Settings

if TYPE_CHECKING:
    from tests.server.conftest import Sender

Begin = Callable[..., epochal.Run]
Move = Callable[[str], None]

QUIET = Settings(silent=True, x_disable_stats=True)
TRAIN = """
import pathlib, signal, sys, time
import epochal as wandb

checkpoint = pathlib.Path(sys.argv[1])
run = wandb.init(project="demo", settings={"x_disable_stats": True, "silent": True})
todo = []

def warned(*_):
    run.mark_preempting()
    checkpoint.write_text(str(i + 1))
    print("saved", flush=True)

signal.signal(signal.SIGUSR1, warned)
signal.signal(signal.SIGUSR2, lambda *_: todo.append("end"))
i = int(checkpoint.read_text()) - 1 if checkpoint.exists() else -1
assert run.step == i + 1, (run.step, i)
for _ in range(10):
    i += 1
    run.log({"i": i})
print("logged", flush=True)
while not todo:
    time.sleep(0.01)
"""


@pytest.fixture
def run_id(request: pytest.FixtureRequest) -> str:
    """An id of the test's own: the server is the module's."""
    return re.sub(r"\W", "-", request.node.name)[-60:].strip("-")


@pytest.fixture
def begin(run_id: str) -> Begin:
    return functools.partial(epochal.init, project="demo", id=run_id, settings=QUIET)


@pytest.fixture
def on_node(sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Move]:
    """Return a function that makes this process one of another machine, which has no file of the others'."""
    process.settings = Settings()
    monkeypatch.setenv("EPOCHAL_BASE_URL", str(sender.http.base_url).rstrip("/"))
    monkeypatch.setenv("EPOCHAL_API_KEY", sender.http.headers["authorization"].removeprefix("Bearer "))

    def move(name: str) -> None:
        monkeypatch.setenv("EPOCHAL_HOME", str(tmp_path / name))

    move("node0")
    yield move
    for run in reversed(process.live()):
        run.finish(quiet=True)


@pytest.fixture
def silent_address() -> Iterator[str]:
    """Address of something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("resume", ["must", "allow", "auto"])
def test_a_run_goes_on_on_another_machine(sender: Sender, on_node: Move, begin: Begin, resume: str) -> None:
    run = begin(config={"lr": 0.1, "layers": {"n": 2}}, name="first", tags=["a"], notes="n", group="g")
    run.define_metric("loss", summary="min")
    run.define_metric("acc", step_metric="epoch", step_sync=True)
    for step, loss in enumerate((3.0, 1.0, math.nan)):
        run.log({"loss": loss, "epoch": step * 10})
    run.log({"x": {"y": 1}}, step=10)
    run.summary["said"] = "so"
    run.finish(exit_code=1)
    before = run.summary.as_dict()

    on_node("node1")
    run = begin(resume=resume, config={"lr": 0.2})
    run.log({"loss": 0.5, "acc": 1.0})

    assert (run.resumed, run.starting_step) == (True, 11)
    assert (run.name, run.tags, run.notes, run.group) == ("first", ("a",), "n", "g")
    assert run.config.as_dict() == {"lr": 0.2, "layers": {"n": 2}}
    assert before["loss"] == {"min": 1.0}
    assert run.summary.as_dict() == {**before, "loss": {"min": 0.5}, "acc": 1.0}
    run.finish()
    assert sender.rows(run.id, "demo")[-1] == {"_step": 11, "loss": 0.5, "acc": 1.0, "epoch": 20}


def test_sessions_here_and_elsewhere_are_one_run_whoever_has_them(on_node: Move, begin: Begin) -> None:
    """The newest session may be on this machine and not sent yet, and the oldest one on the server only."""
    first = begin(config={"a": 1, "b": 1}, name="one")
    for step in range(5):
        first.log({"loss": float(step)})
    first.finish()
    on_node("node1")
    second = begin(resume="must", config={"b": 2})
    second.log({"loss": 5.0})
    second.finish()
    third = begin(resume="must", config={"c": 3}, mode="offline")  # from this machine's part alone
    third.log({"loss": 6.0, "late": 1})
    third.finish()

    fourth = begin(resume="must")

    assert (fourth.starting_step, fourth.name) == (7, "one")
    assert fourth.config.as_dict() == {"a": 1, "b": 2, "c": 3}
    assert fourth.summary.as_dict() == {"loss": 6.0, "late": 1}


def test_must_says_where_it_looked_for_a_run_that_is_nowhere(
    sender: Sender, on_node: Move, begin: Begin, tmp_path: Path
) -> None:
    with pytest.raises(epochal.UsageError) as caught:
        begin(resume="must")

    assert str(tmp_path / "node0") in str(caught.value)
    assert str(sender.http.base_url).rstrip("/") in str(caught.value)
    assert 'resume="allow"' in str(caught.value)
    with pytest.raises(epochal.UsageError, match="Offline, no server is asked"):
        begin(resume="must", mode="offline")


def test_never_refuses_a_run_of_another_machine(on_node: Move, begin: Begin) -> None:
    begin(resume="never").finish()
    on_node("node1")

    with pytest.raises(epochal.UsageError, match="is on http"):
        begin(resume="never")


def test_an_allowed_run_that_nobody_has_begins_at_step_0(sender: Sender, on_node: Move, begin: Begin) -> None:
    run = begin(resume="allow")
    run.log({"loss": 1.0})
    run.finish()

    assert (run.resumed, run.starting_step) == (False, 0)
    assert sender.rows(run.id, "demo") == [{"_step": 0, "loss": 1.0}]


@pytest.mark.parametrize("resume", ["must", "allow", "never"])
def test_a_server_that_does_not_answer_holds_init_up_for_so_long_and_costs_no_row(
    sender: Sender,
    on_node: Move,
    begin: Begin,
    silent_address: str,
    capsys: pytest.CaptureFixture[str],
    resume: str,
) -> None:
    """Where it cannot be known how far the run was, its rows do not overwrite those that are there."""
    settings = {"x_disable_stats": True, "resume_timeout": 0.3, "finish_timeout": 0.1}
    first = begin()
    for i in range(3):
        first.log({"i": i})
    first.finish()
    on_node("node1")

    began = time.monotonic()
    elsewhere = settings | {"base_url": silent_address}
    run = epochal.init(project="demo", id=first.id, resume=resume, settings=elsewhere)
    waited_s = time.monotonic() - began
    for i in range(3, 6):
        run.log({"i": i})
    run.finish()

    assert waited_s < 10.0
    assert "does not say whether it has the run" in capsys.readouterr().err
    command = [sys.executable, "-m", "epochal.cli.main", "sync", run.sync_dir]
    subprocess.run(command, check=True, capture_output=True)
    rows = [row["i"] for row in sender.rows(first.id, "demo")]
    # `never` promises that the run is new: then its steps are its own.
    assert rows == ([3, 4, 5] if resume == "never" else [0, 1, 2, 3, 4, 5])


def test_a_run_that_is_preempted_and_requeued_elsewhere_is_one_run_with_one_curve(
    sender: Sender, on_node: Move, tmp_path: Path, run_id: str
) -> None:
    """As under Slurm: SIGUSR1 ahead of time, then SIGCONT and SIGTERM, then the same id on another node."""
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    states = []
    for node in ("node0", "node1", "node2"):
        is_last = node == "node2"
        environ = os.environ | {"EPOCHAL_HOME": str(tmp_path / node)}
        environ |= {"WANDB_RUN_ID": run_id, "WANDB_RESUME": "allow"}
        command = [sys.executable, str(script), str(tmp_path / "checkpoint")]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as training:
            assert training.stdout is not None
            assert training.stdout.readline() == b"logged\n"
            states.append(wait_for_state(sender, run_id, "running"))
            if is_last:
                training.send_signal(signal.SIGUSR2)  # the test's word for: go to the end
            else:
                training.send_signal(signal.SIGUSR1)
                assert training.stdout.readline() == b"saved\n"
                training.send_signal(signal.SIGCONT)
                training.send_signal(signal.SIGTERM)
            assert training.wait(60) == (0 if is_last else -signal.SIGTERM)
        states.append(wait_for_state(sender, run_id, "finished" if is_last else "preempted"))

    assert states == ["running", "preempted", "running", "preempted", "running", "finished"]
    assert sender.rows(run_id, "demo") == [{"_step": i, "i": i} for i in range(30)]


def wait_for_state(sender: Sender, run_id: str, wanted: str) -> str:
    deadline = time.monotonic() + 60.0
    query = f'{{ project(entityName: "local", name: "demo") {{ run(name: "{run_id}") {{ state }} }} }}'
    state = ""
    while state != wanted:
        assert time.monotonic() < deadline, f"the run stays {state}, and is not {wanted}"
        said = sender.http.post("/graphql", json={"query": query}).json()
        run = (said["data"]["project"] or {}).get("run") or {}
        state = str(run.get("state", ""))
        time.sleep(0.05)
    return state
