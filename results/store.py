"""Store: every number, with the facts and raw output behind it, in SQL by URL: SQLite by default, or PostgreSQL.

A trial is committed when it ends. In SQLite's WAL mode with synchronous=NORMAL a killed process loses none that had
ended; a power cut may lose those of the last seconds, never the file. What PostgreSQL loses is its server's to say.
"""

import contextlib
import dataclasses
import json
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy import exc

from results import schema
from results.errors import NotAble, WrongInput
from results.records import Design, Guard, Histogram, Run, RunStatus, Sample, Trial, TrialStatus


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a trial ended, with everything that is kept of it."""

    status: TrialStatus
    cause: str
    elapsed_s: float
    samples: tuple[Sample, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    flags: tuple[str, ...] = ()
    raw: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)  # (probe, name) -> text
    facts_before: Mapping[str, str] = dataclasses.field(default_factory=dict)  # host -> digest
    facts_after: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A run as lists show it: without plan, design and drawings, which are most of its bytes."""

    run_id: str
    plan_name: str
    status: str
    started_at: float
    confirms: str
    label: str


@contextlib.contextmanager
def opened(url: str) -> Iterator["Store"]:
    """The store at `url` (or a plain file name), made or migrated where needed; errors name it."""
    if "://" not in url:
        url = f"sqlite:///{url}"
    try:
        address = sql.make_url(url)
    except exc.ArgumentError as error:
        hint = "a file name, sqlite:///FILE or postgresql://USER@HOST/NAME"
        raise WrongInput(f"--store {url!r} is no database URL", hint=hint) from error
    if address.drivername == "postgresql":  # SQLAlchemy's default is the driver before this one
        address = address.set(drivername="postgresql+psycopg")
    shown = address.database if address.drivername == "sqlite" else address.render_as_string(hide_password=True)
    shown = f"store {shown}"
    with _named(shown):
        if address.drivername == "sqlite" and address.database not in {None, "", ":memory:"}:
            Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
        engine = sql.create_engine(address)
        if engine.dialect.name == "sqlite":
            sql.event.listen(engine, "connect", schema.set_up_sqlite)
    try:
        with _named(shown):
            schema.prepare(engine, shown)
        yield Store(engine, shown)
    finally:
        engine.dispose()


@contextlib.contextmanager
def _named(shown: str) -> Iterator[None]:
    try:
        yield
    except exc.NoSuchModuleError as error:
        raise WrongInput(f"{shown}: no driver for this kind of database: {error}") from error
    except exc.DatabaseError as error:
        said = str(error.orig or error)
        if "not a database" in said:
            raise WrongInput(f"{shown} is no database: {said}", hint="name another file with --store") from error
        raise NotAble(f"{shown}: {said.strip()}", hint=_hint(said, error)) from error
    except ImportError as error:
        hint = (
            "pipx inject nettune 'psycopg[binary]', or install nettune[postgresql]" if "psycopg" in str(error) else ""
        )
        raise NotAble(f"{shown}: its driver is not installed: {error}", hint=hint) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise NotAble(f"{shown}: {error.strerror}: {error.filename}") from error


def _hint(said: str, error: exc.DatabaseError) -> str:
    if "full" in said or "I/O" in said or "No space" in said:
        return "is the disk full?"
    if "psycopg" in type(error.orig).__module__:
        return "is the server up, and may this user log in and write there?"
    return "is its folder there, writable and on a local disk?"


