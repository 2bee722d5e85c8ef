"""The first format (2026-11-23), frozen as it was made: later formats change it by steps of their own."""

from alembic import op
from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

revision = "0001"
down_revision = None

metadata = MetaData()

Table(
    "runs",
    metadata,
    Column("run_id", String(40), primary_key=True),
    Column("plan_name", String(80), nullable=False),
    Column("plan", JSON, nullable=False),
    Column("design", JSON, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("revision", String(80), nullable=False),
    Column("skipped", JSON, nullable=False),
    Column("machine", JSON, nullable=False),
    Column("drawings", JSON, nullable=False),
    Column("notes", JSON, nullable=False),
    Column("confirms", String(40), nullable=False),
)

Table(
    "settings",
    metadata,
    Column("run_id", ForeignKey("runs.run_id"), primary_key=True),
    Column("treatment", String(40), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("setting", String(120), nullable=False),
    Column("value", Text, nullable=False),
    Column("target", String(16), nullable=False),
    Column("was", Text, nullable=False),  # the value under current
)

Table(
    "blocks",
    metadata,
    Column("run_id", ForeignKey("runs.run_id"), primary_key=True),
    Column("topology", String(80), primary_key=True),
    Column("block", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("arms", JSON, nullable=False),  # in the order in which they were dealt
)

Table(
    "trials",
    metadata,
    Column("trial_id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(40), nullable=False, index=True),
    Column("topology", String(80), nullable=False),
    Column("block", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("arm", String(40), nullable=False),
    Column("status", String(16), nullable=False),
    Column("cause", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("elapsed_s", Float, nullable=False),
    Column("flags", JSON, nullable=False),
    Column("facts_before", JSON, nullable=False),  # host -> digest in `facts`
    Column("facts_after", JSON, nullable=False),
    ForeignKeyConstraint(
        ["run_id", "topology", "block", "attempt"],
        ["blocks.run_id", "blocks.topology", "blocks.block", "blocks.attempt"],
    ),
)

Table(
    "trial_history",
    metadata,
    Column("trial_id", ForeignKey("trials.trial_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("at", Float, nullable=False),
    Column("cause", Text, nullable=False),
)

Table(
    "samples",
    metadata,
    Column("trial_id", ForeignKey("trials.trial_id"), primary_key=True),
    Column("probe", String(40), primary_key=True),
    Column("metric", String(40), primary_key=True),
    Column("end", String(40), primary_key=True),
    Column("direction", String(40), primary_key=True),
    Column("value", Float, nullable=False),
    Column("unit", String(16), nullable=False),
    Column("interval_s", Float, nullable=False),
)

Table(
    "histograms",
    metadata,
    Column("trial_id", ForeignKey("trials.trial_id"), primary_key=True),
    Column("probe", String(40), primary_key=True),
    Column("metric", String(40), primary_key=True),
    Column("unit", String(16), nullable=False),
    Column("counts", JSON, nullable=False),
)

Table(
    "raw",
    metadata,
    Column("trial_id", ForeignKey("trials.trial_id"), primary_key=True),
    Column("probe", String(40), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("body", LargeBinary, nullable=False),  # zlib
)

Table(
    "facts",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("host", String(80), nullable=False),
    Column("body", LargeBinary, nullable=False),  # zlib of JSON
)


def upgrade() -> None:
    """Make all tables."""
    metadata.create_all(op.get_bind())
