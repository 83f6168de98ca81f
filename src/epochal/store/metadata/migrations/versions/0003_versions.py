"""Every run and document knows when it last changed, so that whoever follows them reads nothing else."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the versions; what is there has the first one."""
    for table in ("runs", "documents"):
        op.add_column(table, sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"))
    # Lists are made from columns now, which need neither.
    for column in ("created_at", "name"):
        op.drop_index(f"ix_runs_project_key_{column}_key", "runs")
    op.drop_column("runs", "search_text")
    op.create_index("ix_runs_project_key_version", "runs", ["project_key", "version"])
    op.create_index("ix_runs_project_key_key", "runs", ["project_key", "key"])
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    epoch = {"name": "epoch", "value": secrets.randbits(62)}
    op.bulk_insert(counters, [{"name": "version", "value": 1}, epoch])
