"""Whole runs through the console program: known answers, faults, kills, resumption."""

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.carryover import neutralise
from bench.hosts.command import Command
from bench.labs import lease
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes.iperf3 import Tcp
from bench.probes.probe import Pair, ProbeFailed, ToolBroke
from nettune import wiring
from nettune.places import places
from results.errors import NotAble
from tests.netns.nettune_command import nettune, plan_file, shown, start
from tests.netns.standing_hosts import waited

Left = Callable[[], set[str]]
_SHOWN = {"run_id", "plan", "seed", "status", "skipped", "trials", "aa", "treatments"}
_AA = {"topology", "probe", "effect_pct", "ci_low_pct", "ci_high_pct", "excludes_zero"}
_TREATMENT = {"topology", "probe", "metric", "primary", "treatment", "verdict", "effect_pct", "ci_low_pct",
              "ci_high_pct", "blocks", "visible_effect_pct"}  # fmt: skip


@pytest.mark.quiet
def test_quick_finds_the_answers_that_are_known(state: Path, tmp_path: Path) -> None:
    """Segmentation off and 16 KiB buffers are worse by far; the report, profile and document are written."""
    done = nettune("run", "quick", "--blocks", "4", "--seed", "1", "--out", str(tmp_path / "out"))
    document = json.loads((tmp_path / "out" / "show.json").read_text())
    found = {each["treatment"]: each for each in document["treatments"] if each["primary"]}

    assert (done.returncode, document["status"]) == (0, "complete"), done.stderr
    assert document.keys() >= _SHOWN
    assert [each for each in document["aa"] if not each.keys() >= _AA] == []
    assert [each for each in document["treatments"] if not each.keys() >= _TREATMENT] == []
    assert document["skipped"] == []
    assert document["trials"].items() >= {"done": 20, "failed": 0, "missing": 0, "orphan": 0}.items()
    assert {name: found[name]["verdict"] for name in ("no-tso", "small-buffers")} == {
        "no-tso": "worse",
        "small-buffers": "worse",
    }
    assert found["no-tso"]["effect_pct"] < -30
    assert found["small-buffers"]["effect_pct"] < -50
    assert "This run could see changes" in done.stdout
    # An MTU of 9000 may well win where TSO is slow: then a candidate, never more, from a first run.
    assert re.search(r"^status: (nothing|candidate)$", (tmp_path / "out" / "profile.yaml").read_text(), re.MULTILINE)
    assert (tmp_path / "out" / "report.html").read_text().lower().startswith("<!doctype html>")
    assert shown()["run_id"] == document["run_id"]
    assert [each["run_id"] for each in json.loads(nettune("runs", "--json").stdout)] == [document["run_id"]]


@pytest.mark.sampled(1)
def test_a_sequential_run_drops_what_is_decided_and_counts_what_is_left(state: Path, tmp_path: Path) -> None:
    """Small buffers are worse by far at the first look, of six blocks; the other goes on, and no time is negative."""
    text = """\
name: sequential
topologies: [bridge]
probes: [{kind: tcp, duration_s: 0.3, warmup_s: 0.1}]
primary: tcp.goodput
treatments:
  small-buffers: {net.ipv4.tcp_rmem: 4096 16384 16384}
  mtu-1400: {mtu: 1400}
blocks: {up_to: 12}
"""
    done = nettune("run", plan_file(tmp_path, text), "--seed", "1")
    told = re.findall(r"block (\d+) of 12, trial (\d+) of (\d+), about (\S+)", done.stderr)
    found = {each["treatment"]: each for each in shown()["treatments"] if each["primary"]}

    assert done.returncode == 0, done.stderr
    assert (found["small-buffers"]["verdict"], found["small-buffers"]["blocks"]) == ("worse", 6)
    assert [int(block) for block, *_ in told] == list(range(1, len(told) + 1))
    assert [each for each in told if int(each[1]) >= int(each[2]) or each[3].startswith("-")] == []
    assert int(told[0][2]) == 48
    assert len(told) == 6 or int(told[-1][2]) <= 42  # six: the other one was decided at the first look as well


