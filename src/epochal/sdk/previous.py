"""What earlier sessions of a run left on this machine, for a session that goes on with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from epochal.errors import RunLogError
from epochal.runlog.checkpoint import Checkpoint, go_to_last
from epochal.runlog.folder import SUFFIX, sessions_of
from epochal.runlog.format import RecordType
from epochal.runlog.reader import RunLogReader
from epochal.runlog.summary import SummaryFold, merged_definition
from epochal.sdk.summary import SummaryBefore

if TYPE_CHECKING:
    from epochal.upload.client import Resumable

RESUME_FILE = "epochal-resume.json"


class Previous:
    """A run as its earlier sessions left it."""

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}
        self.attributes: dict[str, Any] = {}  # name, notes, tags, group, job_type
        self.definitions: dict[str, dict[str, Any]] = {}  # of metrics, by name
        self.step_metrics: dict[str, Any] = {}  # the newest value of each that was logged
        self.summary = SummaryBefore()  # what of it is not on this machine
        self._last_step = -1
        self._n_unplaced = 0
        self._step_names: set[str] = set()

    @property
    def next_step(self) -> int:
        """The first step that no row has."""
        return self._last_step + 1 + self._n_unplaced

    def add(self, reader: RunLogReader) -> None:
        """Take in a run log: its last checkpoint, and the records behind it."""
        self._last_step = max(self._last_step, reader.header.start_step - 1)
        checkpoint = go_to_last(reader)
        n_unplaced = 0
        if checkpoint is not None:
            self._add_checkpoint(checkpoint)
            n_unplaced = checkpoint.n_unplaced
        for record in _records(reader):
            if record[0] == RecordType.ROW:
                self._add_row(record[2], record[3])
            elif record[0] == RecordType.UNPLACED_ROW:
                n_unplaced = max(n_unplaced, record[2] + 1)
            else:
                self._add_other(record)
        self._n_unplaced += n_unplaced

    def add_known(self, known: Resumable, offsets: dict[Path, int]) -> None:
        """Take in what a server knows, of which `offsets` bytes of the run logs here are a part."""
        self._last_step = max(self._last_step, known.next_step - 1)
        self.config.update(known.config)
        self.attributes.update(known.attributes)
        fold = SummaryFold.from_state(known.summary)
        for definition in fold.definitions.values():
            self._define(definition)
        newest = {name: fold.last(name) for name in self._step_names}
        self.step_metrics.update({name: value for name, value in newest.items() if value is not None})
        self.summary = SummaryBefore(known.summary, offsets)

    def _add_checkpoint(self, checkpoint: Checkpoint) -> None:
        if checkpoint.last_step >= self._last_step:
            self._last_step = checkpoint.last_step
            self.step_metrics.update(checkpoint.step_metrics)
        self._set_config(checkpoint.config, checkpoint.deleted_config)
        self.attributes.update(checkpoint.attributes)
        for definition in checkpoint.definitions.values():
            self._define(definition)

    def _add_row(self, step: int, data: dict[str, Any]) -> None:
        if step < self._last_step:
            return
        self._last_step = step
        for name in self._step_names:
            value = _value_of(data, name)
            if value is not None:
                self.step_metrics[name] = value

    def _add_other(self, record: list[Any]) -> None:
        if record[0] == RecordType.CONFIG:
            self._set_config(record[2], record[3])
        elif record[0] == RecordType.ATTRIBUTES:
            self.attributes.update(record[2])
        elif record[0] == RecordType.DEFINE_METRIC:
            self._define(record[2])

    def _set_config(self, values: dict[str, Any], deleted: list[str]) -> None:
        self.config.update(values)
        for key in deleted:
            self.config.pop(key, None)

    def _define(self, definition: dict[str, Any]) -> None:
        name = definition["name"]
        self.definitions[name] = merged_definition(self.definitions.get(name, {}), definition)
        if step_metric := definition.get("step_metric"):
            self._step_names.add(step_metric)


def exists(runs_folder: Path, run_id: str, project: str, entity: str | None) -> bool:
    """Whether a session of the run is in `runs_folder`."""
    return any(True for _ in _logs(runs_folder, run_id, project, entity))


def read(
    runs_folder: Path, run_id: str, project: str, entity: str | None, known: Resumable | None = None
) -> Previous:
    """Return what the sessions of the run say, oldest first; damage is skipped.

    Of each run log with a checkpoint only the end is read.

    Args:
        runs_folder: of this machine.
        run_id: of the run, in `project` and `entity`.
        known: what a server has of it, which may be sessions of other machines; what is here and not there
            yet is newer.
    """
    previous = Previous()
    sent = {}
    if known is not None and _has_more(known, runs_folder, run_id, project, entity):
        sent = known.writers
        logs = _logs(runs_folder, run_id, project, entity)
        previous.add_known(known, {r.path: sent[r.header.writer] for r in logs if r.header.writer in sent})
    for reader in _logs(runs_folder, run_id, project, entity):
        if sent.get(reader.header.writer, 0) < reader.path.stat().st_size:
            previous.add(reader)
    return previous


def _has_more(known: Resumable, runs_folder: Path, run_id: str, project: str, entity: str | None) -> bool:
    """Whether a server has run logs of trainers that are not on this machine."""
    here = {reader.header.writer for reader in _logs(runs_folder, run_id, project, entity)}
    return any(writer not in here and not writer.startswith("sidecar-") for writer in known.writers)


def _logs(runs_folder: Path, run_id: str, project: str, entity: str | None) -> Iterator[RunLogReader]:
    """Yield a reader of every run log of the run but the sidecar's, each closed when the next one comes."""
    for folder in sessions_of(runs_folder, run_id):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if path.name.startswith("sidecar-"):
                continue
            with contextlib.suppress(OSError, RunLogError), RunLogReader(path) as reader:
                if (reader.header.project, reader.header.entity) == (project, entity):
                    yield reader


def _value_of(data: dict[str, Any], name: str) -> object:
    """Return the value of a key, which may have been logged nested, or None."""
    if name in data:
        return data[name]
    head, dot, rest = name.partition(".")
    below = data.get(head) if dot else None
    return _value_of(below, rest) if isinstance(below, dict) else None


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
        note = {"project": project, "run_id": run_id, "host": os.uname().nodename, "pid": os.getpid()}
        (runs_folder / RESUME_FILE).write_bytes(msgspec.json.encode(note))


def remembered(runs_folder: Path, project: str | None) -> str | None:
    """Return the id of the run of `project` that did not end well, if there is one."""
    try:
        note = msgspec.json.decode((runs_folder / RESUME_FILE).read_bytes())
        if project is not None and (note["project"] != project or _is_being_trained(note)):
            return None
        return str(note["run_id"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return None


def _is_being_trained(note: dict[str, Any]) -> bool:
    """Whether another process of this machine, which is alive, wrote the note."""
    pid = note.get("pid")
    if note.get("host") != os.uname().nodename or not isinstance(pid, int) or pid in (os.getpid(), 0):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # Somebody else's: it is there.
    return True


def forget(runs_folder: Path, run_id: str) -> None:
    """Take the note back after a good end of the run."""
    if remembered(runs_folder, None) == run_id:
        with contextlib.suppress(OSError):
            (runs_folder / RESUME_FILE).unlink()
