"""Answers one GraphQL request, in a thread of its own: everything here may wait for a disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    execute_sync,
    parse,
    validate,
)

from epochal.server.failures import Failure, RequestError, status_and_failure
from epochal.server.graphql.context import Context
from epochal.server.graphql.limits import MAX_TOKENS, check_size, size_of

_MAX_ERRORS = 20


class GraphQLRequest(msgspec.Struct, frozen=True, rename={"operation_name": "operationName"}):
    """Body of POST /graphql."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


def answer(schema: GraphQLSchema, request: GraphQLRequest, context: Context) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the body that answer `request`.

    A query that could not be run at all has status 400, and its first failure in the shape of the data
    plane's errors too.
    """
    variables = request.variables or {}
    errors = _check(schema, request, context, variables)
    if isinstance(errors, list):
        failed = [_described(error) for error in errors[:_MAX_ERRORS]]
        return 400, {"errors": failed, "error": {**failed[0]["extensions"], "message": failed[0]["message"]}}
    return 200, _body(errors)


def _check(
    schema: GraphQLSchema, request: GraphQLRequest, context: Context, variables: Mapping[str, Any]
) -> ExecutionResult | list[GraphQLError]:
    settings = context.services.settings
    try:
        document = parse(request.query, max_tokens=MAX_TOKENS)
        invalid = validate(schema, document)
        if invalid:
            return invalid
        check_size(
            size_of(schema, document, variables),
            max_depth=settings.max_query_depth,
            max_objects=settings.max_query_objects,
        )
    except GraphQLSyntaxError as error:
        return [error]
    except RecursionError:
        return [GraphQLError("The query is nested too deep to be read.")]
    except RequestError as error:
        return [GraphQLError(str(error), original_error=error)]
    result = execute_sync(
        schema,
        document,
        context_value=context,
        variable_values=dict(variables),
        operation_name=request.operation_name,
    )
    # Without data nothing was run: a variable that is missing, an operation that is not there.
    return result.errors if result.data is None and result.errors and _is_request_error(result) else result


def _is_request_error(result: ExecutionResult) -> bool:
    return all(_cause(error) is None and error.path is None for error in result.errors or ())


def _body(result: ExecutionResult) -> dict[str, Any]:
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [_described(error) for error in result.errors[:_MAX_ERRORS]]
    return body


def _described(error: GraphQLError) -> dict[str, Any]:
    """Return an entry of `errors`: message, place, and the failure's facts as extensions."""
    failure = _failure(error)
    entry: dict[str, Any] = {"message": failure.message}
    if error.locations:
        entry["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path:
        entry["path"] = error.path
    facts = {"code": failure.code, "hint": failure.hint, "where": failure.where}
    entry["extensions"] = {name: fact for name, fact in facts.items() if fact is not None}
    return entry


def _cause(error: GraphQLError) -> Exception | None:
    """Return what a resolver raised; None for an error in the query itself."""
    cause = error.original_error
    return None if isinstance(cause, GraphQLError) else cause


def _failure(error: GraphQLError) -> Failure:
    cause = _cause(error)
    if cause is not None:
        return status_and_failure(cause)[1]
    hint = "The schema is src/epochal/server/graphql/schema.graphql, or ask by introspection."
    return Failure(code="query_not_valid", message=error.message, hint=hint)
