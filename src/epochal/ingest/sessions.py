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
_WORSE: tuple[RunState, ...] = (
    "finished",
    "preempted",
    "killed",
    "failed",
    "crashed",
)  # each than those before


class Witness(msgspec.Struct, frozen=True):
    """One writer, and what it said about the end."""

    writer: WriterId
    kind: WriterKind
    watches: str | None  # of a sidecar: the writer it watches, if it says so
    started_at: float  # Unix seconds
    exit: Mapping[str, object] | None = None  # of its last exit record
    exit_at: float = 0.0
    is_preempting: bool = False  # it said that it is about to be taken away
    is_shared: bool = False  # one of several that may come from anywhere
    label: str | None = None


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
    if newest is not None and newest.is_shared:
        return _end_of_shared(everyone, [w for w in trainers if w.is_shared])
    said = [
        w
        for w in everyone
        if w.exit is not None
        and (w is newest or (w.kind == "sidecar" and _trainer_of(w, everyone, trainers) is newest))
    ]
    # What an earlier session said of itself is over: a requeued run may fail for reasons of its own.
    preempting = any(
        w.is_preempting and newest is not None and w.started_at >= newest.started_at for w in everyone
    )
    return _end(said, preempting=preempting)


def _end_of_shared(everyone: Sequence[Witness], deciding: Sequence[Witness]) -> End | None:
    """Return the end of a run of many writers, None while one of `deciding` goes on.

    Its state is that of the one that ended worst.  A label has one process at a time: the newest one counts,
    so that one which vanished and was replaced does not keep the run from ending.
    """
    newest: dict[object, float] = {}  # of each label, when its process began
    for w in deciding:
        whose = w.label or w.started_at
        newest[whose] = max(newest.get(whose, w.started_at), w.started_at)
    # The children that a process forked share its beginning.
    session_of: dict[str | None, object] = {
        w.writer: whose
        for w in everyone
        if w.is_shared and newest.get(whose := w.label or w.started_at) == w.started_at
    }
    said: dict[object, list[Witness]] = {whose: [] for whose in newest}
    preempting = {session_of.get(w.writer) for w in everyone if w.is_preempting}
    for w in everyone:
        who = session_of.get(w.watches if w.kind == "sidecar" else w.writer)
        if w.exit is not None and who is not None:
            said[who].append(w)
    ends = [_end(of_one, preempting=whose in preempting) for whose, of_one in said.items()]
    if any(end is None for end in ends):
        return None
    told = [end for end in ends if end is not None]
    worst = max(told, key=lambda end: (_WORSE.index(end.state), end.at), default=None)
    return worst and msgspec.structs.replace(worst, at=max(end.at for end in told))


def _end(said: Sequence[Witness], *, preempting: bool) -> End | None:
    """Return the end that the witnesses of one session tell, None if they tell none."""
    if not said:
        return None
    said = sorted(said, key=lambda w: (w.kind == "sidecar", w.exit_at))
    details: dict[str, object] = {}
    for witness in said:
        details |= {name: value for name, value in (witness.exit or {}).items() if value is not None}
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
