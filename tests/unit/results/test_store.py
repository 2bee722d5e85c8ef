"""What every store keeps, and how it refuses: SQLite in a file, SQLite in memory."""

import sqlite3
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command

from bench.hosts.command import Command
from bench.hosts.local import Local
from results.errors import NotAble, WrongInput
from results.records import Histogram, Run, Sample, Trial
from results.store import Ended, Listed, Store, opened
from tests.unit.results.example import example_run

SAMPLES = (
    Sample("tcp", "goodput", 1.5e10, "bit/s", "receiver", "a>b", 0.8),
    Sample("tcp", "drops", 0.0, "1", "path", "a>b", 1.0),
    Sample("latency", "rtt_p50", 1.1e-4, "s", "a", "a>b", 0.5),
)
DONE = Ended(
    "done", "", 1.25, SAMPLES, (Histogram("latency", "rtt", "s", {1150: 3, 1151: 7}),), ("zero interval at 0.3 s",),
    {("tcp", "client"): '{"ü": 1}\n', ("latency", "client"): r"\xff"}, {"a": "d1", "b": "d2"}, {"a": "d1", "b": "d2"},
)  # fmt: skip
SETTINGS = {"t": (
    {"setting": "tso", "value": "off", "target": "path", "was": "on"},
    {"setting": "gso", "value": "off", "target": "path", "was": "on"},
)}  # fmt: skip
ARMS = ("current", "t", "current-again")


def _run(run_id: str = "20260131-120000-k7qd", **changes: object) -> Run:
    as_stored = {"settings": SETTINGS, "status": "running", "ended_at": None} | changes
    return replace(example_run(), run_id=run_id, **as_stored)  # type: ignore[arg-type]


def _block(store: Store, run_id: str, block: int, *, attempt: int = 0, ended: Ended = DONE, whole: bool = True) -> None:
    store.begin_block(run_id, "bridge", block, attempt, ARMS)
    for position, arm in enumerate(ARMS):
        store.end_trial(store.begin_trial(run_id, "bridge", block, attempt, position, arm), ended)
    if whole:
        store.end_block(run_id, "bridge", block, attempt)


def _statuses(store: Store, run_id: str) -> list[tuple[int, int, str, str]]:
    return [(each.block, each.attempt, each.arm, each.status) for each in store.trials(run_id)]


