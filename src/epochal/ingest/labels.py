"""Tells whose output a console line is, where a run has many writers."""

from __future__ import annotations

import msgspec

from epochal.runlog.format import RecordType
from epochal.wire.block import Block

# The same mark ends the keys of system metrics of a labelled writer.
_MARK = "/l:"
_MAX_CHARACTERS = 128  # Every line carries it.


def label_console(block: Block, label: str | None) -> Block:
    """Return `block` with the writer's label in the streams of its console records."""
    if not label or not any(record[0] == RecordType.CONSOLE for _, record in block.records):
        return block
    mark = _MARK + label[:_MAX_CHARACTERS]
    return msgspec.structs.replace(
        block, records=[(offset, _labelled(record, mark)) for offset, record in block.records]
    )


def _labelled(record: list[object], mark: str) -> list[object]:
    if record[0] != RecordType.CONSOLE or len(record) < 4 or not isinstance(record[2], str):
        return record
    return [*record[:2], record[2] + mark, *record[3:]]
