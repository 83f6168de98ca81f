"""What a block must be before anything is done with it."""

from __future__ import annotations

from epochal.errors import BlockError, UsageError
from epochal.ids import DEFAULT_ENTITY, check_entity, check_project, check_run_id
from epochal.wire.block import Block, Column

_MAX_STEP = 2**63 - 1
_WIDTHS = {"f": 8, "i": 8}  # bytes of a value; the other kinds' are 1
_MAX_WRITER_CHARACTERS = 128


def check_block(block: Block) -> None:
    """Make sure that names can stand in an address and that rows have steps and times.

    What the columns' rows are is the metric store's to check.

    Raises:
        BlockError: it says what is wrong.
    """
    check_names(block.entity, block.project, block.run_id, block.writer)
    if not 0 <= block.first_offset < block.end_offset:
        raise BlockError(f"a block from offset {block.first_offset} to {block.end_offset} holds nothing")
    n_bytes = 8 * block.n_rows
    if len(block.times) != n_bytes or (isinstance(block.steps, bytes) and len(block.steps) != n_bytes):
        raise BlockError(f"a block of {block.n_rows} rows has {len(block.times)} bytes of times")
    if block.unplaced is not None and len(block.unplaced) != block.n_rows:
        raise BlockError(f"a block of {block.n_rows} rows marks {len(block.unplaced)} of them as unplaced")
    if isinstance(block.steps, tuple):
        first, stride = block.steps
        last = first + stride * max(0, block.n_rows - 1)
        if not all(-_MAX_STEP <= x <= _MAX_STEP for x in (first, stride, last)):
            raise BlockError(f"a block's steps, from {first} by {stride}, do not fit into 64 bits")
    for column in block.columns:
        # Most are of this kind, and there may be a hundred thousand of them.
        if (
            column.rows is not None
            or column.kind not in "fi"
            or len(column.values) != n_bytes
            or type(column.values) is not bytes
            or not n_bytes
        ):
            _check_column(column, block.n_rows)
    for _, record in block.records:
        if len(record) < 2 or type(record[0]) is not int:
            raise BlockError("a record of a block does not begin with its type and its time")


def _check_column(column: Column, n_rows: int) -> None:
    n_values = n_rows if column.rows is None else len(column.rows) // 4
    n_bytes = n_values * _WIDTHS.get(column.kind, 1)
    is_list = isinstance(column.values, list)
    if (
        n_values == 0
        or len(column.values) != n_bytes
        or is_list != (column.kind == "v")
        or len(column.rows or b"") % 4
    ):
        raise BlockError(
            f"the column {column.key[:100]!r} of a block does not have a value for each row it names"
        )


def check_names(entity: str | None, project: str, run_id: str, writer: str) -> None:
    """Make sure that a run with these names can be found again by an address.

    Raises:
        BlockError: it says which name is wrong, and how.
    """
    try:
        check_entity(entity or DEFAULT_ENTITY)
        check_project(project)
        check_run_id(run_id)
    except UsageError as error:
        raise BlockError(f"a run that cannot be shown: {error}") from error
    if not 0 < len(writer) <= _MAX_WRITER_CHARACTERS:
        raise BlockError(f"a writer's id has 1 to {_MAX_WRITER_CHARACTERS} characters, not {len(writer)}")
