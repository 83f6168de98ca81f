"""The executable schema: schema.graphql and the resolvers, joined and checked."""

from __future__ import annotations

from pathlib import Path

from ariadne import load_schema_from_path, make_executable_schema
from graphql import GraphQLSchema

from epochal.server.graphql.alert_channels import alert_channel, mutation
from epochal.server.graphql.alerts import alert
from epochal.server.graphql.changing_runs import mutation as run_changes
from epochal.server.graphql.metric_keys import metric_key
from epochal.server.graphql.projects import project
from epochal.server.graphql.run_lists import run_aggregate, run_field, run_group
from epochal.server.graphql.runs import loss, run
from epochal.server.graphql.scalars import date_time, int64, json_string
from epochal.server.graphql.server_info import query, server_info

SCHEMA_PATH = Path(__file__).parent / "schema.graphql"


def build_schema() -> GraphQLSchema:
    """Return the schema with its resolvers.

    A field without a resolver is the record's attribute of that name: `createdAt` is `created_at`.

    Raises:
        GraphQLError: a resolver is for a type or field that the schema does not have.
    """
    of_lists = (run_group, run_field, run_aggregate, alert, alert_channel, mutation, run_changes)
    bindables = (query, server_info, project, run, loss, metric_key, *of_lists, date_time, json_string, int64)
    return make_executable_schema(
        load_schema_from_path(str(SCHEMA_PATH)), *bindables, convert_names_case=True
    )
