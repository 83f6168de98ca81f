"""What the metadata store hands out: frozen structs, one per noun, times in Unix seconds."""

from __future__ import annotations

from typing import Literal

import msgspec

from epochal.ids import RunId, WriterId

RunState = Literal["running", "silent", "finished", "failed", "killed", "crashed", "preempted"]
Role = Literal["read", "write", "admin"]  # each may do what those before it may
WriterKind = Literal["primary", "secondary", "sidecar"]
AlertLevel = Literal["INFO", "WARN", "ERROR"]
Document = Literal["config", "summary", "metadata"]

END_STATES: tuple[RunState, ...] = ("finished", "failed", "killed", "crashed", "preempted")
# The sidecar writes a heartbeat every 10 s, so a run is called silent after three that did not come.
SILENT_AFTER_S = 30.0
CRASHED_AFTER_S = 300.0


class ProjectRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A named collection of runs."""

    key: int  # of the row; never reused
    entity: str
    name: str
    created_at: float
    last_active: float  # when a run of it last gave a sign of life
    n_runs: int
    n_running: int  # in the states running and silent
    store_file: str  # name of the metric store's file: a number, whatever the project is called


class RunExit(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    exit_code: int | None = None
    signal: int | None = None
    traceback: str | None = None
    reason: str | None = None


class MetricDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What define_metric said about a key, or about a glob with a trailing `*`."""

    name: str
    step_metric: str | None = None
    step_sync: bool | None = None
    hidden: bool = False
    summary: tuple[str, ...] = ()
    goal: str | None = None


class LossRecord(msgspec.Struct, frozen=True):
    """Bytes of a run log that no reader could give back."""

    writer: WriterId
    offset: int
    n_bytes: int
    reason: str


class NewAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as it is said, before it is kept."""

    source: str  # the writer, or `rule:` and the rule's number
    place: int  # with run and source: what it is known again by
    created_at: float
    level: AlertLevel
    title: str
    text: str
    wait_s: float = 0.0  # for so long nobody is told again of an alert of this title and run


class AlertRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that is kept."""

    key: int  # never reused; later ones are higher
    entity: str
    project: str
    run_id: RunId
    run_name: str
    source: str
    created_at: float
    level: AlertLevel
    title: str
    text: str


class AlertChannel(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts are sent."""

    key: int  # never reused
    project_key: int | None  # None: of all projects
    name: str
    url: str  # a secret
    level: AlertLevel  # the least urgent that is sent
    created_at: float


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run.  The three documents are empty where the caller did not ask for them."""

    key: int  # of the row; never reused
    run_id: RunId
    entity: str
    project: str
    name: str  # as a person sees it; the run id until it has one
    created_at: float  # its first session began
    heartbeat_at: float  # its last sign of life; never later than when that was received
    end_state: RunState | None = None  # None: nothing said that it ended
    ended_at: float | None = None
    exit: RunExit | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    group: str | None = None
    job_type: str | None = None
    last_step: int | None = None
    n_rows: int = 0  # distinct steps with any value
    config: dict[str, object] = {}  # nested, as given
    summary: dict[str, object] = {}  # flat, keys with dots
    metadata: dict[str, object] = {}


class WriterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One process that logs to a run, and how far its run log was taken in."""

    writer: WriterId
    kind: WriterKind
    started_at: float
    label: str | None = None
    applied_offset: int = 0  # bytes: everything before it is in the metadata
    is_finished: bool = False  # its run log was read to the end after the run had ended
    path: str | None = None  # of a run log on this machine


class UserRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A person or a program that has keys."""

    key: int  # of the row; never reused
    name: str
    entity: str  # where runs go that name none
    role: Role  # the most that a key of theirs may do
    created_at: float


class ApiKeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An API key; what was given out is not here and nowhere else."""

    number: int  # never reused
    user: UserRecord
    name: str  # what its owner calls it
    role: Role
    hint: str  # its first characters
    created_at: float
    last_used_at: float | None = None  # to the hour
    revoked_at: float | None = None


def run_state(run: RunRecord, now: float) -> RunState:
    """Return the state of `run` at `now` (Unix seconds).

    A run that said nothing of its end is running while it shows signs of life, silent after 30 s without one
    and crashed after 5 min.  It is running again as soon as it shows the next.
    """
    if run.end_state is not None:
        return run.end_state
    quiet_s = now - run.heartbeat_at
    if quiet_s <= SILENT_AFTER_S:
        return "running"
    return "silent" if quiet_s <= CRASHED_AFTER_S else "crashed"
