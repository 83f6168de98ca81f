"""Where alerts are sent, and what became of that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "alert_channels",
        sa.Column("key", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("project_key", sa.Integer()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_alert_channels"),
        sa.ForeignKeyConstraint(["project_key"], ["projects.key"], name="fk_alert_channels_project_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("alert_key", sa.Integer(), nullable=False),
        sa.Column("channel_key", sa.Integer(), nullable=False),
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("n_tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.Float()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("alert_key", "channel_key", name="pk_alert_deliveries"),
        sa.ForeignKeyConstraint(["alert_key"], ["alerts.key"], name="fk_alert_deliveries_alert_key"),
        sa.ForeignKeyConstraint(
            ["channel_key"], ["alert_channels.key"], name="fk_alert_deliveries_channel_key"
        ),
        sa.ForeignKeyConstraint(["run_key"], ["runs.key"], name="fk_alert_deliveries_run_key"),
    )
    for column in ("next_try_at", "channel_key", "run_key"):
        op.create_index(f"ix_alert_deliveries_{column}", "alert_deliveries", [column])
