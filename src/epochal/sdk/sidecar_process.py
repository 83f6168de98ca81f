"""Starts the sidecar of this process and tells it which runs are open.

Nothing here waits for the sidecar or raises: training does not depend on it.  It is told by lines on a
socket of which only this process holds the other end, so that the end of this process is the end of the
line, however it comes.  A socket and not a pipe, because writing to a pipe whose reader was killed raises
SIGPIPE, which ends programs that set it to its default.

The sidecar is no child of this process: a program that waits for all its children must not wait for ours.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from epochal.sdk import environment, exit_hooks

CHECK_EVERY_S = 5.0  # how often `check` looks, at most
# A machine that cannot keep a sidecar alive (no memory, a killer of unknown processes) is not asked for ever.
MAX_STARTS_PER_MINUTE = 6
_MAX_PENDING_BYTES = 1 << 20
_RECEIVE_BYTES = 1 << 16
_SEND_FLAGS = _socket.MSG_DONTWAIT | getattr(_socket, "MSG_NOSIGNAL", 0)
# Job signals are for the trainer.  Ignored from before the first instruction of the sidecar on.
_TRAPPED = "HUP INT QUIT TERM USR1 USR2 ALRM TSTP TTIN TTOU XCPU PIPE"
# In the background and out of the shell: the shell ends at once, and its child is nobody's but init's.
_SHELL = "/bin/sh"
_SHELL_SCRIPT = f"trap '' {_TRAPPED}; \"$@\" &"
_SOCKET_FD = 3
_PIDFD_FD = 4

# msgspec can do without typing_extensions, whose import is a quarter of the sidecar's start.
_PROGRAM = """\
import gc, sys
gc.disable()
sys.modules["typing_extensions"] = None
sys.path.extend(sys.argv[4:])
from epochal.sidecar.main import main
gc.enable()
main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
"""

_json = msgspec.json.Encoder()


class _Link:
    """This process's end of the line to its sidecar, and what the sidecar has to know."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.runs: dict[str, Mapping[str, object]] = {}  # folder to settings, of the runs that are live
        self.socket: _socket.socket | None = None
        self.identity = (0, 0)  # of the socket, device and inode
        self.pending = b""  # what the socket did not take yet
        self.next_check = 0.0
        self.starts: list[float] = []
        self.inbox = b""  # the beginning of a line
        self.waited_for: set[str] = set()  # folders of runs that are over, until `forget_upload`
        self.uploads: dict[str, Mapping[str, Any]] = {}  # by folder, what the sidecar last said of sending

    def attach(self, folder: str, settings: Mapping[str, object]) -> None:
        self.runs[folder] = dict(settings)
        if not (self.is_alive() and self.send(_open_line(folder, self.runs[folder]))):
            self.restart()

    def detach(self, folder: str, *, at_exit: bool) -> None:
        if folder not in self.runs:
            return
        line = _json.encode({"close": folder, "exiting": at_exit}) + b"\n"
        if not (self.is_alive() and self.send(line)):
            self.restart()
            self.send(line)
        if self.runs.pop(folder).get("base_url"):
            self.waited_for.add(folder)

    def check(self) -> None:
        self.next_check = time.monotonic() + CHECK_EVERY_S
        if self.runs and not (self.is_alive() and self.send(b"")):
            self.restart()
        for folder in self.uploads.keys() & self.runs.keys():
            if self.uploads[folder].get("why"):
                self.say_trouble(folder)

    def say_trouble(self, folder: str) -> None:
        from epochal.sdk import sending  # only ever needed where there is a server

        server = str(self.runs[folder].get("base_url"))
        sending.say_trouble(folder, server, self.uploads[folder])

    def is_alive(self) -> bool:
        """Tell whether a sidecar is at the other end; costs two system calls.  Reads what it says."""
        if self.socket is None or not self.is_ours():
            return False
        try:
            while data := self.socket.recv(_RECEIVE_BYTES, _socket.MSG_DONTWAIT):
                self.receive(data)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return False

    def receive(self, data: bytes) -> None:
        """Take in what the sidecar says: lines of JSON, each of the sending of one run."""
        *lines, self.inbox = (self.inbox + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(msgspec.MsgspecError, KeyError, TypeError):
                said = msgspec.json.decode(line)
                folder = str(said["upload"])
                if folder in self.runs or folder in self.waited_for:
                    self.uploads[folder] = said

    def is_ours(self) -> bool:
        """Tell whether our descriptor is still our socket.

        A program that becomes a daemon closes every descriptor it finds, and the number may by now be
        a connection of its own, into which we must not write.
        """
        try:
            found = os.fstat(self.socket.fileno() if self.socket else -1)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.identity

    def send(self, line: bytes) -> bool:
        """Send `line`, or keep what does not fit for the next time; return False if nobody listens."""
        if self.socket is None:
            return False
        data = self.pending + line
        try:
            sent = self.socket.send(data, _SEND_FLAGS) if data else 0
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return False
        self.pending = data[sent:]
        # One that has not read for so long is stuck; the next one is told everything anew.
        return len(self.pending) <= _MAX_PENDING_BYTES

    def restart(self) -> None:
        """Start a sidecar and tell it of every live run."""
        self.close()
        now = time.monotonic()
        self.starts = [t for t in self.starts if now - t < 60.0]
        if len(self.starts) >= MAX_STARTS_PER_MINUTE:
            return
        self.starts.append(now)
        self.socket = _start()
        if self.socket is not None:
            found = os.fstat(self.socket.fileno())
            self.identity = (found.st_dev, found.st_ino)
        for folder, settings in self.runs.items():
            self.send(_open_line(folder, settings))

    def close(self) -> None:
        self.pending = self.inbox = b""
        if self.socket is not None:
            if self.is_ours():
                self.socket.close()
            else:
                self.socket.detach()
            self.socket = None

    def abandon(self) -> None:
        """In a forked child: let go of the line, which is the parent's."""
        self.close()
        self.runs.clear()
        self.uploads.clear()
        self.waited_for.clear()


_link: _Link | None = None
# Re-entrant: a signal handler may end a run in the middle of ours.  Held for no more than a few system calls.
_lock = threading.RLock()
_forgets_in_children = False


def attach(folder: Path, settings: Mapping[str, object]) -> None:
    """Put the run whose run logs are in `folder` under the sidecar's care; starts the sidecar if need be.

    Args:
        folder: of the run, with the run log of the trainer in it already.
        settings: plain values; read are `sampling_interval` (seconds between system samples, 15),
            `disable_stats`, `disable_meta`, `disable_git`, `save_requirements`, `disk_paths`,
            `gpu_device_ids`, and of the server that the run is sent to `base_url`, `api_key` and
            `upload_bytes_per_s`.  Others are ignored.
    """
    with contextlib.suppress(Exception), _lock:  # Law 1: a run without a sidecar is still a run.
        _this_process().attach(_absolute(folder), settings)


def detach(folder: Path, *, is_code_given: bool = False) -> None:
    """Tell the sidecar that the run in `folder` is over, after its exit record was written.

    Args:
        folder: as it was attached.
        is_code_given: the user gave the recorded exit code himself.  Else, if the process is just ending,
            the sidecar compares it with the code that the process really ends with.
    """
    with contextlib.suppress(Exception), _lock:
        at_exit = exit_hooks.is_exiting() and not is_code_given
        _this_process().detach(_absolute(folder), at_exit=at_exit)


def check() -> None:
    """Start the sidecar again if somebody killed it; at most every 5 s, else a comparison of two numbers.

    To be called where the training passes now and then, such as a write to the console.
    """
    if _link is None or time.monotonic() < _link.next_check:
        return
    with contextlib.suppress(Exception), _lock:
        _this_process().check()


def upload_of(folder: Path) -> Mapping[str, Any] | None:
    """Return what the sidecar last said of sending the run in `folder`; None if nothing, or it is gone.

    The keys are those of epochal.sidecar.uploads.UploadState.
    """
    with contextlib.suppress(Exception), _lock:
        link = _this_process()
        return link.uploads.get(_absolute(folder)) if link.is_alive() else None
    return None


def forget_upload(folder: Path) -> None:
    """Forget what was said of sending the run in `folder`, which is over."""
    with contextlib.suppress(Exception), _lock:
        link = _this_process()
        link.uploads.pop(_absolute(folder), None)
        link.waited_for.discard(_absolute(folder))


def entity_of(folder: Path) -> str:
    """Return where the server put the run in `folder`; empty until it said so."""
    said = _link.uploads.get(_absolute(folder)) if _link is not None else None
    return str(said.get("entity") or "") if said is not None else ""


def is_there() -> bool:
    """Tell whether this process has a sidecar that lives."""
    with contextlib.suppress(Exception), _lock:
        return _this_process().is_alive()
    return False


def _this_process() -> _Link:
    global _link, _forgets_in_children
    if _link is None or _link.pid != os.getpid():
        _link = _Link()
    if not _forgets_in_children:
        _forgets_in_children = True
        os.register_at_fork(after_in_child=_in_child)
    return _link


def _in_child() -> None:
    """Close the child's copy of the line: else the sidecar would wait for the child's end too."""
    global _link, _lock
    link, _link = _link, None
    _lock = threading.RLock()  # Another thread of the parent may have held the old one.
    if link is not None:
        with contextlib.suppress(Exception):
            link.abandon()


def _open_line(folder: str, settings: Mapping[str, object]) -> bytes:
    line = {"open": folder, "settings": _plain(settings), "facts": environment.facts()}
    return _json.encode(line) + b"\n"


def _plain(settings: Mapping[str, object]) -> dict[str, object]:
    return {k: v for k, v in settings.items() if isinstance(v, bool | int | float | str | list | tuple)}


def _absolute(folder: Path) -> str:
    return os.path.abspath(folder)  # noqa: PTH100 - resolving links could wait for a file system


def _start() -> _socket.socket | None:
    """Start a sidecar and return the socket to it; None where there is no Python to start."""
    python = _python()
    if python is None:
        return None
    ours, theirs = _socket.socketpair()
    # Above every number that the child is given, so that no copy overwrites another.
    fds = [_copy_above(theirs.fileno())]
    theirs.close()
    try:
        with contextlib.suppress(OSError, AttributeError):
            # Of ourselves and by ourselves: no other process can ever be meant by it.
            fds.append(_own_pidfd())
        _spawn(_command_line(python, has_pidfd=len(fds) == 2), fds)
    except BaseException:
        ours.close()
        raise
    finally:
        for fd in fds:
            os.close(fd)
    return ours


def _own_pidfd() -> int:
    pidfd = os.pidfd_open(os.getpid())
    try:
        return _copy_above(pidfd)
    finally:
        os.close(pidfd)


def _copy_above(fd: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _spawn(command: list[str], fds: list[int]) -> None:
    """Run `command` in a session of its own, detached, with `fds` as its descriptors 3 and 4."""
    # Nothing of it belongs on the user's terminal; its last words help whoever looks for them.
    last_words = os.environ.get("EPOCHAL_SIDECAR_LOG", os.devnull)
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, last_words, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
    ]
    actions += [
        (os.POSIX_SPAWN_DUP2, fd, target) for fd, target in zip(fds, (_SOCKET_FD, _PIDFD_FD), strict=False)
    ]
    has_shell = Path(_SHELL).exists()
    argv = [_SHELL, "-c", _SHELL_SCRIPT, "sh", *command] if has_shell else command
    try:
        pid = os.posix_spawn(argv[0], argv, _environment(), file_actions=actions, setsid=True, setsigmask=())
    except NotImplementedError:  # A C library without setsid here; the sidecar does it itself.
        pid = os.posix_spawn(argv[0], argv, _environment(), file_actions=actions, setsigmask=())
    # The shell is done within a millisecond or two.  Where the program ignores SIGCHLD or its own
    # handler was faster, there is nothing left to collect.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0 if has_shell else os.WNOHANG)


def _command_line(python: str, *, has_pidfd: bool) -> list[str]:
    # Isolated: neither the user's files named like modules of Python nor PYTHON* variables reach it.
    # Without `site`, which reads every .pth file and may import anything.
    flags = ["-S"] if "PYTHONHOME" in os.environ else ["-I", "-S"]
    if sys.dont_write_bytecode:
        flags.append("-B")
    numbers = [os.getpid(), _SOCKET_FD, _PIDFD_FD if has_pidfd else -1]
    return [python, *flags, "-c", _PROGRAM, *map(str, numbers), *_import_paths()]


def _import_paths() -> list[str]:
    """Return where the sidecar finds Epochal and its libraries, after the standard library."""
    package = Path(__file__).resolve().parents[2]
    own = [str(package), str(Path(msgspec.__file__).resolve().parents[1])]
    # Not all of it: the folder of the user's script may hold a `logging.py`.
    rest = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    return list(dict.fromkeys(own + rest))


def _environment() -> dict[bytes, bytes]:
    environ = dict(os.environb)
    # A profiler or another allocator that was put into the trainer has no business in the sidecar.
    for name in (b"LD_PRELOAD", b"CUDA_INJECTION64_PATH"):
        environ.pop(name, None)
    environ[b"MALLOC_ARENA_MAX"] = b"1"
    return environ


def _python() -> str | None:
    """Return the path of a Python interpreter like this one, or None inside a program that embeds one."""
    if not getattr(sys, "frozen", False) and "python" in Path(sys.executable or "").name.lower():
        return sys.executable
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    candidate = Path(sys.base_exec_prefix, "bin", name)
    return str(candidate) if candidate.exists() else None
