"""PostgreSQL keeps to the lengths of names and numbers that SQLite never did: no limit on names, seeds of 64 bits."""

import sqlalchemy as sql
from alembic import op

revision = "0003"
down_revision = "0002"
_TABLES = ("runs", "settings", "blocks", "trials", "trial_history", "samples", "histograms", "raw", "facts")


def upgrade() -> None:
    """A topology's name tells its options, and may have more than 80 letters; a seed is whatever was typed."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    inspector = sql.inspect(connection)
    for table in _TABLES:
        for column in inspector.get_columns(table):
            if isinstance(column["type"], sql.String) and not isinstance(column["type"], sql.Text):
                op.alter_column(table, column["name"], type_=sql.Text)
    op.alter_column("runs", "seed", type_=sql.BigInteger)
