"""Projects, runs and their writers, documents, losses and metric definitions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "projects",
        sa.Column("key", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("last_active", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_projects"),
        sa.UniqueConstraint("entity", "name", name="uq_projects_entity_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_projects_last_active_key", "projects", ["last_active", "key"])
    op.create_table(
        "runs",
        sa.Column("key", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("project_key", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("heartbeat_at", sa.Float(), nullable=False),
        sa.Column("end_state", sa.Text()),
        sa.Column("ended_at", sa.Float()),
        sa.Column("exit", sa.LargeBinary()),
        sa.Column("tags", sa.LargeBinary()),
        sa.Column("notes", sa.Text()),
        sa.Column("group", sa.Text()),
        sa.Column("job_type", sa.Text()),
        sa.Column("last_step", sa.BigInteger()),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_runs"),
        sa.ForeignKeyConstraint(["project_key"], ["projects.key"], name="fk_runs_project_key"),
        sa.UniqueConstraint("project_key", "run_id", name="uq_runs_project_key_run_id"),
        sqlite_autoincrement=True,
    )
    for column in ("created_at", "heartbeat_at", "name"):
        op.create_index(f"ix_runs_project_key_{column}_key", "runs", ["project_key", column, "key"])
    op.create_table(
        "documents",
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_key", "kind", name="pk_documents"),
        sa.ForeignKeyConstraint(["run_key"], ["runs.key"], name="fk_documents_run_key"),
    )
    op.create_table(
        "writers",
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("label", sa.Text()),
        sa.Column("applied_offset", sa.BigInteger(), nullable=False),
        sa.Column("is_finished", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("path", sa.Text()),
        sa.PrimaryKeyConstraint("run_key", "writer", name="pk_writers"),
        sa.ForeignKeyConstraint(["run_key"], ["runs.key"], name="fk_writers_run_key"),
    )
    op.create_index("ix_writers_is_finished", "writers", ["is_finished"])
    op.create_table(
        "losses",
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_key", "writer", "offset", name="pk_losses"),
        sa.ForeignKeyConstraint(["run_key"], ["runs.key"], name="fk_losses_run_key"),
    )
    op.create_table(
        "run_definitions",
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_key", "name", name="pk_run_definitions"),
        sa.ForeignKeyConstraint(["run_key"], ["runs.key"], name="fk_run_definitions_run_key"),
    )
    op.create_table(
        "project_definitions",
        sa.Column("project_key", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("said_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("project_key", "name", name="pk_project_definitions"),
        sa.ForeignKeyConstraint(["project_key"], ["projects.key"], name="fk_project_definitions_project_key"),
    )