@pytest.mark.quiet
@pytest.mark.sampled(1)
def test_a_candidate_is_confirmed_on_fresh_blocks(state: Path, tmp_path: Path) -> None:
    """On a shaped link headers are all that time stamps change: +2.3 % by arithmetic; candidate, then confirmed.

    524 payload bytes of 590, or 536 of them; the window keeps the shaper's queue from dropping, which guards forbid.
    The rate keeps the CPUs busy enough for ticks to count them: at a few ticks a trial their guard is a coin.
    """
    text = """\
name: winner
topologies: [{kind: bridge, rate_mbit: 800, mtu: 576}]
probes: [{kind: tcp, duration_s: 0.8, warmup_s: 0.2, window_bytes: 400000}]
primary: tcp.goodput
margin_pct: 1
treatments:
  no-timestamps: {net.ipv4.tcp_timestamps: 0}
blocks: 6
"""
    first = nettune("run", plan_file(tmp_path, text), "--seed", "5", "--out", str(tmp_path / "first"))
    assert first.returncode == 0, first.stderr
    document = shown()
    second = nettune("run", "--confirm", document["run_id"], "--out", str(tmp_path / "second"))
    assert (second.returncode, second.stderr.count("Traceback")) == (0, 0), first.stdout + second.stderr
    confirmed = shown()
    profile = (tmp_path / "second" / "profile.yaml").read_text()
    primary = {each["treatment"]: each for each in confirmed["treatments"] if each["primary"]}

    assert "status: candidate" in (tmp_path / "first" / "profile.yaml").read_text()
    assert f"nettune run --confirm {document['run_id']}" in first.stdout
    assert confirmed["confirms"] == document["run_id"]
    assert {name: each["blocks"] for name, each in primary.items()} == {"no-timestamps": 12}
    assert 1.5 < primary["no-timestamps"]["effect_pct"] < 3
    assert "status: confirmed" in profile, second.stdout
    assert "setting: net.ipv4.tcp_timestamps" in profile


def test_killed_runs_are_reaped_and_resumed_without_measuring_a_block_again(
    state: Path, tmp_path: Path, labs_left: Left
) -> None:
    """SIGKILL at 20 seeded moments of one run; each time reap leaves nothing, and the run ends complete."""
    dealt = random.Random(20)
    first = ("run", plan_file(tmp_path), "--seed", "3", "--blocks", "36")
    words: tuple[str, ...] = first
    complete_at_kills = []
    for _ in range(20):
        running = start(*words)
        time.sleep(dealt.uniform(0.5, 2.6))
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        problems = [each.problem for each in wiring.reap(places()) if each.problem]
        rows = _blocks(state)
        complete_at_kills.append({(block, attempt) for block, attempt, status in rows if status == "complete"})
        words = ("run", "--resume", "last") if rows else first

        assert problems == []
        assert labs_left() == set()
        assert list((state / "leases").glob("*")) == []
        assert list((state / "journals").glob("*")) == []
    resumed = nettune("run", "--resume", "last")
    complete = {(block, attempt) for block, attempt, status in _blocks(state) if status == "complete"}

    assert (resumed.returncode, shown()["status"]) == (0, "complete"), resumed.stderr
    assert shown()["trials"]["done"] == 36 * 3
    assert sorted(block for block, _ in complete) == list(range(36))
    assert [kept for kept in complete_at_kills if not kept <= complete] == []
    assert max(attempt for _, attempt, _ in _blocks(state)) > 0


def test_no_namespace_is_made_after_its_maker_was_killed_and_reaped(
    state: Path, tmp_path: Path, labs_left: Left
) -> None:
    """On a busy machine the `ip` of a run that was killed came so late that its lease had gone."""
    slow, begun = tmp_path / "slow", tmp_path / "begun"
    slow.mkdir()
    wait = f'[ "$1" != -batch ] || {{ : >{begun}; sleep 1; }}'
    (slow / "ip").write_text(f'#!/bin/sh\n{wait}\nexec {shutil.which("ip")} "$@"\n', encoding="utf-8")
    (slow / "ip").chmod(0o755)
    prefix = (sys.executable, "-m", "tests.netns.slow_ip", str(slow))
    running = start("run", plan_file(tmp_path), prefix=prefix)
    waited(lambda: begun.exists() or running.poll() is not None, 60)
    running.kill()
    running.communicate()
    problems = [each.problem for each in wiring.reap(places()) if each.problem]
    time.sleep(1.5)

    assert problems == []
    assert labs_left() == set()