class Store:
    """Reads and writes runs; made by `opened`."""

    def __init__(self, engine: sql.Engine, shown: str) -> None:
        self._engine = engine
        self._kept_facts: set[str] = set()
        self.shown = shown

    @contextlib.contextmanager
    def _begin(self) -> Iterator[sql.Connection]:
        with _named(self.shown), self._engine.begin() as connection:
            yield connection

    # -- writing -------------------------------------------------------------------------------------------------

    def begin_run(self, run: Run) -> None:
        """A new run with its settings."""
        row = {
            field.name: getattr(run, field.name)
            for field in dataclasses.fields(run)
            if field.name not in {"design", "settings", "skipped", "notes"}
        }
        row |= {"design": dataclasses.asdict(run.design), "skipped": list(run.skipped), "notes": list(run.notes)}
        rows = [
            {"run_id": run.run_id, "treatment": treatment, "position": position, **setting}
            for treatment, listed in run.settings.items()
            for position, setting in enumerate(listed)
        ]
        with self._begin() as connection:
            connection.execute(sql.insert(schema.runs), row)
            if rows:
                connection.execute(sql.insert(schema.settings), rows)

    def end_run(self, run_id: str, status: RunStatus) -> None:
        """Say how the run stands; trials and blocks that were on their way become orphans."""
        now = time.time()
        blocks, trials = schema.blocks, schema.trials
        with self._begin() as connection:
            left = connection.execute(
                sql.select(blocks.c.topology, blocks.c.block, blocks.c.attempt).where(
                    blocks.c.run_id == run_id, blocks.c.status == "running"
                )
            ).all()
            for topology, block, attempt in left:
                here = (run_id, topology, block, attempt)
                connection.execute(sql.update(blocks).where(_of_block(blocks, *here)).values(status="orphan"))
                asked = sql.select(trials.c.trial_id, trials.c.status, trials.c.cause)
                for trial_id, was, why in connection.execute(asked.where(_of_block(trials, *here))).all():
                    cause = "its block was cut short; it is measured afresh"
                    cause += f" (it {'had failed' if was == 'failed' else 'was missing'}: {why})" if why else ""
                    values = {"status": "orphan", "cause": cause}
                    connection.execute(sql.update(trials).where(trials.c.trial_id == trial_id).values(values))
                    self._history(connection, trial_id, "orphan", now, cause)
            ended = None if status == "running" else now
            connection.execute(
                sql.update(schema.runs).where(schema.runs.c.run_id == run_id).values(status=status, ended_at=ended)
            )

    def keep_capacities(self, run_id: str, capacities: Mapping[str, float]) -> None:
        """What current was measured to carry before the first block, by "topology/probe.metric"."""
        with self._begin() as connection:
            connection.execute(
                sql.update(schema.runs).where(schema.runs.c.run_id == run_id).values(capacities=dict(capacities))
            )

    def begin_block(self, run_id: str, topology: str, block: int, attempt: int, arms: Sequence[str]) -> None:
        """A block is on its way, its arms in this order."""
        row = {"run_id": run_id, "topology": topology, "block": block, "attempt": attempt, "status": "running",
               "arms": list(arms)}  # fmt: skip
        with self._begin() as connection:
            connection.execute(sql.insert(schema.blocks), row)

    def end_block(self, run_id: str, topology: str, block: int, attempt: int) -> None:
        """The block is complete: it is never measured again."""
        which = {"of_run": run_id, "of_topology": topology, "of_block": block, "of_attempt": attempt}
        with self._begin() as connection:
            connection.execute(_END_BLOCK, {**which, "status": "complete"})

    def begin_trial(self, run_id: str, topology: str, block: int, attempt: int, position: int, arm: str) -> int:
        """A trial is on its way; its id."""
        now = time.time()
        row = {"run_id": run_id, "topology": topology, "block": block, "attempt": attempt, "position": position,
               "arm": arm, "status": "running", "cause": "", "started_at": now, "elapsed_s": 0.0, "flags": [],
               "facts_before": {}, "facts_after": {}}  # fmt: skip
        with self._begin() as connection:
            trial_id = connection.execute(_NEW_TRIAL, row).inserted_primary_key
            assert trial_id is not None  # noqa: S101 - an insert of one row has one
            self._history(connection, int(trial_id[0]), "running", now, "")
        return int(trial_id[0])

    def end_trial(self, trial_id: int, ended: Ended) -> None:
        """Everything of a trial, in one transaction."""
        cause = ended.cause.replace("\0", "\N{REPLACEMENT CHARACTER}")  # PostgreSQL's text holds none
        values = {"status": ended.status, "cause": cause, "elapsed_s": ended.elapsed_s,
                  "flags": list(ended.flags), "facts_before": dict(ended.facts_before),
                  "facts_after": dict(ended.facts_after)}  # fmt: skip
        rows: dict[sql.Table, list[dict[str, object]]] = {
            schema.samples: [_row(sample) for sample in ended.samples],
            schema.histograms: [{**_row(each), "counts": dict(each.counts)} for each in ended.histograms],
            schema.raw: [
                {"probe": probe, "name": name, "body": zlib.compress(text.encode(), 1)}
                for (probe, name), text in ended.raw.items()
            ],
        }
        with self._begin() as connection:
            connection.execute(_END_TRIAL, {"of_trial": trial_id, **values})
            self._history(connection, trial_id, ended.status, time.time(), cause)
            for table, listed in rows.items():
                if listed:
                    connection.execute(_NEW[table], [{"trial_id": trial_id, **row} for row in listed])

    def keep_facts(self, digest: str, host: str, facts: Mapping[str, str]) -> None:
        """A fact sheet under its digest; the same one is kept once."""
        if digest in self._kept_facts:
            return
        table = schema.facts
        twice = contextlib.suppress(exc.IntegrityError)  # another process kept the same sheet at the same moment
        with _named(self.shown), twice, self._engine.begin() as connection:
            if connection.execute(sql.select(table.c.digest).where(table.c.digest == digest)).first() is None:
                body = zlib.compress(json.dumps(dict(facts)).encode())
                connection.execute(sql.insert(table), {"digest": digest, "host": host, "body": body})
        self._kept_facts.add(digest)

    @staticmethod
    def _history(connection: sql.Connection, trial_id: int, status: str, at: float, cause: str) -> None:
        row = {"of_trial": trial_id, "trial_id": trial_id, "status": status, "at": at, "cause": cause}
        connection.execute(_NEW_HISTORY, row)

    # -- reading -------------------------------------------------------------------------------------------------

    def run_ids(self) -> list[str]:
        """All runs, newest first."""
        return [each.run_id for each in self.listed()]

    def listed(self, *, plan: str = "", label: str = "") -> list[Listed]:
        """The runs, newest first; with `plan` or `label` only those that have that name."""
        table = schema.runs
        query = sql.select(*(table.c[field.name] for field in dataclasses.fields(Listed)))
        for column, word in ((table.c.plan_name, plan), (table.c.label, label)):
            query = query.where(column == word) if word else query
        with self._begin() as connection:
            rows = connection.execute(query.order_by(table.c.started_at.desc(), table.c.run_id.desc())).all()
        return [Listed(*row) for row in rows]

    def run(self, name: str) -> Run:
        """The run of that id, of the only id that begins so, or "last". Raises WrongInput."""
        run_id = self._resolved(name)
        with self._begin() as connection:
            row = connection.execute(sql.select(schema.runs).where(schema.runs.c.run_id == run_id)).mappings().one()
            listed = connection.execute(
                sql.select(schema.settings)
                .where(schema.settings.c.run_id == run_id)
                .order_by(schema.settings.c.treatment, schema.settings.c.position)
            ).mappings()
            settings: dict[str, list[Mapping[str, str]]] = {}
            for each in listed:
                one = {key: str(each[key]) for key in ("setting", "value", "target", "was")}
                settings.setdefault(each["treatment"], []).append(one)
        design = dict(row["design"])
        design["guards"] = tuple(Guard(**guard) for guard in design["guards"])
        for name_of in ("topologies", "treatments", "metrics"):
            design[name_of] = tuple(design[name_of])
        values = {**row, "design": Design(**design), "skipped": tuple((cell, why) for cell, why in row["skipped"])}
        values |= {"notes": tuple(row["notes"]), "settings": {key: tuple(rows) for key, rows in settings.items()}}
        return Run(**values)

    def _resolved(self, name: str) -> str:
        """The id that `name` stands for, found without listing the store: a whole id, "last", or a beginning."""
        table = schema.runs
        query = sql.select(table.c.run_id).order_by(table.c.started_at.desc(), table.c.run_id.desc())
        ways = [query.where(table.c.run_id == name)]
        ways += [query.limit(1)] if name == "last" else []
        ways += [query.where(sql.func.substr(table.c.run_id, 1, len(name)) == name).limit(2)] if name else []
        found: list[str] = []
        with self._begin() as connection:
            for way in ways:
                found = found or list(connection.execute(way).scalars())
        if len(found) != 1:
            raise WrongInput(
                f"{self.shown} has {'no' if not found else 'more than one'} run {name!r}",
                hint="`nettune runs` lists them",
            )
        return found[0]

    def trials(self, run_id: str, *, histograms: bool = True, metrics: Sequence[str] = ()) -> tuple[Trial, ...]:
        """Every trial of a run in the order of measurement, orphans included; `histograms` are most of the bytes.

        With `metrics` ("tcp.goodput") samples of others may be left out: of 22 a trial, verdicts rest on 8.
        A trial whose block is still on its way reads "running": no verdict may count half a block.
        """
        table, blocks = schema.trials, schema.blocks
        ours = sql.select(table.c.trial_id).where(table.c.run_id == run_id)
        kept: dict[int, list[Sample]] = {}
        shapes: dict[int, list[Histogram]] = {}
        other = {"samples", "histograms", "flags"}
        names = [each.name for each in dataclasses.fields(Trial) if each.init and each.name not in other]
        with self._begin() as connection:
            rows = connection.execute(
                sql.select(*(table.c[name] for name in names), table.c.flags, blocks.c.status.label("block_status"))
                .join(blocks)
                .where(table.c.run_id == run_id)
                .order_by(table.c.trial_id)
            ).mappings().all()  # fmt: skip
            named = schema.samples
            columns = (named.c.trial_id, *(named.c[name] for name in Sample.__slots__))
            query = sql.select(*columns).where(named.c.trial_id.in_(ours))
            if metrics:
                query = query.where(named.c.metric.in_({name.partition(".")[2] for name in metrics}))
            for trial_id, *fields in connection.execute(query).all():
                kept.setdefault(trial_id, []).append(Sample(*fields))
            named = schema.histograms
            rows_of = sql.select(named).where(named.c.trial_id.in_(ours) if histograms else sql.false())
            for row in connection.execute(rows_of).mappings():
                counts = {int(key): n for key, n in row["counts"].items()}
                one = Histogram(row["probe"], row["metric"], row["unit"], counts)
                shapes.setdefault(row["trial_id"], []).append(one)
        return tuple(
            Trial(
                **{name: row[name] for name in names if name != "status"},
                status="running" if row["block_status"] == "running" else row["status"],
                samples=tuple(kept.get(row["trial_id"], ())),
                histograms=tuple(shapes.get(row["trial_id"], ())),
                flags=tuple(row["flags"]),
            )
            for row in rows
        )

    def blocks(self, run_id: str) -> list[tuple[str, int, int, str]]:
        """(topology, block, attempt, status) of every block of a run."""
        table = schema.blocks
        with self._begin() as connection:
            rows = connection.execute(
                sql.select(table.c.topology, table.c.block, table.c.attempt, table.c.status).where(
                    table.c.run_id == run_id
                )
            ).all()
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def baseline(self, run_id: str, topology: str, arm: str = "current") -> dict[str, dict[str, str]]:
        """The facts before the run's first trial of an arm ("": of any) on a topology, by host; {}: there is none."""
        table = schema.trials
        with self._begin() as connection:
            digests = connection.execute(
                sql.select(table.c.facts_before)
                .where(table.c.run_id == run_id, table.c.topology == topology, *((table.c.arm == arm,) if arm else ()),
                       table.c.status.in_(("done", "orphan")))
                .order_by(table.c.trial_id)
            ).scalars()  # fmt: skip
            wanted: Mapping[str, str] = next((each for each in digests if each), {})
            found = {}
            for host, digest in wanted.items():
                body = connection.execute(
                    sql.select(schema.facts.c.body).where(schema.facts.c.digest == digest)
                ).scalar_one()
                found[host] = json.loads(zlib.decompress(body))
        return found

    def raw(self, trial_id: int) -> dict[tuple[str, str], str]:
        """What the probes' tools printed in a trial, by (probe, name)."""
        table = schema.raw
        with self._begin() as connection:
            rows = connection.execute(sql.select(table).where(table.c.trial_id == trial_id)).mappings()
            return {(row["probe"], row["name"]): zlib.decompress(row["body"]).decode() for row in rows}


