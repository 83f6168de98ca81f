"""The sidecar: a small process beside the training that does what the training must not wait for.

It is started by epochal.sdk.sidecar_process with a socket to the trainer and ends by itself: when the
trainer has ended and the last run's end is on the disk, or when there has been no run for a while.  It has
no terminal, no controlling session and no parent that would wait for it, and no job signal ends it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from epochal.sidecar import provenance
from epochal.sidecar.messages import Line, LineBuffer
from epochal.sidecar.system import nvidia
from epochal.sidecar.trainer import End, Trainer
from epochal.sidecar.uploads import Uploads
from epochal.sidecar.watched_run import WatchedRun

IDLE_S = 30.0  # without a run; the next init() of a loop over many runs finds the sidecar still there
PROVENANCE_PATIENCE_S = 3.0  # how long a run's end waits for git and the like
AT_EXIT_PATIENCE_S = 5.0  # how long a run closed at exit waits for the exit code of its process
NO_PIDFD_CHECK_S = 0.5
_UPLOAD_CHECK_S = 0.5
_IGNORED = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "TSTP", "TTIN", "TTOU", "XCPU", "PIPE")
_RECEIVE_BYTES = 1 << 16
_MAX_UNSENT_BYTES = 1 << 16


def main(trainer_pid: int, socket_fd: int, pidfd: int) -> None:
    """Serve the process `trainer_pid` until it has ended.

    Args:
        trainer_pid: of the training process.
        socket_fd: a stream socket of which the trainer holds the other end.
        pidfd: of the trainer, or -1 where the system has none.
    """
    _detach(keep={socket_fd, pidfd})
    with socket.socket(fileno=socket_fd) as line:
        line.setblocking(False)
        sidecar = Sidecar(Trainer(trainer_pid, pidfd), line, pidfd, time.monotonic)
        sidecar.run()
        sidecar.stop()
    # Not through the interpreter's shutdown: a thread may wait for git, and is of no use any more.
    os._exit(0)


class Sidecar:
    """The loop over the trainer's runs.

    Args:
        trainer: the process that is served.
        line: to it, non-blocking.
        pidfd: of it, or -1.
        clock: seconds that only go forward.
    """

    def __init__(self, trainer: Trainer, line: socket.socket, pidfd: int, clock: Callable[[], float]) -> None:
        self._trainer = trainer
        self._line = line
        self._pidfd = pidfd
        self._clock = clock
        self._buffer = LineBuffer()
        self._runs: dict[str, WatchedRun] = {}
        self._provenance: Provenance | None = None
        self._telling = threading.Lock()
        self._unsent = b""  # what the socket did not take of our lines
        self._uploads = Uploads(clock, self._tell)
        self._idle_since = clock()
        self._is_connected = True
        self._noted: set[str] = set()  # errors
        self._poller = select.poll()
        self._poller.register(line, select.POLLIN)
        if pidfd >= 0:
            self._poller.register(pidfd, select.POLLIN)

    def run(self) -> None:
        """Serve until the trainer has ended or has had no run for a while."""
        while not self._has_ended():
            self._poller.poll(max(0.0, self._next_due() - self._clock()) * 1000)
            self._receive()
            self._tick_all()
            is_idle = not self._runs and not self._uploads.is_busy()
            if is_idle and self._is_of_no_use() and self._leave():
                break
        self._receive()
        if self._runs:
            end = self._trainer.end()
            for folder in list(self._runs):
                self._end_run(folder, end)
        self._uploads.drain()

    def stop(self) -> None:
        """End what still runs on our behalf."""
        if self._provenance is not None:
            self._provenance.stop()

    def _has_ended(self) -> bool:
        if self._pidfd < 0 and self._is_connected:
            return False  # The line is cut when it ends, and not before.
        return self._trainer.has_ended()

    def _next_due(self) -> float:
        now = self._clock()
        due = [now + IDLE_S + 1.0]
        if not self._runs and self._uploads.is_busy():
            due.append(now + _UPLOAD_CHECK_S)
        due += [run.next_due() for run in self._runs.values()]
        due += [run.closing_at + AT_EXIT_PATIENCE_S for run in self._runs.values() if run.closing_at]
        if self._pidfd < 0 and not self._is_connected:
            due.append(now + NO_PIDFD_CHECK_S)
        return min(due)

    def _receive(self) -> None:
        while self._is_connected:
            try:
                data = self._line.recv(_RECEIVE_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                self._is_connected = False
                self._poller.unregister(self._line)
                return
            for line in self._buffer.feed(data):
                self._obey(line)

    def _obey(self, line: Line) -> None:
        if line.open is not None and line.open not in self._runs:
            self._open(line.open, line)
        if line.close is not None and line.close in self._runs:
            if not line.exiting:
                self._end_run(line.close, None)
            else:
                self._runs[line.close].closing_at = self._clock()
                self._runs[line.close].at_exit = True
                # What the trainer wrote can be sent already; how it ends is known when it has.
                self._uploads.close(line.close, is_last=False)

    def _open(self, folder: str, line: Line) -> None:
        try:
            run = WatchedRun(Path(folder), line.settings, self._trainer.pid, self._clock)
        except OSError:
            return  # Deleted already, or its disk is full: there is nothing to watch and nowhere to say so.
        self._runs[folder] = run
        if self._provenance is None:
            self._provenance = Provenance(line)
        self._uploads.open(folder, line.settings)
        run.add_metadata({**provenance.of_trainer(line.facts), **provenance.of_machine()})
        self._guarded(run, lambda: run.tick(self._gpus()))

    def _tick_all(self) -> None:
        now = self._clock()
        for folder, run in list(self._runs.items()):
            if run.closing_at is not None and now - run.closing_at > AT_EXIT_PATIENCE_S:
                # Its process hangs in its own clean-up, which is not the run's any more.
                self._end_run(folder, None)
            elif now >= run.next_due():
                self._guarded(run, lambda run=run: run.tick(self._gpus()))  # type: ignore[misc]
        if self._runs:
            self._idle_since = now
        if self._provenance is not None:
            for run in self._runs.values():
                self._provenance.give(run)

    def _end_run(self, folder: str, end: End | None) -> None:
        run = self._runs.pop(folder)
        self._idle_since = self._clock()
        if self._provenance is not None:
            self._provenance.wait(PROVENANCE_PATIENCE_S)
            self._guarded(run, lambda: self._provenance.give(run) if self._provenance else None)
        self._guarded(run, lambda: run.end(end))
        self._uploads.close(folder, is_last=True)

    def _gpus(self) -> nvidia.NvidiaGpus | None:
        return self._provenance.gpus if self._provenance is not None else None

    def _is_of_no_use(self) -> bool:
        return not self._is_connected or self._clock() - self._idle_since > IDLE_S

    def _leave(self) -> bool:
        """Stop listening; return False if a line came in just then, which must be served first."""
        with contextlib.suppress(OSError):  # Not connected any more.
            self._line.shutdown(socket.SHUT_RD)
        self._receive()
        return not self._runs

    def _tell(self, line: bytes) -> None:
        """Send a line to the trainer, which reads when it comes by.

        One that does not read for very long misses the news, which is never more than a help.
        """
        with self._telling:
            data = self._unsent + line
            if len(data) > _MAX_UNSENT_BYTES:
                return
            try:
                sent = self._line.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                return
            self._unsent = data[sent:]

    def _guarded(self, run: WatchedRun, action: Callable[[], object]) -> None:
        """Do `action`; what goes wrong with one run is noted beside it, once, and leaves the others alone."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - nobody else would see it
            import traceback  # 3 ms of every start, for what hardly ever happens

            text = traceback.format_exc()
            if isinstance(error, FileNotFoundError) or text in self._noted:
                return  # Somebody deleted the run while it runs; or the same thing every second.
            self._noted.add(text)
            with contextlib.suppress(OSError), (run.folder / "sidecar-errors.txt").open("a") as notes:
                notes.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