def _blocks(state: Path) -> list[tuple[int, int, str]]:
    """Those of the store; none of one that a kill has left without a table."""
    with sqlite3.connect(state / "nettune.db") as store:
        there = store.execute("SELECT 1 FROM sqlite_master WHERE name = 'blocks'").fetchall()
        question = "SELECT block, attempt, status FROM blocks"
        rows: list[Any] = store.execute(question).fetchall() if there else []  # Any: sqlite3's rows
    store.close()
    return rows


def test_ctrl_c_leaves_a_resumable_run_and_a_clean_machine(state: Path, tmp_path: Path, labs_left: Left) -> None:
    """Exit code 130, no namespace, no journal, status interrupted; then resumed to its end."""
    running = start("run", plan_file(tmp_path), "--blocks", "12")
    time.sleep(3)
    running.send_signal(signal.SIGINT)
    time.sleep(0.02)
    running.send_signal(signal.SIGINT)  # an impatient second one must not cut the clean-up short
    _, errors = running.communicate()
    left = labs_left()
    status = shown()["status"]
    resumed = nettune("run", "--resume", "last")

    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    assert left == set()
    assert list((state / "journals").glob("*")) == []
    assert status == "interrupted"
    assert (resumed.returncode, shown()["trials"]["done"]) == (0, 36)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", range(5))
def test_an_interruption_at_any_moment_leaves_no_journal_and_no_lab(
    state: Path, tmp_path: Path, seed: int, labs_left: Left
) -> None:
    """Also while a treatment is being written or undone, or a lab removed: the signal waits until that is over."""
    running = start("run", plan_file(tmp_path), "--blocks", "20")
    time.sleep(random.Random(seed).uniform(1.2, 4.0))
    running.send_signal(signal.SIGTERM)
    _, errors = running.communicate()

    assert running.returncode == 130, errors
    assert labs_left() == set()
    assert list((state / "journals").glob("*")) == []
    assert list((state / "leases").glob("*")) == []


def test_two_runs_at_once_are_refused(state: Path, tmp_path: Path) -> None:
    """The second one names the first, changes nothing, and exits with 3."""
    plan = plan_file(tmp_path)
    with lease.only_run(state, "run first"):
        second = nettune("run", plan)

    assert second.returncode == 3
    assert "run first" in second.stderr
    assert json.loads(nettune("runs", "--json").stdout) == []


def test_resume_refuses_another_machine_by_naming_what_differs(state: Path, tmp_path: Path) -> None:
    """Facts that differ from those of the finished blocks stop a resumption before anything is measured."""
    running = start("run", plan_file(tmp_path), "--blocks", "40")
    time.sleep(3.5)
    running.send_signal(signal.SIGTERM)
    running.communicate()
    with sqlite3.connect(state / "nettune.db") as store:
        store.execute('UPDATE trials SET facts_before = replace(facts_before, \'"a": "\', \'"a": "x\')')
        store.execute(
            "INSERT INTO facts SELECT 'x' || digest, host, body FROM facts WHERE host = 'b'"
            " AND NOT EXISTS (SELECT 1 FROM facts f WHERE f.digest = 'x' || facts.digest)"
        )
        rows = store.execute("SELECT digest, body FROM facts WHERE host = 'a'").fetchall()
        for digest, body in rows:
            facts = json.loads(zlib.decompress(body))
            facts["sysctl/net.ipv4.tcp_sack"] = "0"
            store.execute(
                "INSERT INTO facts VALUES (?, 'a', ?)", ("x" + digest, zlib.compress(json.dumps(facts).encode()))
            )
    store.close()
    done = nettune("run", "--resume", "last")

    assert done.returncode == 3
    assert "tcp_sack" in done.stderr


