"""How a run ended, out of what its writers said.

A run may have several sessions (it is resumed), and each session two witnesses: the training process, which
knows its exit code and traceback, and the sidecar, which sees how the process really ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from epochal.ids import WriterId
from epochal.store.metadata.records import END_STATES, RunExit, RunState, WriterKind

# A sidecar is started by its training process, so it begins after it; this much for the clock's resolution.
_TOLERANCE_S = 1.0


class Witness(msgspec.Struct, frozen=True):
    """One writer, and what it said about the end."""

    writer: WriterId
    kind: WriterKind
    watches: str | None  # of a sidecar: the writer it watches, if it says so
    started_at: float  # Unix seconds
    exit: Mapping[str, object] | None = None  # of its last exit record
    exit_at: float = 0.0
    is_preempting: bool = False  # it said that it is about to be taken away


class End(msgspec.Struct, frozen=True):
    """That a run ended, when and how."""

    state: RunState
    at: float
    exit: RunExit


def end_of(witnesses: Iterable[Witness]) -> End | None:
    """Return how the run's newest session ended, or None if it goes on.

    The sidecar's word on the state counts more than the training process's; details come from either.

    Args:
        witnesses: every writer of the run, of all sessions.
    """
    everyone = list(witnesses)
    trainers = [w for w in everyone if w.kind == "primary"] or [w for w in everyone if w.kind == "secondary"]
    newest = max(trainers, key=lambda w: w.started_at, default=None)
    said = [
        w
        for w in everyone
        if w.exit is not None
        and (w is newest or (w.kind == "sidecar" and _trainer_of(w, everyone, trainers) is newest))
    ]
    said.sort(key=lambda w: (w.kind == "sidecar", w.exit_at))
    if not said:
        return None
    details: dict[str, object] = {}
    for witness in said:
        details |= {name: value for name, value in (witness.exit or {}).items() if value is not None}
    # What an earlier session said of itself is over: a requeued run may fail for reasons of its own.
    preempting = any(
        w.is_preempting and newest is not None and w.started_at >= newest.started_at for w in everyone
    )
    return End(_state(details, preempting=preempting), said[-1].exit_at, _exit(details))


def _trainer_of(sidecar: Witness, everyone: Sequence[Witness], trainers: Sequence[Witness]) -> Witness | None:
    """Return the writer it watches: the one it names, else the last that began before it."""
    for witness in everyone:
        if witness.writer == sidecar.watches:
            return witness
    if sidecar.watches is not None:
        return None  # its run log was not seen yet
    before = [w for w in trainers if w.started_at <= sidecar.started_at + _TOLERANCE_S]
    return max(before, key=lambda w: w.started_at, default=None)


def _state(details: Mapping[str, object], *, preempting: bool) -> RunState:
    state = details.get("state")
    for known in END_STATES:
        if state == known:
            return known
    if details.get("exit_code", 0) == 0 and "signal" not in details:
        return "finished"
    return "preempted" if preempting else "failed"


def _exit(details: Mapping[str, object]) -> RunExit:
    def whole(name: str) -> int | None:
        value = details.get(name)
        return value if isinstance(value, int) else None

    def text(name: str) -> str | None:
        value = details.get(name)
        return value if isinstance(value, str) else None

    return RunExit(
        exit_code=whole("exit_code"),
        signal=whole("signal"),
        traceback=text("traceback"),
        reason=text("reason"),
    )