class StoreContract:
    """The points that hold whatever the database is."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """Each database brings its own, empty."""
        raise NotImplementedError  # a contract is tested through those who keep it

    def test_a_new_store_has_no_runs(self, store: Store) -> None:
        """And says so when asked for one."""
        assert store.run_ids() == []
        for name in ("last", "", "20260131"):
            with pytest.raises(WrongInput, match=f"has no run '{name}'") as raised:
                store.run(name)
            assert raised.value.hint == "`nettune runs` lists them"

    def test_a_run_comes_back_as_it_was(self, store: Store) -> None:
        """Plan, design, guards, settings in order, machine, drawings, notes."""
        run = _run()
        store.begin_run(run)

        assert store.run(run.run_id) == run

    def test_a_run_without_treatments_comes_back_too(self, store: Store) -> None:
        """The plan `noise`."""
        run = _run(settings={}, skipped=(), notes=(), drawings={})
        store.begin_run(run)

        assert store.run("last") == run

    def test_a_trial_comes_back_with_everything(self, store: Store) -> None:
        """Every sample, histogram, flag and byte of raw output; numbers to the last bit."""
        store.begin_run(_run())
        _block(store, _run().run_id, 0)
        trials = store.trials(_run().run_id)
        first = trials[0]

        assert [each.arm for each in trials] == list(ARMS)
        assert sorted(first.samples, key=str) == sorted(SAMPLES, key=str)
        assert first.histograms == DONE.histograms
        assert (first.flags, first.elapsed_s, first.status) == (DONE.flags, 1.25, "done")
        assert store.raw(first.trial_id) == dict(DONE.raw)
        assert first.value("latency.rtt_p50") == 1.1e-4

    def test_samples_of_metrics_that_nobody_asked_for_may_stay_where_they_are(self, store: Store) -> None:
        """Those that were asked for are all there, as they are with the others."""
        store.begin_run(_run())
        _block(store, _run().run_id, 0)
        few = store.trials(_run().run_id, histograms=False, metrics=("tcp.goodput", "latency.rtt_p50"))

        assert {sample.name for sample in few[0].samples} == {"tcp.goodput", "latency.rtt_p50"}
        assert (few[0].value("tcp.goodput"), few[0].histograms) == (1.5e10, ())

    def test_a_beginning_is_taken_to_the_letter(self, store: Store) -> None:
        """No pattern of SQL's, no other case; a whole id wins over a longer one that begins so."""
        for run_id in ("20260131-120000-k7qd", "20260131-120000-k7qd-2", "20260201-120000-a"):
            store.begin_run(_run(run_id))

        assert store.run("20260131-120000-k7qd").run_id == "20260131-120000-k7qd"
        assert store.run("202602").run_id == "20260201-120000-a"
        for name, many in (("2026", "more than one"), ("20260131-120000-K7QD", "no"), ("2026020_", "no")):
            with pytest.raises(WrongInput, match=f"has {many} run '{name}'"):
                store.run(name)

    def test_a_trial_without_numbers_keeps_its_cause(self, store: Store) -> None:
        """Failed and missing are kept, never as 0."""
        store.begin_run(_run())
        _block(store, _run().run_id, 0, ended=Ended("failed", "refused", 0.5))

        assert {(each.status, each.cause, each.samples) for each in store.trials(_run().run_id)} == {
            ("failed", "refused", ())
        }

    def test_trials_come_in_the_order_of_measurement(self, store: Store) -> None:
        """Whatever block they belong to."""
        store.begin_run(_run())
        for block in (2, 0, 1):
            _block(store, _run().run_id, block)

        assert [each.block for each in store.trials(_run().run_id)] == [2, 2, 2, 0, 0, 0, 1, 1, 1]

    def test_a_block_on_its_way_reads_running(self, store: Store) -> None:
        """No verdict may count half a block, also where its trials have ended."""
        store.begin_run(_run())
        _block(store, _run().run_id, 0)
        _block(store, _run().run_id, 1, whole=False)

        assert {(block, status) for block, _, _, status in _statuses(store, _run().run_id)} == {
            (0, "done"),
            (1, "running"),
        }
        assert sorted(store.blocks(_run().run_id)) == [("bridge", 0, 0, "complete"), ("bridge", 1, 0, "running")]

    def test_an_interrupted_run_orphans_what_was_on_its_way(self, store: Store) -> None:
        """Complete blocks stay; the rest says why it does not count; the next attempt counts."""
        run_id = _run().run_id
        store.begin_run(_run())
        _block(store, run_id, 0)
        store.begin_block(run_id, "bridge", 1, 0, ARMS)
        store.end_trial(store.begin_trial(run_id, "bridge", 1, 0, 0, "current"), DONE)
        store.begin_trial(run_id, "bridge", 1, 0, 1, "t")
        store.end_run(run_id, "interrupted")
        interrupted, causes = (
            store.run(run_id),
            {each.cause for each in store.trials(run_id) if each.status == "orphan"},
        )
        store.end_run(run_id, "running")
        _block(store, run_id, 1, attempt=1)
        store.end_run(run_id, "complete")

        assert (interrupted.status, store.run(run_id).status) == ("interrupted", "complete")
        assert interrupted.ended_at is not None
        assert causes == {"its block was cut short; it is measured afresh"}
        assert [status for *_, status in _statuses(store, run_id)] == ["done"] * 3 + ["orphan"] * 2 + ["done"] * 3
        assert sorted(store.blocks(run_id))[1:] == [("bridge", 1, 0, "orphan"), ("bridge", 1, 1, "complete")]

    def test_a_run_that_goes_on_has_not_ended(self, store: Store) -> None:
        """Resumed, it reads as running."""
        store.begin_run(_run())
        store.end_run(_run().run_id, "interrupted")
        store.end_run(_run().run_id, "running")

        assert (store.run("last").status, store.run("last").ended_at) == ("running", None)

    def test_runs_do_not_mix(self, store: Store) -> None:
        """Each has its own trials, blocks and settings; ending one leaves the other alone."""
        for run_id in ("r1", "r2"):
            store.begin_run(_run(run_id))
            _block(store, run_id, 0, whole=False)
        store.end_run("r1", "interrupted")

        assert {status for *_, status in _statuses(store, "r1")} == {"orphan"}
        assert {status for *_, status in _statuses(store, "r2")} == {"running"}

    def test_a_run_is_found_by_its_beginning(self, store: Store) -> None:
        """The whole id, a beginning that only one has, or last; newest first."""
        for run_id, at in (("20260131-aa", 1.0), ("20260131-ab", 3.0), ("20260131-a", 2.0)):
            store.begin_run(_run(run_id, started_at=at))

        assert store.run_ids() == ["20260131-ab", "20260131-a", "20260131-aa"]
        assert [store.run(name).run_id for name in ("last", "20260131-a", "20260131-aa", "20260131-ab")] == [
            "20260131-ab", "20260131-a", "20260131-aa", "20260131-ab"
        ]  # fmt: skip
        with pytest.raises(WrongInput, match="has more than one run '2026'"):
            store.run("2026")

    def test_runs_are_listed_by_plan_and_label(self, store: Store) -> None:
        """Newest first, without reading their plans; equal times by id, so that a list is always the same."""
        for run_id, at, label in (("r1", 1.0, "main"), ("r2", 2.0, "main"), ("r3", 2.0, "")):
            store.begin_run(_run(run_id, started_at=at, label=label, confirms="r0"))

        assert [each.run_id for each in store.listed()] == ["r3", "r2", "r1"]
        assert [each.run_id for each in store.listed(label="main")] == ["r2", "r1"]
        assert store.listed(plan="other") == []
        assert store.listed(plan="my-path")[0] == Listed("r3", "my-path", "running", 2.0, "r0", "")

    def test_trials_come_without_histograms_where_nobody_needs_them(self, store: Store) -> None:
        """All else is the same."""
        store.begin_run(_run())
        _block(store, _run().run_id, 0)
        lean = store.trials(_run().run_id, histograms=False)

        assert lean == tuple(replace(each, histograms=()) for each in store.trials(_run().run_id))

    def test_facts_are_kept_once_and_lead_back_to_the_baseline(self, store: Store) -> None:
        """Equal sheets share a digest; the baseline is what current saw first."""
        run_id = _run().run_id
        store.begin_run(_run())
        for _ in range(2):
            store.keep_facts("d1", "a", {"k": "ü"})
            store.keep_facts("d2", "b", {})
        none = store.baseline(run_id, "bridge")
        _block(store, run_id, 0)
        _block(store, run_id, 1, ended=replace(DONE, facts_before={"a": "d2"}))

        assert none == {}
        assert store.baseline(run_id, "bridge") == {"a": {"k": "ü"}, "b": {}}
        assert store.baseline(run_id, "direct") == {}

    def test_a_transaction_that_fails_leaves_nothing(self, store: Store) -> None:
        """A trial is whole or not there: two samples under one name are refused, with all the others."""
        store.begin_run(_run())
        store.begin_block(_run().run_id, "bridge", 0, 0, ARMS)
        trial_id = store.begin_trial(_run().run_id, "bridge", 0, 0, 0, "t")
        with pytest.raises(NotAble):
            store.end_trial(trial_id, replace(DONE, samples=(*SAMPLES, SAMPLES[0])))
        (trial,) = store.trials(_run().run_id)

        assert isinstance(trial, Trial)
        assert (trial.status, trial.samples, trial.histograms) == ("running", (), ())


