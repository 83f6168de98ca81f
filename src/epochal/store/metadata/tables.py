"""The tables of the metadata store.

Migrations make them; a test compares the two.  What can be large (config, summary) lies in `documents`, so
that a heartbeat does not rewrite megabytes and a list of runs does not read them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

schema = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

projects = Table(
    "projects",
    schema,
    Column("key", Integer, primary_key=True, autoincrement=True),
    Column("entity", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("last_active", Float, nullable=False),
    UniqueConstraint("entity", "name"),
    Index(None, "last_active", "key"),
    sqlite_autoincrement=True,  # a number names a file: one that was used is never given out again
)

runs = Table(
    "runs",
    schema,
    Column("key", Integer, primary_key=True, autoincrement=True),
    Column("project_key", Integer, ForeignKey("projects.key"), nullable=False),
    Column("run_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("heartbeat_at", Float, nullable=False),
    Column("end_state", Text),
    Column("ended_at", Float),
    Column("exit", LargeBinary),  # msgpack of RunExit
    Column("tags", LargeBinary),  # msgpack list
    Column("notes", Text),
    Column("group", Text),
    Column("job_type", Text),
    Column("last_step", BigInteger),
    Column("n_rows", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, server_default="1"),  # of its last change; see `counters`
    UniqueConstraint("project_key", "run_id"),
    Index(None, "project_key", "heartbeat_at", "key"),
    Index(None, "project_key", "version"),
    Index(None, "project_key", "key"),
    sqlite_autoincrement=True,
)

documents = Table(
    "documents",
    schema,
    Column("run_key", Integer, ForeignKey("runs.key"), primary_key=True),
    Column("kind", Text, primary_key=True),  # config, summary, metadata, and fold: what ingest goes on from
    Column("data", LargeBinary, nullable=False),  # msgpack: it keeps NaN, infinities and 64-bit integers
    Column("version", BigInteger, nullable=False, server_default="1"),  # of its last change
)

# `version` counts the transactions that changed a run: what has a higher one than somebody knows is news to
# him.  `epoch` is a random number that tells one store from another.
counters = Table(
    "counters",
    schema,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

writers = Table(
    "writers",
    schema,
    Column("run_key", Integer, ForeignKey("runs.key"), primary_key=True),
    Column("writer", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("label", Text),
    Column("applied_offset", BigInteger, nullable=False),
    Column("is_finished", Boolean(create_constraint=False), nullable=False),
    Column("path", Text),
    Index(None, "is_finished"),
)

losses = Table(
    "losses",
    schema,
    Column("run_key", Integer, ForeignKey("runs.key"), primary_key=True),
    Column("writer", Text, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("n_bytes", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)


# What a script called for attention with, or a rule of the project did.
alerts = Table(
    "alerts",
    schema,
    Column("key", Integer, primary_key=True, autoincrement=True),
    Column("project_key", Integer, ForeignKey("projects.key"), nullable=False),
    Column("run_key", Integer, ForeignKey("runs.key"), nullable=False),
    Column("source", Text, nullable=False),  # the writer, or `rule:` and the rule's number
    Column("place", BigInteger, nullable=False),  # of a record a digest, of a rule 0: the same is there once
    Column("created_at", Float, nullable=False),  # when it was said
    Column("level", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    UniqueConstraint("run_key", "source", "place"),
    Index(None, "project_key", "key"),
    sqlite_autoincrement=True,  # a cursor into the list never comes to mean another alert
)


# Where alerts are sent, of one project or (without a project) of all.
alert_channels = Table(
    "alert_channels",
    schema,
    Column("key", Integer, primary_key=True, autoincrement=True),
    Column("project_key", Integer, ForeignKey("projects.key")),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),  # a secret: it leaves this file towards its service only
    Column("level", Text, nullable=False),  # the least urgent that is sent
    Column("created_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

# Alerts that are to be sent, and what became of that.
alert_deliveries = Table(
    "alert_deliveries",
    schema,
    Column("alert_key", Integer, ForeignKey("alerts.key"), primary_key=True),
    Column("channel_key", Integer, ForeignKey("alert_channels.key"), primary_key=True),
    Column("run_key", Integer, ForeignKey("runs.key"), nullable=False),
    Column("n_tries", Integer, nullable=False),
    Column("next_try_at", Float),  # None: it is over
    Column("state", Text, nullable=False),  # waiting, delivered, failed, left_out
    Column("error", Text),  # of the last try
    Index(None, "next_try_at"),
    Index(None, "channel_key"),
    Index(None, "run_key"),
)


def _definition(owner: str, target: str) -> list[Column[object]]:
    return [
        Column(owner, Integer, ForeignKey(target), primary_key=True),
        Column("name", Text, primary_key=True),
        Column("data", LargeBinary, nullable=False),  # msgpack of MetricDefinition
    ]


run_definitions = Table("run_definitions", schema, *_definition("run_key", "runs.key"))

# Merged over the runs of the project: the newest run wins.
project_definitions = Table(
    "project_definitions",
    schema,
    *_definition("project_key", "projects.key"),
    Column("said_at", Float, nullable=False),  # created_at of the run that said it
)

# The names that runs had in projects they were moved out of: what still comes under these is theirs.
moved_runs = Table(
    "moved_runs",
    schema,
    Column("project_key", Integer, ForeignKey("projects.key"), primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("run_key", Integer, ForeignKey("runs.key"), nullable=False),
    Index(None, "run_key"),
)

# Of runs that are on their way: what is left to be done, or undone, should the server be killed now.
moves = Table(
    "moves",
    schema,
    Column("run_key", Integer, ForeignKey("runs.key"), primary_key=True),
    Column("from_key", Integer, ForeignKey("projects.key"), nullable=False),
    Column("to_key", Integer, ForeignKey("projects.key"), nullable=False),
    # 0: there may be a copy at its new place; 1: it is there, and its old place is to be cleared
    Column("is_there", Boolean(create_constraint=False), nullable=False),
)

users = Table(
    "users",
    schema,
    Column("key", Integer, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("entity", Text, nullable=False),  # where runs go that name none
    Column("role", Text, nullable=False),  # the most that a key of theirs may do
    Column("created_at", Float, nullable=False),
    UniqueConstraint("name"),
    UniqueConstraint("entity"),
    sqlite_autoincrement=True,
)

api_keys = Table(
    "api_keys",
    schema,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("user_key", Integer, ForeignKey("users.key"), nullable=False),
    Column("name", Text, nullable=False),  # what its owner calls it
    Column("role", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the key, which itself is nowhere
    Column("hint", Text, nullable=False),  # its first characters, to tell one from another
    Column("created_at", Float, nullable=False),
    Column("last_used_at", Float),  # to the hour
    Column("revoked_at", Float),
    UniqueConstraint("digest"),
    Index(None, "user_key"),
    sqlite_autoincrement=True,  # a number that was revoked never names another key
)
