"""What earlier sessions of a run left on this machine, for a session that goes on with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from epochal.errors import RunLogError
from epochal.runlog.folder import SUFFIX, sessions_of
from epochal.runlog.format import RecordType
from epochal.runlog.reader import RunLogReader

RESUME_FILE = "epochal-resume.json"


class Previous(msgspec.Struct):
    """A run as its earlier sessions left it."""

    next_step: int
    config: dict[str, Any]
    attributes: dict[str, Any]  # name, notes, tags, group, job_type
    definitions: list[dict[str, Any]]  # of metrics, oldest first
    step_metrics: dict[str, Any]  # the newest value of each that a definition names


def exists(runs_folder: Path, run_id: str, project: str, entity: str | None) -> bool:
    """Whether a session of the run is in `runs_folder`."""
    return any(True for _ in _logs(runs_folder, run_id, project, entity))


def read(runs_folder: Path, run_id: str, project: str, entity: str | None) -> Previous:
    """Return what the sessions of the run say, oldest first.  Reads all of them; damage is skipped."""
    previous = Previous(next_step=0, config={}, attributes={}, definitions=[], step_metrics={})
    last_step, n_unplaced = -1, 0
    for reader in _logs(runs_folder, run_id, project, entity):
        last_ordinal = -1
        for record in _records(reader):
            kind = record[0]
            if kind == RecordType.ROW:
                if record[2] >= last_step:
                    last_step = record[2]
                    _take_step_metrics(previous, record[3])
            elif kind == RecordType.UNPLACED_ROW:
                last_ordinal = max(last_ordinal, record[2])
            else:
                _take(previous, kind, record)
        last_step = max(last_step, reader.header.start_step - 1)
        n_unplaced += last_ordinal + 1
    previous.next_step = last_step + 1 + n_unplaced
    return previous


def _take(previous: Previous, kind: int, record: list[Any]) -> None:
    if kind == RecordType.CONFIG:
        previous.config.update(record[2])
        for key in record[3]:
            previous.config.pop(key, None)
    elif kind == RecordType.ATTRIBUTES:
        previous.attributes.update(record[2])
    elif kind == RecordType.DEFINE_METRIC:
        previous.definitions.append(record[2])
        if name := record[2].get("step_metric"):
            previous.step_metrics.setdefault(name, None)


def _take_step_metrics(previous: Previous, data: dict[str, Any]) -> None:
    for name in previous.step_metrics:
        if name in data:
            previous.step_metrics[name] = data[name]


def _logs(runs_folder: Path, run_id: str, project: str, entity: str | None) -> Iterator[RunLogReader]:
    """Yield a reader of every run log of the run but the sidecar's, each closed when the next one comes."""
    for folder in sessions_of(runs_folder, run_id):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if path.name.startswith("sidecar-"):
                continue
            with contextlib.suppress(OSError, RunLogError), RunLogReader(path) as reader:
                if (reader.header.project, reader.header.entity) == (project, entity):
                    yield reader


def _records(reader: RunLogReader) -> Iterator[list[Any]]:
    while True:
        frames, losses = reader.read()
        for frame in frames:
            yield frame.record
        if not frames and not losses:
            return


def remember(runs_folder: Path, project: str, run_id: str) -> None:
    """Note which run `resume="auto"` goes on with, until `forget`."""
    with contextlib.suppress(OSError):
        runs_folder.mkdir(parents=True, exist_ok=True)
        (runs_folder / RESUME_FILE).write_bytes(msgspec.json.encode({"project": project, "run_id": run_id}))


def remembered(runs_folder: Path, project: str | None) -> str | None:
    """Return the id of the run of `project` that did not end well, if there is one."""
    try:
        note = msgspec.json.decode((runs_folder / RESUME_FILE).read_bytes())
        if project is not None and note["project"] != project:
            return None
        return str(note["run_id"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return None


def forget(runs_folder: Path, run_id: str) -> None:
    """Take the note back after a good end of the run."""
    if remembered(runs_folder, None) == run_id:
        with contextlib.suppress(OSError):
            (runs_folder / RESUME_FILE).unlink()
