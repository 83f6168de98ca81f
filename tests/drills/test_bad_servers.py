"""Whatever a server does, finish() returns in time, the script's exit code is its own, and no row is lost."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

KEY = "epochal-aaaa"
N_ROWS = 3000
ORPHAN_S = 10.0  # after the last job's end
MOST_S = 15.0  # that finish() may take, with every setting at its default

# Texts that do not compress, so that a line of 1 KB/s takes minutes for them.
SCRIPT = f"""
import os, sys, time
import epochal as wandb
run = wandb.init(project="p", settings=wandb.Settings(x_disable_stats=True))
for i in range({N_ROWS}):
    run.log({{"i": i, "noise": os.urandom(40).hex()}})
print(run.sync_dir, flush=True)
sys.stdin.readline()
began = time.monotonic()
run.finish()
print(time.monotonic() - began)
sys.exit(3)
"""


@contextlib.contextmanager
def nobody(start_peer: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}", None


@contextlib.contextmanager
def black_hole(start_peer: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", None


@contextlib.contextmanager
def no_answer_to_connections(start_peer: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Takes no connection: its queue is full, so the kernel drops what asks for one."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as full:
        for _ in range(4):
            waiting = full.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", None


@contextlib.contextmanager
def error_500(start_peer: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    peer = start_peer()
    peer.fault = lambda path: "500"
    yield peer.url, None


@contextlib.contextmanager
def one_kilobyte_per_second(start_peer: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    peer = start_peer()
    peer.bytes_per_s = 1000.0
    yield peer.url, None


@contextlib.contextmanager
def dies_during_finish(start_peer: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    peer = start_peer()
    peer.bytes_per_s = 20_000.0
    yield peer.url, threading.Timer(1.0, peer.stop)


KINDS = [nobody, black_hole, no_answer_to_connections, error_500, one_kilobyte_per_second, dies_during_finish]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_finish_returns_in_time_and_sync_brings_every_row(
    start_peer: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    with contextlib.ExitStack() as stack:
        servers = {kind.__name__: stack.enter_context(kind(start_peer)) for kind in KINDS}
        # All at once: each of them is little but waiting.
        running = {name: _train(tmp_path, name, url) for name, (url, _) in servers.items()}
        folders = {name: _line(process) for name, process in running.items()}
        for name, process in running.items():
            _tell(process)
            if servers[name][1] is not None:
                servers[name][1].start()
        ended = {name: process.communicate(timeout=100) for name, process in running.items()}
        for _, timer in servers.values():
            if timer is not None:
                timer.join()
        # A server that takes nothing keeps no process alive; one that takes a little does.
        idle = [running[kind.__name__].pid for kind in KINDS if kind is not one_kilobyte_per_second]
        _wait_until_gone(idle, ORPHAN_S)

    healed = start_peer()
    for name, (output, errors) in ended.items():
        assert running[name].returncode == 3, (name, errors)
        assert float(output) < MOST_S, (name, output)
        assert errors.count(f"epochal sync {folders[name]}") == 1, (name, errors)
        _sync(tmp_path, folders[name], healed.url)
        run = folders[name].rpartition("-")[2]
        assert healed.counts("i", run) == Counter(range(N_ROWS)), name


def _wait_until_gone(trainers: list[int], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while left := [pid for pid in trainers if _sidecars(pid)]:
        assert time.monotonic() < deadline, f"{len(left)} sidecars outlive their jobs"
        time.sleep(0.1)


def _sidecars(trainer: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if words[1:2] == ["-I"] and str(trainer) in words and any("epochal.sidecar" in w for w in words):
                found.append(process)
    return found


def _environ(home: Path, url: str) -> dict[str, str]:
    return {**os.environ, "EPOCHAL_HOME": str(home), "EPOCHAL_BASE_URL": url, "EPOCHAL_API_KEY": KEY}


def _train(folder: Path, name: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(folder / "train.py")],
        env=_environ(folder / name, url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _sync(home: Path, folder: str, url: str) -> None:
    command = [sys.executable, "-m", "epochal.cli.main", "sync", folder]
    done = subprocess.run(command, env=_environ(home, url), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
