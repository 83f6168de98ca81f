"""Runs can be moved to another project."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add what is known of runs that were moved, or are on their way."""
    op.create_table(
        "moved_runs",
        _key("project_key", "moved_runs", "projects"),
        sa.Column("run_id", sa.Text(), nullable=False),
        _key("run_key", "moved_runs", "runs"),
        sa.PrimaryKeyConstraint("project_key", "run_id", name="pk_moved_runs"),
    )
    op.create_index("ix_moved_runs_run_key", "moved_runs", ["run_key"])
    op.create_table(
        "moves",
        _key("run_key", "moves", "runs"),
        _key("from_key", "moves", "projects"),
        _key("to_key", "moves", "projects"),
        sa.Column("is_there", sa.Boolean(create_constraint=False), nullable=False),
        sa.PrimaryKeyConstraint("run_key", name="pk_moves"),
    )


def _key(name: str, table: str, of: str) -> sa.Column[int]:
    target = sa.ForeignKey(f"{of}.key", name=f"fk_{table}_{name}_{of}")
    return sa.Column(name, sa.Integer(), target, nullable=False)