@pytest.mark.parametrize(
    ("script", "status", "cause"),
    [
        ("#!/bin/sh\nexec sleep 100\n", "failed", "did not end within"),
        ("#!/bin/sh\nkill -SEGV $$\n", "missing", "printed no JSON"),
        ("#!/bin/sh\necho 'Segmentation fault'; exit 139\n", "missing", "printed no JSON"),
        ("#!/bin/sh\nhead -c 3000 /dev/urandom\n", "missing", "printed no JSON"),
        ('#!/bin/sh\necho \'{"end": {}, "intervals": 3}\'\n', "missing", "no intervals"),
        (
            '#!/bin/sh\necho \'{"error": "unable to connect to server: Connection refused"}\'; exit 1\n',
            "failed",
            "refused",
        ),
    ],
    ids=["hangs", "crashes", "exits", "garbage", "wrong-json", "refused"],
)
def test_a_tool_that_misbehaves_costs_its_trial_and_says_why(
    state: Path, tmp_path: Path, script: str, status: str, cause: str
) -> None:
    """A client that hangs, crashes or prints garbage: failed or missing with the cause, never 0, nothing left."""
    fake = tmp_path / "iperf3"
    fake.write_text(script)
    fake.chmod(0o755)
    with standing(Topology("direct"), leases_folder=state / "leases") as lab:
        # Only namespace a's private mount namespace sees the fake: the server at b is the real one.
        lab.a.host.run(Command(("mount", "--bind", str(fake), "/usr/bin/iperf3"))).require()
        with pytest.raises(ProbeFailed) as caught:
            Tcp("tcp", 0.3, 0.0, 1, "forward", "", 0).measure(Pair(lab.a, lab.b, 20001, 30001))
        left = lab.b.host.run(Command(("ss", "-Hltn"))).stdout

    assert ("missing" if isinstance(caught.value, ToolBroke) else "failed") == status
    assert cause in str(caught.value)
    assert left == ""


def test_a_fact_that_moves_beside_a_treatment_voids_its_trial_and_is_put_back(state: Path, tmp_path: Path) -> None:
    """Under no-tso somebody turns SACK off during the probe; it is on again for the current arm that follows."""
    real, meddler = tmp_path / "real", tmp_path / "meddler"
    shutil.copy("/usr/bin/iperf3", real)
    meddler.write_text(
        "#!/bin/sh\n"
        'case " $* " in *" --client "*) ethtool -k eth0 | grep -q "^tcp-segmentation-offload: off" &&'
        " echo 0 >/proc/sys/net/ipv4/tcp_sack;; esac\n"
        f'exec {real} "$@"\n'
    )
    meddler.chmod(0o755)
    prefix = ("unshare", "--mount", "sh", "-c", f'mount --bind {meddler} /usr/bin/iperf3 && exec "$@"', "sh")
    text = """\
name: meddled
topologies: [direct]
probes: [{kind: tcp, duration_s: 0.4, warmup_s: 0.1}]
primary: tcp.goodput
treatments:
  no-tso: {tso: off}
blocks: 2
"""
    done = nettune("run", plan_file(tmp_path, text), "--seed", "1", prefix=prefix)
    trials = shown()["trials"]

    assert done.returncode == 0, done.stderr
    assert (trials["done"], trials["missing"]) == (4, 2)
    assert "facts changed during the trial: a: sysctl/net.ipv4.tcp_sack: '1' -> '0'" in json.dumps(trials) + done.stderr


