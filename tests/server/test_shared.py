"""Many writers of one run, from many processes and machines: nothing of anybody is lost or mixed up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.server.conftest import Sender

WRITER = """
import sys
import epochal as wandb

label, primary, code = sys.argv[1], sys.argv[2] == "primary", int(sys.argv[3])
settings = wandb.Settings(
    mode="shared", x_label=label, x_primary=primary, x_stats_sampling_interval=0.1, silent=True
)
run = wandb.init(project="demo", id=sys.argv[4], name="many", config={label: 1}, settings=settings)
print("hello from", label)
run.log({"who": label})
sys.stdin.readline()
run.finish(exit_code=code)
"""
# Its writers join and leave all the time; what it says on its standard output was logged.
MANY = """
import os, random, signal, sys
import epochal as wandb

run_id, first, n_writers, n_rows, seed, dies_after = sys.argv[1], *map(int, sys.argv[2:])
n_left = dies_after or -1
chance = random.Random(seed)
waiting = list(range(first, first + n_writers))
live = {}

def join(number):
    settings = wandb.Settings(
        mode="shared", x_label=f"rank_{number}", x_primary=False, console="off", x_disable_stats=True,
        silent=True, finish_timeout=60, finish_total_timeout=90,
    )
    run = wandb.init(project="demo", id=run_id, reinit="create_new", settings=settings)
    live[number] = [run, 0]

while waiting or live:
    if waiting and (not live or chance.random() < 0.2):
        join(waiting.pop())
    number = chance.choice(list(live))
    run, n_logged = live[number]
    if n_logged == n_rows:
        run.finish()
        del live[number]
        continue
    run.log({"row": number * 1000 + n_logged})
    n_left -= 1
    if n_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    print(number * 1000 + n_logged, flush=True)
    live[number][1] += 1
"""


def environ_of(sender: Sender, home: Path, *, is_sent: bool = True) -> dict[str, str]:
    """Return the variables of a machine with a home of its own."""
    environ = os.environ | {"EPOCHAL_HOME": str(home)}
    if is_sent:
        environ["EPOCHAL_BASE_URL"] = str(sender.http.base_url).rstrip("/")
    return environ | {"EPOCHAL_API_KEY": sender.http.headers["authorization"].removeprefix("Bearer ")}


def start(script: str, environ: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def sync(environ: dict[str, str], sender: Sender) -> None:
    environ = environ | {"EPOCHAL_BASE_URL": str(sender.http.base_url).rstrip("/")}
    command = [sys.executable, "-m", "epochal.cli.main", "sync"]
    subprocess.run(command, env=environ, check=True, capture_output=True)


def run_of(sender: Sender, run_id: str) -> dict[str, Any]:
    query = f'{{ project(entityName: "local", name: "demo") {{ run(name: "{run_id}") {{ state }} }} }}'
    said = sender.http.post("/graphql", json={"query": query}).json()
    found: dict[str, Any] = (said["data"]["project"] or {}).get("run") or {}
    return found


def wait_for_state(sender: Sender, run_id: str, wanted: str) -> None:
    deadline = time.monotonic() + 60.0
    while (state := run_of(sender, run_id).get("state")) != wanted:
        assert time.monotonic() < deadline, f"the run stays {state}, and is not {wanted}"
        time.sleep(0.05)


def lines(sender: Sender, run_id: str, **asked: str) -> list[dict[str, Any]]:
    parameters = {"entity": "local", "project": "demo", "run": run_id, **asked}
    answer = sender.http.get("/api/console", params=parameters)
    found: list[dict[str, Any]] = answer.json()["lines"] if answer.status_code == 200 else []
    return found


def system_points(sender: Sender, run_id: str, key: str) -> int:
    asked = {"entity": "local", "project": "demo", "run": run_id, "stream": "system", "keys": key}
    answer = sender.http.get("/api/history", params=asked)
    return len(answer.text.splitlines()) if answer.status_code == 200 else 0


def leave(writer: subprocess.Popen[str]) -> None:
    writer.communicate("\n", timeout=60)


def test_each_writer_has_its_own_metrics_and_console_and_the_main_one_ends_the_run(
    sender: Sender, tmp_path: Path
) -> None:
    writers = {
        name: start(WRITER, environ_of(sender, tmp_path / name), name, kind, code, "main")
        for name, kind, code in (("rank_0", "primary", 0), ("rank_1", "no", 3), ("rank_2", "no", 0))
    }
    try:
        for name in writers:
            while not (system_points(sender, "main", f"cpu/l:{name}") and lines(sender, "main", label=name)):
                assert writers[name].poll() is None
                time.sleep(0.1)
        for name in writers:
            (line,) = lines(sender, "main", label=name)
            assert (line["label"], line["stream"], line["text"]) == (name, "stdout", f"hello from {name}")
        assert len(lines(sender, "main")) == 3
        assert lines(sender, "main", label="rank_9") == []

        leave(writers["rank_1"])
        assert run_of(sender, "main")["state"] == "running"
        leave(writers["rank_0"])
        wait_for_state(sender, "main", "finished")
        leave(writers["rank_2"])
    finally:
        for writer in writers.values():
            writer.kill()
            writer.communicate()
    assert run_of(sender, "main")["state"] == "finished"
    assert Counter(row["who"] for row in sender.rows("main", "demo")) == dict.fromkeys(writers, 1)


def test_without_a_main_writer_the_run_ends_with_the_last_one_as_the_worst_of_them(
    sender: Sender, tmp_path: Path
) -> None:
    writers = [
        start(WRITER, environ_of(sender, tmp_path / name), name, "no", code, "equals")
        for name, code in (("rank_0", 0), ("rank_1", 3))
    ]
    try:
        while len(sender.rows("equals", "demo")) < 2:
            time.sleep(0.1)
        leave(writers[1])
        assert run_of(sender, "equals")["state"] == "running"
        leave(writers[0])
        wait_for_state(sender, "equals", "failed")

        again = start(WRITER, environ_of(sender, tmp_path / "again"), "rank_1", "no", 0, "equals")
        writers.append(again)
        wait_for_state(sender, "equals", "running")
        leave(again)
        wait_for_state(sender, "equals", "finished")
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_512_writers_that_join_leave_and_are_killed_lose_no_row_and_have_none_twice(
    sender: Sender, tmp_path: Path
) -> None:
    """16 machines with 32 writers each; 4 of them are killed, and 4 send nothing before they are synced."""
    n_machines, n_writers, n_rows = 16, 32, 5
    homes = [tmp_path / f"machine{n}" for n in range(n_machines)]
    environs = [environ_of(sender, home, is_sent=n % 4 != 1) for n, home in enumerate(homes)]
    machines = [
        start(MANY, environ, "crowd", n * n_writers, n_writers, n_rows, n, 40 + n if n % 4 == 2 else 0)
        for n, environ in enumerate(environs)
    ]
    logged: Counter[int] = Counter()
    try:
        for n, machine in enumerate(machines):
            output, _ = machine.communicate(timeout=200)
            logged.update(map(int, output.split()))
            assert machine.returncode == (-signal.SIGKILL if n % 4 == 2 else 0)
    finally:
        for machine in machines:
            machine.kill()
            machine.communicate()
    for environ in environs:
        sync(environ, sender)

    rows = sender.rows("crowd", "demo")
    assert len(logged) > n_machines * n_writers * n_rows * 3 // 4
    found = Counter(int(str(row["row"])) for row in rows)
    assert not logged - found
    # Each of those that were killed had logged one more, and could not say so any more.
    assert sorted((found - logged).values()) == [1] * 4
    assert [row["_step"] for row in rows] == list(range(len(rows)))
