"""What the records of a run log up to a place say together, so that nobody need read them again.

A run that is resumed has to know its last step and its config.  Both may be anywhere in its run logs, so the
writer repeats them now and then, and a reader begins at the last repetition: docs/formats/run-log.md.
"""

from __future__ import annotations

from typing import Any

import msgspec

from epochal.errors import RunLogError
from epochal.runlog.format import RecordType
from epochal.runlog.reader import RunLogReader


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the records before it, of one writer, say together."""

    last_step: int = -1  # the highest of a row; -1 if none
    n_unplaced: int = 0  # ordinals that were given
    config: dict[str, Any] = {}
    deleted_config: list[str] = []  # keys that were there before this writer began
    attributes: dict[str, Any] = {}
    definitions: dict[str, dict[str, Any]] = {}  # by name, all calls of define_metric merged
    step_metrics: dict[str, Any] = {}  # the newest value of each that is added to rows


def go_to_last(reader: RunLogReader) -> Checkpoint | None:
    """Have `reader` go on after the last checkpoint of its file, and return it.

    Without one that can be used, nothing is skipped and None returned.
    """
    began = reader.offset
    try:
        frame = reader.skip_to_last(RecordType.CHECKPOINT)
        return None if frame is None else msgspec.convert(frame.record[2], Checkpoint)
    except (msgspec.ValidationError, IndexError, RunLogError):
        reader.offset = began
        return None
