"""What every store keeps holds in PostgreSQL too: a server of the test's own, on a socket in its folder."""

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.hosts.command import Command
from bench.hosts.local import Local
from results.errors import NotAble, WrongInput
from results.store import Ended, Store, opened
from tests.unit.results.test_store import WRITER, StoreContract, _block, _run

pytestmark = pytest.mark.postgresql
_USER = "postgres"  # the server refuses to run as root; the package makes this user
_NAMES = (f"db{number}" for number in range(10_000))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The folder of the socket of a server without any data."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL is not installed: in CI this tier has to run")
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    programs = found[-1].parent
    made = Local().run(Command(("mktemp", "-d", "-t", "nettune-pg-XXXXXX"))).require().stdout.strip()
    folder = Path(made)
    become: tuple[str, ...] = ()
    if os.geteuid() == 0:
        shutil.chown(folder, _USER)
        become = ("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups", "--")
    data = str(folder / "data")
    try:
        Local().run(
            Command((*become, str(programs / "initdb"), "-D", data, "-U", _USER, "-A", "trust", "--no-sync",
                     "-E", "UTF8", "--locale=C.UTF-8"), deadline_s=120.0)
        ).require()  # fmt: skip
        argv = (*become, str(programs / "postgres"), "-D", data, "-k", str(folder), "-c", "listen_addresses=",
                "-c", "fsync=off")  # fmt: skip
        with Local().start(Command(argv, deadline_s=3600.0)) as job:
            question = Command((str(programs / "pg_isready"), "-q", "-h", str(folder), "-U", _USER))
            until = time.monotonic() + 30
            while not Local().run(question).ok:
                assert not job.finished(), job.wait().stderr
                assert time.monotonic() < until
                time.sleep(0.05)
            yield str(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def url(server: str) -> str:
    """A new database."""
    return made_database(server)


def made_database(server: str) -> str:
    """The URL of a new database on that server."""
    name = next(_NAMES)
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    Local().run(Command((str(programs / "createdb"), "-h", server, "-U", _USER, name))).require()
    return f"postgresql://{_USER}@/{name}?host={server}"


class TestPostgresql(StoreContract):
    """The points of every store, and those of a server that many share."""

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        """A new one for each test."""
        with opened(url) as store:
            yield store

    def test_it_is_there_when_opened_again(self, store: Store, url: str) -> None:
        """By the same URL, while it is open."""
        store.begin_run(_run())
        with opened(url) as again:
            assert again.run_ids() == [_run().run_id]

    def test_what_postgresql_would_refuse_is_kept(self, store: Store) -> None:
        """Long names, a seed of 63 bits, and the byte that its text cannot hold."""
        run = _run("r" * 60, seed=2**62, label="l" * 200)
        store.begin_run(run)
        store.begin_block(run.run_id, "t" * 200, 0, 0, ["current"])
        trial = store.begin_trial(run.run_id, "t" * 200, 0, 0, 0, "current")
        store.end_trial(trial, Ended("failed", "it said \0", 1.0))
        (kept,) = store.trials(run.run_id)

        assert store.run(run.run_id) == run
        assert kept.cause == "it said \N{REPLACEMENT CHARACTER}"

    def test_two_make_and_write_one_store(self, url: str) -> None:
        """Two processes at the same time: nothing is lost, and the same facts are no conflict."""
        root = str(Path(__file__).parents[2])
        asked = [Command((sys.executable, "-c", WRITER, url, root, name), deadline_s=60.0) for name in ("r1", "r2")]
        with contextlib.ExitStack() as stack:
            jobs = [stack.enter_context(Local().start(each)) for each in asked]
            ended = [(job.wait().returncode, job.wait().stderr) for job in jobs]
        with opened(url) as store:
            counts = {name: len(store.trials(name)) for name in store.run_ids()}

        assert ended == [(0, ""), (0, "")]
        assert counts == {"r1": 24, "r2": 24}

    def test_many_threads_append_at_once(self, url: str) -> None:
        """Workers of one study: each its own run, no trial lost and none twice."""

        def work(name: str) -> None:
            with opened(url) as own:
                own.begin_run(_run(name))
                for block in range(3):
                    _block(own, name, block)

        with opened(url):
            pass
        threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with opened(url) as store:
            assert [len(store.trials(f"w{number}")) for number in range(4)] == [9] * 4

    def test_a_store_of_a_newer_nettune_is_refused_by_name(self, store: Store, url: str) -> None:
        """Nothing is read from a format that is not known; the password is not shown."""
        import sqlalchemy as sql  # noqa: TID251 - a look behind the door

        with store._engine.begin() as connection:
            connection.execute(sql.text("UPDATE alembic_version SET version_num = '0099'"))
        with pytest.raises(WrongInput, match="was written by a newer nettune"), opened(url):
            pass


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With a hint, and never the password."""
    with pytest.raises(NotAble, match="connection") as raised, opened(f"postgresql://me:hunter2@/x?host={tmp_path}"):
        pass

    assert "hunter2" not in f"{raised.value} {raised.value.hint}"
    assert raised.value.hint == "is the server up, and may this user log in and write there?"


def test_a_database_that_is_not_there_is_said(server: str) -> None:
    """Its name, and what the server said."""
    with pytest.raises(NotAble, match="nosuch"), opened(f"postgresql://{_USER}@/nosuch?host={server}"):
        pass
