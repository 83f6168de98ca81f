"""Where runs are that were moved: a program that logs goes on naming the project it began in."""

from __future__ import annotations

from msgspec.structs import replace

from epochal.ids import DEFAULT_ENTITY, RunId
from epochal.wire.block import Block

RunName = tuple[str, str, RunId]  # entity, project, run id


class Homes:
    """Under which name each run is that had another one.

    Args:
        names: what it is now by what it was.
    """

    def __init__(self, names: dict[RunName, RunName]) -> None:
        self._names = names

    def of(self, name: RunName) -> RunName:
        """Return the name of a run now."""
        return self._names.get(name, name)

    def of_block(self, block: Block) -> Block:
        """Return a block under the name that its run has now."""
        name = (block.entity or DEFAULT_ENTITY, block.project, block.run_id)
        now = self._names.get(name)
        return block if now is None else replace(block, entity=now[0], project=now[1])

    def move(self, name: RunName, to: RunName) -> None:
        """Take note that a run was moved."""
        for old, now in self._names.items():
            if now == name:
                self._names[old] = to
        self._names[name] = to
        self._names.pop(to, None)

    def forget(self, name: RunName) -> None:
        """Take note that a run is gone."""
        for old in [old for old, now in self._names.items() if now == name]:
            del self._names[old]
