"""The tables of the store and their migrations. Core tables, no ORM; SQLite and PostgreSQL.

The version is alembic's. A store that is newer than this tool is refused by name; an older one is migrated.
"""

import time
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    inspect,
    text,
)

from results.errors import WrongInput

# 0001 (2026-11-23): runs, blocks, trials with status history, samples, histograms, raw output, facts, settings.
# 0002 (2026-11-24): runs have a label and the capacities that were measured for their loads.
# 0003 (2026-11-27): seeds of 64 bits and names of any length in PostgreSQL, which keeps to what a column says.
VERSION = "0003"
_KNOWN = ("0001", "0002", "0003")

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("plan_name", Text, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("design", JSON, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("revision", Text, nullable=False),
    Column("skipped", JSON, nullable=False),
    Column("machine", JSON, nullable=False),
    Column("drawings", JSON, nullable=False),
    Column("notes", JSON, nullable=False),
    Column("confirms", Text, nullable=False),
    Column("label", Text, nullable=False, server_default=""),
    Column("capacities", JSON, nullable=False, server_default="{}"),
)

settings = Table(
    "settings",
    metadata,
    Column("run_id", ForeignKey("runs.run_id"), primary_key=True),
    Column("treatment", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("setting", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("was", Text, nullable=False),  # the value under current
)

blocks = Table(
    "blocks",
    metadata,
    Column("run_id", ForeignKey("runs.run_id"), primary_key=True),
    Column("topology", Text, primary_key=True),
    Column("block", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("arms", JSON, nullable=False),  # in the order in which they were dealt
)

trials = Table(
    "trials",
    metadata,
    Column("trial_id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", Text, nullable=False, index=True),
    Column("topology", Text, nullable=False),
    Column("block", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("arm", Text, nullable=False),
    Column("status", Text, nullable=False),
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

trial_history = Table(
    "trial_history",
    metadata,
    Column("trial_id", ForeignKey("trials.trial_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("cause", Text, nullable=False),
)

samples = Table(
    "samples",
    metadata,
    Column("trial_id", ForeignKey("trials.trial_id"), primary_key=True),
    Column("probe", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("end", Text, primary_key=True),
    Column("direction", Text, primary_key=True),
    Column("value", Float, nullable=False),
    Column("unit", Text, nullable=False),
    Column("interval_s", Float, nullable=False),
)

histograms = Table(
    "histograms",
    metadata,
    Column("trial_id", ForeignKey("trials.trial_id"), primary_key=True),
    Column("probe", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("counts", JSON, nullable=False),
)

raw = Table(
    "raw",
    metadata,
    Column("trial_id", ForeignKey("trials.trial_id"), primary_key=True),
    Column("probe", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),  # zlib
)

facts = Table(
    "facts",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # zlib of JSON
)


_MAKING = 7_116_011  # any number, the same for all who make a store in one database
_WAL_S = 10.0  # as long as busy_timeout


def set_up_sqlite(connection: Any, record: object) -> None:  # Any: the driver's own connection
    """Write-ahead log, and waiting for the locks of others, on a connection just made."""
    del record
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    # Two who make one store: whatever the timeout, SQLite does not wait for the other's lock where that could end in a
    # deadlock (sqlite3_busy_handler), and here it does not.
    deadline = time.monotonic() + _WAL_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except Exception as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    cursor.close()


def prepare(engine: Engine, shown: str) -> None:
    """Bring the store to VERSION; raises WrongInput for one made by a newer nettune or by something else."""
    with engine.connect() as connection:
        found = _version(connection)
        tables = inspect(connection).get_table_names() if found is None else []
    if found == VERSION:
        return
    if found is None and tables:
        raise WrongInput(
            f"{shown} is a database of something else (it holds {', '.join(sorted(tables)[:3])} …)",
            hint="name another file with --store",
        )
    if found is not None and found not in _KNOWN:
        raise WrongInput(
            f"{shown} was written by a newer nettune (format {found}; this one knows up to {VERSION})",
            hint="update nettune, or name another store with --store",
        )
    _upgrade(engine)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(engine: Engine) -> None:
    from alembic import command  # noqa: PLC0415 - 0.2 s that only a new or old store pays
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # one maker at a time, and all of the tables or none
        elif engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MAKING})")  # the same
        if _version(connection) != VERSION:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
