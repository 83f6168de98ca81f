"""How a process ended, read from the kernel; against real processes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from epochal.sidecar.trainer import VANISHED, End, Trainer

needs_pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="not run: this system has no pidfd")


def linux_at_least(major: int, minor: int) -> bool:
    numbers = os.uname().release.split(".")
    return sys.platform == "linux" and (int(numbers[0]), int(numbers[1])) >= (major, minor)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for a line and ends with the exit code in it."""
    program = "import os, sys; os._exit(int(sys.stdin.readline()))"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def wait_until_zombie(process: subprocess.Popen[bytes]) -> None:
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def end_with_code(process: subprocess.Popen[bytes], code: int) -> None:
    assert process.stdin is not None
    process.stdin.write(b"%d\n" % code)
    process.stdin.flush()
    wait_until_zombie(process)


@needs_pidfd
@pytest.mark.skipif(not linux_at_least(6, 15), reason="not run: needs Linux 6.15 or newer")
def test_the_exit_code_is_known_after_somebody_else_has_collected_the_process(
    sleeper: subprocess.Popen[bytes],
) -> None:
    pidfd = os.pidfd_open(sleeper.pid)
    trainer = Trainer(sleeper.pid, pidfd)
    assert not trainer.has_ended()

    end_with_code(sleeper, 5)
    sleeper.wait()

    assert trainer.has_ended()
    assert trainer.end() == End(5, None)
    os.close(pidfd)


@needs_pidfd
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP])
def test_the_signal_is_known_while_nobody_has_collected_the_process(
    sleeper: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    pidfd = os.pidfd_open(sleeper.pid)
    trainer = Trainer(sleeper.pid, pidfd)

    sleeper.send_signal(number)
    wait_until_zombie(sleeper)
    select.select([pidfd], [], [], 10)

    assert trainer.has_ended()
    assert trainer.end() == End(None, number)
    os.close(pidfd)


def test_without_a_pidfd_a_zombie_still_tells_its_exit_code(sleeper: subprocess.Popen[bytes]) -> None:
    trainer = Trainer(sleeper.pid, -1)
    assert not trainer.has_ended()

    end_with_code(sleeper, 3)

    assert trainer.has_ended()
    assert trainer.end() == End(3, None)


def test_without_a_pidfd_a_process_that_is_gone_has_vanished(sleeper: subprocess.Popen[bytes]) -> None:
    trainer = Trainer(sleeper.pid, -1)

    end_with_code(sleeper, 3)
    sleeper.wait()

    assert trainer.has_ended()
    assert trainer.end(patience_s=0.05) == VANISHED
