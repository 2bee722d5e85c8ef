"""Runs get a label, by which `compare` gathers them, and the capacities that loads are shares of."""

import sqlalchemy as sql
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Two columns, and an index from which runs are listed; runs of before have no label and needed no capacity.

    A row has its plan and drawings before what lists show: without the index 2,500 runs are 75 MB to read.
    """
    op.add_column("runs", sql.Column("label", sql.String(80), nullable=False, server_default=""))
    op.add_column("runs", sql.Column("capacities", sql.JSON, nullable=False, server_default="{}"))
    op.create_index("runs_listed", "runs", ["started_at", "run_id", "plan_name", "status", "confirms", "label"])
