"""What every resolver can reach, and what a resolver can tell of the question."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from graphql import FieldNode, FragmentSpreadNode, GraphQLResolveInfo, InlineFragmentNode, SelectionSetNode

from epochal.access.caller import Caller
from epochal.server.services import Services


@dataclasses.dataclass(frozen=True)
class Context:
    """One GraphQL request."""

    services: Services
    caller: Caller
    now: float  # Unix seconds; one answer shows one moment


Info: TypeAlias = "GraphQLResolveInfo[Context]"


def names_below(info: Info) -> frozenset[str]:
    """Return the names of all fields asked for below the resolver's own, at any depth.

    Enough to leave out what nobody looks at: a list of runs does not load a megabyte of config for each.
    """
    found: set[str] = set()

    def walk(selections: SelectionSetNode | None) -> None:
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                found.add(node.name.value)
                walk(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                walk(info.fragments[node.name.value].selection_set)
            elif isinstance(node, InlineFragmentNode):
                walk(node.selection_set)

    for field in info.field_nodes:
        walk(field.selection_set)
    return frozenset(found)
