"""Real trainings, a real server and sidecars that are killed again and again, and a network that fails in
every way between them: the rows that the scripts logged are the rows that the server returns.

DRILLS=full makes it long (`make drills`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="not run: reads /proc")]

IS_FULL = os.environ.get("DRILLS") == "full"
N_TRAININGS, ROWS_PER_S, SECONDS = (20, 20, 600.0) if IS_FULL else (4, 20, 8.0)
KILL_SERVER_EVERY_S = 20.0 if IS_FULL else 3.0
SHARE_KILLED = 0.25

# Says each row after its log() returned; every second training leaves the steps to the server, where a row
# that came twice would be one row more.
SCRIPT = """
import sys, time
import epochal as wandb
name, mode, every_s, n_rows = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
settings = wandb.Settings(x_disable_stats=True, finish_timeout=2.0, silent=True, x_primary=True)
run = wandb.init(project="drill", id=name, mode=mode, settings=settings)
for i in range(n_rows):
    run.log({"i": i, "loss": i * 0.5})
    print(i, flush=True)
    time.sleep(every_s)
run.finish()
"""


class Server:
    """`epochal server` on a port that it keeps over restarts."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.environ = {**os.environ, "EPOCHAL_HOME": str(home)}
        self.process: subprocess.Popen[str] | None = None
        self.start()
        command = [sys.executable, "-m", "epochal.cli.main", "key", "new"]
        said = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=True).stdout
        self.key = said.split()[0]

    def start(self) -> None:
        command = [sys.executable, "-m", "epochal.cli.main", "server", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, env=self.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
        )
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status_code == 200:
                    return
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def rows(self, run: str) -> list[dict[str, Any]]:
        answer = httpx.get(
            f"http://127.0.0.1:{self.port}/api/history",
            params={"entity": "local", "project": "drill", "run": run},
            headers={"authorization": f"Bearer {self.key}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server-home")
    yield server
    server.kill()


@pytest.fixture
def proxy(server: Server) -> Iterator[Any]:
    module = _load("faulty_proxy")
    proxy = module.FaultyProxy(server.port, 0.1 if IS_FULL else 0.2, seed=7)
    yield proxy
    proxy.stop()


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(1800 if IS_FULL else 240)
def test_what_was_logged_is_what_the_server_returns(server: Server, proxy: Any, tmp_path: Path) -> None:
    chance = random.Random(11)
    home = tmp_path / "trainings"
    environ = {
        **os.environ,
        "EPOCHAL_HOME": str(home),
        "EPOCHAL_BASE_URL": proxy.url,
        "EPOCHAL_API_KEY": server.key,
    }
    (tmp_path / "train.py").write_text(SCRIPT)
    trainings = {
        f"run{n}": _train(tmp_path, environ, f"run{n}", "shared" if n % 2 else "online")
        for n in range(N_TRAININGS)
    }
    doomed = [name for name in trainings if chance.random() < SHARE_KILLED] or ["run0"]

    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        time.sleep(min(KILL_SERVER_EVERY_S, max(0.1, ends - time.monotonic())))
        server.kill()
        if doomed:
            trainings[doomed.pop()].send_signal(signal.SIGKILL)
        if sidecars := [s for process in trainings.values() for s in _sidecars(process.pid)]:
            with contextlib.suppress(psutil.Error):
                chance.choice(sidecars).kill()
        server.start()
    said = {name: process.communicate(timeout=120)[0].split() for name, process in trainings.items()}

    assert proxy.faults.total() > 0
    _sync_until_all_is_there(environ)
    for name, process in trainings.items():
        confirmed = [int(word) for word in said[name]]
        found = Counter(row["i"] for row in server.rows(name))
        # A killed one may have logged one more than it could say.
        expected = set(range(len(confirmed) + (process.returncode != 0)))
        assert set(confirmed) <= set(found) <= expected, name
        assert set(found.values()) <= {1}, name


def _sidecars(trainer: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if words[1:2] == ["-I"] and str(trainer) in words and any("epochal.sidecar" in w for w in words):
                found.append(process)
    return found


def _train(folder: Path, environ: dict[str, str], name: str, mode: str) -> subprocess.Popen[str]:
    n_rows = round(SECONDS * ROWS_PER_S)
    command = [sys.executable, str(folder / "train.py"), name, mode, str(1 / ROWS_PER_S), str(n_rows)]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True, cwd=folder)


def _sync_until_all_is_there(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "epochal.cli.main", "sync", "--again", "--json", "--patience", "60"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