class TestMemory(StoreContract):
    """SQLite without a file: a run that is not to be kept."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """A new one for each test."""
        with opened(":memory:") as store:
            yield store


class TestFile(StoreContract):
    """SQLite in a file, the default."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """In a folder that is not there yet."""
        return tmp_path / "new" / "nettune.db"

    @pytest.fixture
    def store(self, path: Path) -> Iterator[Store]:
        """A new one for each test."""
        with opened(str(path)) as store:
            yield store

    def test_it_is_there_when_opened_again(self, store: Store, path: Path) -> None:
        """By file name and by URL; while another has it open too."""
        store.begin_run(_run())
        for url in (str(path), f"sqlite:///{path}"):
            with opened(url) as again:
                assert again.run_ids() == [_run().run_id]
                assert again.shown == f"store {path}"

    def test_the_history_of_a_trial_is_kept(self, store: Store, path: Path) -> None:
        """Running, done, orphan: each with its time."""
        store.begin_run(_run())
        _block(store, _run().run_id, 0, whole=False)
        store.end_run(_run().run_id, "interrupted")
        with sqlite3.connect(path) as connection:
            rows = connection.execute(
                "SELECT status FROM trial_history WHERE trial_id = 1 ORDER BY position"
            ).fetchall()  # fmt: skip
        connection.close()

        assert [row[0] for row in rows] == ["running", "done", "orphan"]

    def test_a_store_of_a_newer_nettune_is_refused_by_name(self, store: Store, path: Path) -> None:
        """Nothing is read from a format that is not known."""
        _sql(path, "UPDATE alembic_version SET version_num = '0099'")
        with pytest.raises(WrongInput, match=r"nettune\.db was written by a newer nettune \(format 0099; .* 0003\)"):
            _open(path)

    def test_a_store_of_an_older_nettune_is_migrated_with_its_runs(self, store: Store, path: Path) -> None:
        """Format 0001 knew neither labels nor capacities."""
        store.begin_run(_run())
        for statement in ("DROP INDEX runs_listed", "ALTER TABLE runs DROP COLUMN label",
                          "ALTER TABLE runs DROP COLUMN capacities",
                          "UPDATE alembic_version SET version_num = '0001'"):  # fmt: skip
            _sql(path, statement)

        with opened(str(path)) as again:
            found = again.run(_run().run_id)

        assert (found.label, found.capacities) == ("", {})
        assert found == _run()

    def test_capacities_are_kept_with_their_run(self, store: Store) -> None:
        """Measured after the run began, before its first block; another run's stay."""
        store.begin_run(_run())
        store.keep_capacities(_run().run_id, {"bridge/tcp.goodput": 2.0e10})
        store.keep_capacities("another", {"bridge/tcp.goodput": 1.0})

        assert store.run(_run().run_id).capacities == {"bridge/tcp.goodput": 2.0e10}

    def test_a_store_whose_making_was_cut_short_is_made_again(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All of its tables or none: it is not taken for somebody else's afterwards."""
        whole = command.upgrade

        def cut(*arguments: Any) -> None:  # Any: alembic's
            whole(*arguments)
            raise KeyboardInterrupt

        monkeypatch.setattr(command, "upgrade", cut)
        with pytest.raises(KeyboardInterrupt):
            _open(path)
        monkeypatch.undo()
        with opened(str(path)) as again:
            again.begin_run(_run())
            found = again.run_ids()

        assert found == [_run().run_id]


def _open(path: Path | str) -> None:
    with opened(str(path)):
        pass


def _sql(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    """It is named by its tables, and left as it was."""
    _sql(tmp_path / "x.db", "CREATE TABLE customers (id INTEGER); CREATE TABLE runs (id INTEGER)")
    with pytest.raises(WrongInput, match=r"x\.db is a database of something else \(it holds customers, runs …\)"):
        _open(tmp_path / "x.db")
    connection = sqlite3.connect(tmp_path / "x.db")
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()

    assert names == {"customers", "runs"}


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A slip in --store does not overwrite a report."""
    (tmp_path / "report.html").write_text("<html>" * 200, encoding="utf-8")
    with pytest.raises(WrongInput, match=r"report\.html is no database"):
        _open(tmp_path / "report.html")

    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "<html>" * 200


@pytest.mark.parametrize(
    ("url", "words"),
    [("nosuchdb://host/x", "no driver for this kind of database"), ("://", "is no database URL")],
)
def test_a_url_that_no_database_has_is_wrong_input(url: str, words: str) -> None:
    """The option was mistyped."""
    with pytest.raises(WrongInput, match=words):
        _open(url)


def test_a_place_that_cannot_hold_a_store_is_said(tmp_path: Path) -> None:
    """Below a file, a folder, a device: path and cause."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    for url, words in (
        (tmp_path / "file" / "below" / "x.db", "Not a directory"), (tmp_path, "unable to open database file"),
        ("/proc/nettune/x.db", "No such file or directory"),
    ):  # fmt: skip
        with pytest.raises(NotAble, match=words) as raised:
            _open(url)
        assert str(raised.value).startswith(f"store {url}: ")


def test_a_password_is_never_shown() -> None:
    """Neither in the error nor in its hint."""
    with pytest.raises(Exception, match=r"db\.example") as raised:
        _open("nosuchdb://me:hunter2@db.example/x")

    assert "hunter2" not in str(raised.value)


FULL = """
import os, resource, sys
sys.path.insert(0, sys.argv[2])
from tests.unit.results.test_store import _block, _run, DONE
from dataclasses import replace
from results.errors import NotAble
from results.store import opened
with opened(sys.argv[1]) as store:
    store.begin_run(_run()); _block(store, _run().run_id, 0)
    room = os.path.getsize(sys.argv[1] + "-wal") + 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    said = ""
    try:
        import random
        noise = "".join(chr(random.randrange(32, 0x2fff)) for _ in range(300_000))
        _block(store, _run().run_id, 1, ended=replace(DONE, raw={("tcp", "client"): noise}))
    except NotAble as error:
        said = f"{error} | {error.hint}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.end_run(_run().run_id, "interrupted")
    print(said); print([each.status for each in store.trials(_run().run_id)])
"""


def test_a_full_disk_is_said_and_what_was_kept_stays(tmp_path: Path) -> None:
    """The trial that does not fit is not half there; the run can be ended once there is room."""
    path = tmp_path / "x.db"
    asked = Command((sys.executable, "-c", FULL, str(path), str(Path(__file__).parents[3])), deadline_s=60)
    said, statuses = Local().run(asked).require().stdout.splitlines()

    assert said.startswith(f"store {path}: ")
    assert said.endswith("| is the disk full?")
    assert statuses == "['done', 'done', 'done', 'orphan']"


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from tests.unit.results.test_store import _block, _run
from results.store import opened
with opened(sys.argv[1]) as store:
    store.begin_run(_run(sys.argv[3]))
    for block in range(8):
        store.keep_facts(f"d{block}", "a", {"k": "v"})
        _block(store, sys.argv[3], block)
    store.end_run(sys.argv[3], "complete")
"""


def test_two_processes_write_one_store(tmp_path: Path) -> None:
    """Made and written by both at once: nothing is lost, and the same facts are no conflict."""
    path = tmp_path / "x.db"
    root = str(Path(__file__).parents[3])
    commands = [
        Command((sys.executable, "-c", WRITER, str(path), root, run_id), deadline_s=60) for run_id in ("r1", "r2")
    ]
    with Local().start(commands[0]) as first, Local().start(commands[1]) as second:
        ended = [(job.wait().returncode, job.wait().stderr) for job in (first, second)]
    with opened(str(path)) as store:
        counts = {run_id: len(store.trials(run_id)) for run_id in store.run_ids()}

    assert ended == [(0, ""), (0, "")]
    assert counts == {"r1": 24, "r2": 24}


def test_a_store_that_somebody_is_just_making_is_waited_for(tmp_path: Path) -> None:
    """SQLite's own timeout does not hold for the change to a write-ahead log."""
    path = tmp_path / "x.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, other.execute, ("ROLLBACK",))
    release.start()
    try:
        with opened(str(path)) as store:
            assert store.run_ids() == []
    finally:
        release.join()
        other.close()
