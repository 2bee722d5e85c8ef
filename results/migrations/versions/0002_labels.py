"""Runs get a label, by which `compare` gathers them, and the capacities that loads are shares of."""

import sqlalchemy as sql
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Two columns; runs of before have no label and needed no capacity."""
    op.add_column("runs", sql.Column("label", sql.String(80), nullable=False, server_default=""))
    op.add_column("runs", sql.Column("capacities", sql.JSON, nullable=False, server_default="{}"))