def _row(record: Sample | Histogram) -> dict[str, object]:
    """The fields by name; not `asdict`, whose deep copy of every sample and bin was 40 % of an append."""
    return {name: getattr(record, name) for name in record.__slots__}


# Made once: building and keying a statement costs as much as SQLite's own part of running it.
_NEW = {table: sql.insert(table) for table in (schema.samples, schema.histograms, schema.raw)}
_NEW_TRIAL = sql.insert(schema.trials)
_END_TRIAL = sql.update(schema.trials).where(schema.trials.c.trial_id == sql.bindparam("of_trial"))
_END_BLOCK = sql.update(schema.blocks).where(
    *(schema.blocks.c[name] == sql.bindparam(f"of_{word}") for name, word in
      (("run_id", "run"), ("topology", "topology"), ("block", "block"), ("attempt", "attempt")))
)  # fmt: skip
_NEW_HISTORY = sql.insert(schema.trial_history).values(
    position=sql.select(sql.func.count())
    .where(schema.trial_history.c.trial_id == sql.bindparam("of_trial"))
    .scalar_subquery()
)


def _of_block(table: sql.Table, run_id: str, topology: str, block: int, attempt: int) -> sql.ColumnElement[bool]:
    """The rows of one attempt at a block."""
    return sql.and_(
        table.c.run_id == run_id,
        table.c.topology == topology,
        table.c.block == block,
        table.c.attempt == attempt,
    )
