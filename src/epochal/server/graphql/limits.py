"""How large a query may be.

A short query can ask for millions of objects by nesting lists, or by naming one list a thousand times.  So
its size is reckoned before it runs: every list counts with its `first`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

from epochal.server.failures import RequestError

MAX_TOKENS = 10_000


class QuerySize(NamedTuple):
    """What a query asks for at most."""

    depth: int  # levels of fields
    n_objects: int


def check_size(size: QuerySize, *, max_depth: int, max_objects: int) -> None:
    """Refuse a query that is too large.

    Raises:
        RequestError: it is.
    """
    if size.depth > max_depth:
        raise RequestError(
            400,
            "query_too_deep",
            f"The query is nested {size.depth} levels deep; at most {max_depth} are answered.",
            "Ask in several queries, or start the server with a larger --max-query-depth.",
            "query",
        )
    if size.n_objects > max_objects:
        raise RequestError(
            400,
            "query_too_large",
            f"The query asks for up to {size.n_objects} objects; at most {max_objects} are answered.",
            "Ask for fewer with `first` and page on with `after`, or raise the server's --max-query-objects.",
            "query",
        )


def size_of(schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> QuerySize:
    """Return the size of a valid `document`; of several operations, of all of them together.

    Introspection is left out: the schema is small, public, and has a rule of its own.
    """
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    sizes = [
        _Meter(document, {**_defaults(operation), **variables}).measure(
            operation.selection_set, schema.get_root_type(operation.operation), 1
        )
        for operation in operations
    ]
    return QuerySize(max((s.depth for s in sizes), default=0), sum(s.n_objects for s in sizes))


def _defaults(operation: OperationDefinitionNode) -> dict[str, object]:
    return {
        definition.variable.name.value: int(definition.default_value.value)
        for definition in operation.variable_definitions or ()
        if isinstance(definition.default_value, IntValueNode)
    }


class _Meter:
    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._fragments = {
            d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
        }

    def measure(self, selections: SelectionSetNode, parent: object, times: int) -> QuerySize:
        """Return the size of `selections` on `parent`, of which there are up to `times`."""
        depth, n_objects = 0, 0
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                part = self._measure_field(selection, parent, times)
            elif isinstance(selection, FragmentSpreadNode):
                part = self.measure(self._fragments[selection.name.value].selection_set, parent, times)
            else:
                assert isinstance(selection, InlineFragmentNode)
                part = self.measure(selection.selection_set, parent, times)
            depth, n_objects = max(depth, part.depth), n_objects + part.n_objects
        return QuerySize(depth, n_objects)

    def _measure_field(self, node: FieldNode, parent: object, times: int) -> QuerySize:
        if node.selection_set is None or not isinstance(parent, (GraphQLObjectType, GraphQLInterfaceType)):
            return QuerySize(1, 0)
        field = parent.fields.get(node.name.value)
        if field is None:
            return QuerySize(0, 0)  # __schema, __type
        times *= self._list_length(node, field)
        inner = self.measure(node.selection_set, get_named_type(field.type), times)
        return QuerySize(inner.depth + 1, inner.n_objects + times)

    def _list_length(self, node: FieldNode, field: GraphQLField) -> int:
        if "first" not in field.args:
            return 1
        asked: Any = field.args["first"].default_value
        for argument in node.arguments or ():
            if argument.name.value == "first" and isinstance(argument.value, IntValueNode):
                asked = int(argument.value.value)
            elif argument.name.value == "first" and isinstance(argument.value, VariableNode):
                asked = self._variables.get(argument.value.name.value, asked)
        return max(1, asked) if isinstance(asked, int) else 1