class Provenance:
    """What takes long to find out, found out once, in a thread: git, packages and GPUs.

    Args:
        line: with which the first run was opened.
    """

    def __init__(self, line: Line) -> None:
        self.gpus: nvidia.NvidiaGpus | None = None
        self._line = line
        self._code: dict[str, object] = {}
        self._packages: list[str] = []
        self._git = provenance.Git()
        self._thread = threading.Thread(target=self._find, name="provenance", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """Wait until everything is known, or for `timeout_s` seconds."""
        self._thread.join(timeout_s)

    def give(self, run: WatchedRun) -> None:
        """Add to `run`, once, what its settings let it have, if it is known by now."""
        if self._thread.is_alive() or run.has_provenance:
            return
        run.has_provenance = True
        metadata: dict[str, object] = {}
        if self._code and not run.settings.disable_git:
            metadata["git"] = self._code
        if self._packages and run.settings.save_requirements:
            metadata["packages"] = self._packages
        if self.gpus is not None:
            metadata["gpus"] = self.gpus.facts()
        run.add_metadata(metadata)

    def stop(self) -> None:
        """End the git command that may still run."""
        self._git.stop()

    def _find(self) -> None:
        facts, settings = self._line.facts, self._line.settings
        environment = facts.get("environment")
        visible = environment.get("CUDA_VISIBLE_DEVICES") if isinstance(environment, dict) else None
        self.gpus = nvidia.find(visible, settings.gpu_device_ids)
        paths = facts.get("import_paths")
        if isinstance(paths, list) and settings.save_requirements:
            self._packages = provenance.of_packages(map(str, paths))
        program, cwd = facts.get("program"), facts.get("cwd")
        # The script's own work tree; without a script that of the folder it was started in.
        folder = os.path.dirname(program) if isinstance(program, str) else cwd  # noqa: PTH120
        if isinstance(folder, str) and not (settings.disable_git or settings.disable_meta):
            self._code = self._git.describe(folder)


def _detach(keep: set[int]) -> None:
    """Become nobody's: no job signals, no terminal, no file or folder of the user held open."""
    for name in _IGNORED:
        number = getattr(signal, f"SIG{name}", None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        os.setsid()  # Already done by the spawn where the system can.
    os.chdir("/")
    _close_all_but({0, 1, 2, *keep})
    with contextlib.suppress(OSError):
        os.nice(5)  # Training comes first.
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("epochal-sidecar")
    _raise_descriptor_limit()


def _close_all_but(keep: set[int]) -> None:
    """Close what C code of the trainer left open for its children: a pipe or a port held here would keep
    somebody else waiting."""
    try:
        found = [int(path.name) for path in Path("/dev/fd").iterdir()]
    except OSError:
        found = list(range(3, 256))
    for fd in found:
        if fd not in keep:
            with contextlib.suppress(OSError):
                os.close(fd)


def _raise_descriptor_limit() -> None:
    """Two files a live run: a program with very many runs at once must not be limited by its own limit."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