def test_a_missing_tool_is_named_before_anything_is_made(state: Path, tmp_path: Path) -> None:
    """No irtt: exit code 3, the package to install, no run in the store."""
    hidden = ("unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /usr/bin/irtt && exec "$@"', "sh")
    done = nettune("run", plan_file(tmp_path), prefix=hidden)

    assert done.returncode == 3
    assert "irtt is needed and not there" in done.stderr
    assert "apt-get install" in done.stderr
    assert json.loads(nettune("runs", "--json").stdout) == []


def test_without_capabilities_it_says_so_and_leaves_nothing(state: Path, tmp_path: Path, machines_root: None) -> None:
    """Root in name only (a container): exit code 3, what was tried, what it needs."""
    prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    done = nettune("run", plan_file(tmp_path), prefix=prefix)

    assert done.returncode == 3, done.stderr
    assert "Operation not permitted" in done.stderr
    assert "CAP_SYS_ADMIN" in done.stderr
    assert list((state / "leases").glob("*")) == []


def test_a_full_disk_ends_the_run_by_name_and_leaves_nothing(state: Path, tmp_path: Path, labs_left: Left) -> None:
    """The store's disk fills up in mid-run: exit code 3 naming the store, and no namespace is left."""
    small = tmp_path / "small"
    small.mkdir()
    shell = f'mount -t tmpfs -o size=300k none {small} && exec "$@"'
    done = nettune(
        "run", plan_file(tmp_path), "--blocks", "12", "--store", str(small / "s.db"),
        prefix=("unshare", "--mount", "sh", "-c", shell, "sh"),
    )  # fmt: skip

    assert done.returncode == 3, done.stdout + done.stderr
    assert "s.db" in done.stderr
    assert "full" in done.stderr
    assert "Traceback" not in done.stderr
    assert labs_left() == set()


def test_a_full_state_folder_stops_before_anything_is_made(state: Path) -> None:
    """A lease that cannot be written is an error with the folder's name."""
    state.mkdir(parents=True)
    (state / "leases").write_text("a file, not a folder")
    done = nettune("run", "noise", "--blocks", "2")
    (state / "leases").unlink()

    assert done.returncode == 3
    assert "leases" in done.stderr


def test_the_lock_names_a_folder_that_cannot_be_written() -> None:
    """The error says which file and what to set."""
    with pytest.raises(NotAble, match=r"running\.lock"), lease.only_run(Path("/proc/nettune"), "test"):
        pass  # pragma: no cover - never entered


def test_a_port_whose_peer_never_closed_is_free_for_the_next_arm(state: Path) -> None:
    """A server that is stuck leaves the client's port in FIN-WAIT-2 (seen: "Address already in use" in two trials)."""
    bound = "import socket; s = socket.socket(); s.bind(('198.18.0.1', 41000)); "
    script = f"{bound} s.connect(('198.18.0.2', 41001)); s.close()"
    listener = "import socket, time; s = socket.create_server(('198.18.0.2', 41001)); c = s.accept()[0]; time.sleep(60)"
    closing = Command(("ss", "-Htn", "state", "fin-wait-1", "state", "fin-wait-2"))
    with (
        standing(Topology("direct"), leases_folder=state / "leases") as lab,
        lab.b.host.start(Command((sys.executable, "-c", listener))),
    ):
        for _ in range(200):
            if lab.b.host.run(Command(("ss", "-Hltn"))).stdout:
                break
        lab.a.host.run(Command((sys.executable, "-c", script))).require()
        closed = lab.a.host.run(closing).stdout
        free = neutralise(lab)
        again = lab.a.host.run(Command((sys.executable, "-c", bound)))

    assert closed != ""
    assert free
    assert again.returncode == 0, again.stderr


def test_a_port_that_waits_is_free_for_the_next_arm(state: Path) -> None:
    """A client that closes first (iperf3 3.16 and later) leaves TIME-WAIT; the next arm can bind the same port."""
    script = (
        "import socket\n"
        "s = socket.socket(); s.bind(('198.18.0.1', 41000)); s.connect(('198.18.0.2', 41001)); s.close()\n"
    )
    listener = "import socket; s = socket.create_server(('198.18.0.2', 41001)); c = s.accept()[0]; c.recv(1); c.close()"
    with standing(Topology("direct"), leases_folder=state / "leases") as lab:
        for _ in range(2):
            with lab.b.host.start(Command((sys.executable, "-c", listener))) as served:
                for _ in range(200):
                    if lab.b.host.run(Command(("ss", "-Hltn"))).stdout:
                        break
                lab.a.host.run(Command((sys.executable, "-c", script))).require()
                served.wait()
            waiting = lab.a.host.run(Command(("ss", "-Htan", "state", "time-wait"))).stdout
            free = neutralise(lab)
            left = lab.a.host.run(Command(("ss", "-Htan", "state", "time-wait"))).stdout

    assert waiting != ""
    assert free == (left == "")
    assert free
