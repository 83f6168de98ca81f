"""What holds for every test: a home of its own, a clean environment, and no process left behind."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

# The variables that change what Epochal does.  A developer's own settings must not decide a test.
PREFIXES = ("EPOCHAL_", "WANDB_")
# Set per test and inherited by what it starts, so that a process is found even after its parent is gone.
MARK = "STARTED_BY_TEST"
# These outlive a test by design: a sidecar ends some seconds after its training process, and Python keeps one
# helper of multiprocessing for the whole process.
MAY_STAY = ("epochal.sidecar", "multiprocessing.resource_tracker", "multiprocessing.forkserver")

SESSION_HOME = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Clean the environment before any fixture, of whatever scope, looks at it."""
    # Whoever starts the tests in the background leaves them deaf to these, and so what the tests start.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="epochal-test-home-"))
    os.environ["EPOCHAL_HOME"] = str(home)
    config.stash[SESSION_HOME] = home


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the home that fixtures wider than a test used."""
    shutil.rmtree(config.stash[SESSION_HOME], ignore_errors=True)


@pytest.fixture(autouse=True)
def epochal_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return this test's own EPOCHAL_HOME; the folder is not made yet."""
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    home = tmp_path / "epochal-home"
    monkeypatch.setenv("EPOCHAL_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def _leaves_no_process(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a process running; it is ended then, so that it cannot disturb others."""
    mark = f"{os.getpid()} {request.node.nodeid}"
    before = set(psutil.pids())
    # Not by monkeypatch: the mark has to be there while the other fixtures' leftovers are looked for.
    os.environ[MARK] = mark
    try:
        yield
    finally:
        del os.environ[MARK]
    left = _wait_for_end(_started(mark, before), timeout_s=2.0)
    lines = [f"process {p.pid}: {' '.join(_command_line(p))}" for p in left]
    for process in left:
        process.kill()
    assert not lines, "the test left running: " + "; ".join(lines)


def _started(mark: str, before: set[int]) -> list[psutil.Process]:
    """Return the processes that came since `before` and belong to the test."""
    found = []
    for pid in set(psutil.pids()) - before:
        try:
            process = psutil.Process(pid)
            ours = process.ppid() == os.getpid() or process.environ().get(MARK) == mark
            if ours and not any(part in word for part in MAY_STAY for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _wait_for_end(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Return those that still run after the time; a zombie has ended."""
    deadline = time.monotonic() + timeout_s
    while running := [p for p in processes if _is_running(p)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return running


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return ["?"]


@pytest.fixture(scope="session")
def peers() -> ModuleType:
    """The module of the server that fails on purpose; loaded by its path, because tests are no package."""
    spec = importlib.util.spec_from_file_location("peer", Path(__file__).parent / "upload" / "peer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["peer"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start_peer(peers: ModuleType) -> Iterator[Callable[..., Any]]:
    """Return a function that starts a server which takes blocks and fails on purpose."""
    started: list[Any] = []

    def start(port: int = 0, **options: Any) -> Any:
        started.append(peers.Peer(port, **options))
        return started[-1]

    yield start
    for peer in started:
        peer.stop()


@pytest.fixture
def peer(start_peer: Callable[..., Any]) -> Any:
    """A server that takes blocks, and does nothing wrong until it is told to."""
    return start_peer()
