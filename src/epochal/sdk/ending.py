"""The end of a run: what is still owed is written, the exit is recorded, everything is let go.

Each step is on its own: one that fails must not keep the next from being done, nor reach the user's script.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from epochal.runlog.format import RecordType
from epochal.sdk import console, console_files, exit_hooks, previous, sidecar_process
from epochal.sdk.exit_hooks import Outcome
from epochal.sdk.process import process
from epochal.sdk.terminal import terminal

if TYPE_CHECKING:
    from epochal.sdk.run import Run
    from epochal.sdk.sending import Sent

# A resumed run reads what follows the last checkpoint of every session before it.
_CHECKPOINT_AT_END_AFTER_BYTES = 16 * 2**10


def watch(run: Run) -> None:
    """Have what surrounds a live run begin: the sidecar, console capture, the hook on this process's end."""
    settings = run._settings
    hook = _Hook(run)
    exit_hooks.install(hook)
    run._on_finish.append(lambda: exit_hooks.remove(hook))
    if settings.console != "off":
        _capture_console(run)
    sidecar_process.attach(run._session.folder, sidecar_settings(run))


def _capture_console(run: Run) -> None:
    sink: console.Sink = run._record_console
    if run._settings.console == "redirect":
        run._console_files = console_files.found()
        sink = console_files.without(run._console_files, sink)
    console.capture(sink)
    run._on_finish.append(lambda: console.release(sink))


def sidecar_settings(run: Run) -> dict[str, object]:
    """Return what the sidecar has to know of `run`."""
    settings, destination = run._settings, run._destination
    return {
        "sampling_interval": settings.x_stats_sampling_interval,
        "disable_stats": settings.x_disable_stats,
        # Of many writers the main one says where the run came from.
        "disable_meta": settings.x_disable_meta or settings.x_disable_machine_info or not run._is_primary,
        "disable_git": settings.disable_git,
        "save_requirements": settings.x_save_requirements and run._is_primary,
        "disk_paths": list(settings.x_stats_disk_paths),
        "gpu_device_ids": settings.x_stats_gpu_device_ids,
        "ends_run": _tells_its_end(run),
        "console_files": run._console_files,
        **(
            {}
            if destination is None
            else {
                "base_url": destination.base_url,
                "api_key": destination.api_key,
                "upload_bytes_per_s": destination.max_bytes_per_s,
            }
        ),
    }


class _Hook:
    """Ends a run when the process ends before its finish()."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, outcome: Outcome) -> None:
        if not self._run._is_finished:
            _finish(self._run, outcome, quiet=False)


def finish(run: Run, exit_code: int | None, quiet: bool) -> None:
    """End `run`; `exit_code` None means what can be seen of how the process is doing."""
    outcome = exit_hooks.outcome() if exit_code is None else Outcome(int(exit_code))
    _finish(run, outcome, quiet, is_code_given=exit_code is not None)


def finish_with(run: Run, error: BaseException | None) -> None:
    """End `run` as its `with` block ended; sys.exit(0) in it is a success."""
    if not run._is_finished:
        _finish(run, exit_hooks.outcome_of(error), quiet=False)


def _finish(run: Run, outcome: Outcome, quiet: bool, *, is_code_given: bool = False) -> None:
    began = time.monotonic()
    timeout_s = run._settings.finish_timeout
    n_late = 0
    with _contained("waiting for devices"):
        n_late = run._wait_for_devices(timeout_s)
    ends_the_run = _tells_its_end(run)
    with _contained("reading the console"):
        console_files.flush(run._console_files)
    with _contained("repeating what was said"):
        run._log.repeat(_CHECKPOINT_AT_END_AFTER_BYTES)
    if ends_the_run:
        with _contained("recording the end"):
            run._record(RecordType.EXIT, _exit_record(outcome))
    run._is_finished = True
    run._append = run._refuse
    is_written = True
    with _contained("closing the run log"):
        # Another thread's log() may be on its way to the log already: it fails as the next one would.
        is_written = run._log.close(max(0.5, timeout_s - (time.monotonic() - began)), run._refuse)
    if not run._is_foreign:
        for let_go in run._on_finish:
            with _contained("letting go"):
                let_go()
        if run._began_here and run._session.is_recorded:
            sidecar_process.detach(run._session.folder, is_code_given=is_code_given)
            if outcome.exit_code == 0:
                previous.forget(run._session.folder.parent, run.id)
    process.end(run)
    is_sent, interrupt = None, None
    with _contained("waiting for the server"):
        is_sent, interrupt = _wait_for_server(run, began)
    with _contained("printing the footer"):
        _say_what_is_missing(run, n_late, is_written)
        if is_sent is not None and is_sent.text:
            terminal.warn(is_sent.text)
        if ends_the_run and run._session.is_recorded and not quiet:
            _print_footer(run)
    if interrupt is not None:
        raise interrupt


def _tells_its_end(run: Run) -> bool:
    """Whether this process's end is said: in shared mode each says its own, and the server what it means."""
    return run._began_here and not run._is_foreign and run._settings.x_update_finish_state


def _wait_for_server(run: Run, began: float) -> tuple[Sent | None, KeyboardInterrupt | None]:
    """Wait until the server has the run, within the deadlines; Ctrl-C ends the waiting, and is not lost."""
    if run._destination is None or run._is_foreign:
        return None, None
    from epochal.sdk import sending

    return sending.wait(run, began)


def _exit_record(outcome: Outcome) -> dict[str, object]:
    return {
        "state": None,  # the sidecar's word; it may know better
        "exit_code": outcome.exit_code,
        "signal": None,
        "traceback": outcome.traceback,
        "reason": None,
    }


def _say_what_is_missing(run: Run, n_late: int, is_written: bool) -> None:
    if n_late:
        terminal.error(
            f"{n_late} rows of the run {run.name} lack values that a device had not computed "
            f"{run._settings.finish_timeout:g} s after finish()."
        )
    lost = run._log.lost_rows
    if lost:
        terminal.error(
            f"{lost} records of the run {run.name} are lost: the disk refused them and memory was full."
        )
    elif not is_written:
        terminal.error(
            f"Some of the last records of the run {run.name} are lost: the disk did not take them in time."
        )


def _print_footer(run: Run) -> None:
    if not terminal.show_info:
        return
    from epochal.sdk import footer

    settings = run._settings
    path = getattr(run._log, "path", None)
    rows = [] if path is None else footer.recent_rows(path)
    history = footer.history_lines(rows or [], settings.max_end_of_run_history_metrics)
    # The whole of a long or wide run, or of what it was resumed from, is not read again for ten lines.
    is_short = rows is not None and run._session.n_unread_summary_bytes() <= footer.MAX_BYTES_READ
    tree = run._session.summary() if is_short else {}
    summary = footer.summary_lines(tree, settings.max_end_of_run_summary_metrics)
    lines = [f"Run {run.name} is finished."]
    lines += ["History:", *history] if history else []
    lines += ["Summary:", *summary] if summary else []
    if run._session.folder.exists():
        lines.append(f"Its run log is in {run._session.folder}")
    lines.append(f"See it at {run.url}" if run.url else "See it with: epochal ui")
    if run.offline and settings.base_url:
        lines.append(f"Send it to the server with: epochal sync {run._session.folder}")
    terminal.info("\n".join(lines))


class _contained(contextlib.AbstractContextManager[None]):  # noqa: N801  reads as a statement
    """Contains whatever goes wrong in a step, and says so in one line."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> bool:
        if isinstance(error, Exception):
            terminal.internal(self._doing, error)
            return True
        return False


LetGo = Callable[[], None]
