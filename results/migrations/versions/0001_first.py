"""The first format: every table of results.schema as of 2026-11-23."""

from alembic import op

from results.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables. A later format changes them by its own step and freezes this list."""
    metadata.create_all(op.get_bind())
