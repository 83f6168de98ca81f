"""Alerts of runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "alerts",
        sa.Column("key", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("project_key", sa.Integer(), nullable=False),
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_alerts"),
        sa.ForeignKeyConstraint(["project_key"], ["projects.key"], name="fk_alerts_project_key"),
        sa.ForeignKeyConstraint(["run_key"], ["runs.key"], name="fk_alerts_run_key"),
        sa.UniqueConstraint("run_key", "source", "place", name="uq_alerts_run_key_source_place"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alerts_project_key_key", "alerts", ["project_key", "key"])
