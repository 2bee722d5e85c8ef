"""`nettune tune` on a real kernel: a planted limit is found, a search goes on where it was cut short.

That no namespace is left is seen by the fixture `state`, as in every test here.
"""

import json
import os
import signal
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from bench import ready
from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.plan import SettingSpec
from tests.netns.able import able
from tests.netns.nettune_command import in_its_race, nettune, plan_file, start, the_search
from tuning.journal import kept
from tuning.knobs.catalogue import entry
from tuning.search.exploring import places
from tuning.search.space import space
from tuning.treatments import treatments

SMALL = """\
name: small-window
topologies: [{kind: bridge, sysctls: {net.ipv4.tcp_rmem: 4096 16384 16384, net.ipv4.tcp_wmem: 4096 16384 16384}}]
probes: [{kind: tcp, duration_s: 0.3, warmup_s: 0.1}]
primary: tcp.goodput
"""
BUFFERS = ("--knob", "net.ipv4.tcp_rmem", "--knob", "net.ipv4.tcp_wmem", "--no-anchors", "--seed", "5")


def _document(done: Any) -> dict[str, Any]:  # Any: CompletedProcess; JSON
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_planted_window_limit_is_found_confirmed_and_nothing_is_left(state: Path, tmp_path: Path) -> None:
    """16 KiB of buffers: the receive buffer is what helps, many times over; the profile can be read again."""
    out = tmp_path / "tuned.yaml"
    found = _document(nettune("tune", plan_file(tmp_path, SMALL), *BUFFERS, "--trials", "90", "--out", str(out),
                              "--json"))  # fmt: skip
    first = found["picks"][0]
    profile = yaml.safe_load(out.read_text(encoding="utf-8"))
    shown = nettune("profile", "show", str(out))

    assert found["status"] == "confirmed"
    assert "receive-window" in dict(found["explored"]["symptoms"])
    assert "net.ipv4.tcp_rmem" in {each["setting"] for each in first["settings"]}
    assert first["interval_pct"][0] > 50
    assert first["blocks"] >= 12
    assert [each["purpose"] for each in found["stages"]][0 :: len(found["stages"]) - 1] == ["noise", "confirm"]
    assert found["trials"] <= 90
    assert profile["status"] == "confirmed"
    assert shown.returncode == 0, shown.stderr
    assert list((state / "journals").glob("*")) == []


def test_a_search_that_was_cut_short_goes_on_with_the_same_question(state: Path, tmp_path: Path) -> None:
    """SIGINT in its race: exit code 130, the machine as it was; what leads is written down as a candidate.

    How it stands is told without going on; what was measured is not measured again.
    """
    plan, out = plan_file(tmp_path, SMALL), tmp_path / "tuned.yaml"
    job = start("tune", plan, *BUFFERS[:2], "--no-anchors", "--trials", "70", "--seed", "5", "--out", str(out))
    in_its_race(job, 3)
    job.send_signal(signal.SIGINT)
    _, said = job.communicate(timeout=30)
    left = yaml.safe_load(out.read_text(encoding="utf-8"))
    before = {each["label"]: each["run_id"] for each in json.loads(nettune("runs", "--json").stdout)}
    stands, told = the_search(), nettune("tune", "--resume", "last", "--dry-run")
    untouched = json.loads(nettune("runs", "--json").stdout)
    found = _document(nettune("tune", "--resume", "last", "--out", str(out), "--json"))
    runs = {each["label"]: each["run_id"] for each in json.loads(nettune("runs", "--json").stdout)}

    assert job.returncode == 130, said
    assert "not confirmed: net.ipv4.tcp_rmem 4096 " in said
    assert {label.rpartition(".")[2] for label in before} == {"0-noise", "1-race"}
    assert (left["status"], left["settings"][0]["status"]) == ("candidate", "candidate")
    assert left["settings"][0]["run"] == before[f"{found['search']}.1-race"]
    assert left["settings"][0]["reason"] == "not confirmed: an estimate of its race"
    assert left["next_command"] == f"nettune tune --resume {found['search']}"
    assert (stands["status"], stands["next"], stands["leading"][0]["setting"]) == ("open", "race", "net.ipv4.tcp_rmem")
    assert "Leads, not confirmed: net.ipv4.tcp_rmem" in told.stdout
    assert {each["label"] for each in untouched} == set(before)
    assert before.items() <= runs.items()
    assert found["stages"][0]["run"] == before[f"{found['search']}.0-noise"]
    assert found["status"] in {"confirmed", "nothing"}  # on a busy machine a guard may not hold
    kept = "confirmed" if found["picks"] else "candidate"
    assert yaml.safe_load(out.read_text(encoding="utf-8"))["status"] == kept


def test_a_search_that_was_killed_is_reaped_and_goes_on(
    state: Path, tmp_path: Path, labs_left: Callable[[], set[str]]
) -> None:
    """SIGKILL in its race: `lab reap` removes its lab and journals, and what is next is the rest of that race."""
    job = start("tune", plan_file(tmp_path), *BUFFERS, "--trials", "80", "--out", str(tmp_path / "tuned.yaml"))
    in_its_race(job, 1)
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    left = labs_left()
    reaped = nettune("lab", "reap")
    after, journals = labs_left(), list((state / "journals").glob("*"))
    stands = the_search()
    again = start("tune", "--resume", "last", "--out", str(tmp_path / "tuned.yaml"))
    in_its_race(again, stands["stages"][-1]["blocks"] + 1)
    again.send_signal(signal.SIGINT)
    _, said = again.communicate(timeout=30)

    assert left != set()
    assert reaped.returncode == 0, reaped.stderr
    assert (after, journals) == (set(), [])
    assert (stands["status"], stands["next"]) == ("open", "race")
    assert again.returncode == 130, said
    assert list((state / "journals").glob("*")) == []


def test_a_machine_that_is_another_in_mid_search_ends_it(state: Path, tmp_path: Path) -> None:
    """Kernel and a fact of its first stage are changed in the store: both are named, and nothing goes on."""
    plan = plan_file(tmp_path)
    words = ("--trials", "80", "--out", str(tmp_path / "tuned.yaml"))
    assert nettune("tune", plan, *BUFFERS, *words).returncode == 0
    with sqlite3.connect(state / "nettune.db") as store:
        (first,) = store.execute("SELECT run_id FROM runs WHERE label LIKE '%.0-noise'").fetchone()
        store.execute("UPDATE runs SET machine = json_set(machine, '$.kernel', 'Linux 5.0') WHERE run_id = ?", (first,))
        rows = store.execute("SELECT digest, body FROM facts WHERE host = 'a'").fetchall()
        for digest, body in rows:
            facts = json.loads(zlib.decompress(body)) | {"sysctl/net.ipv4.tcp_sack": "0"}
            store.execute(
                "INSERT INTO facts VALUES (?, 'a', ?)", (f"x{digest}", zlib.compress(json.dumps(facts).encode()))
            )
        store.execute(
            """UPDATE trials SET facts_before = replace(facts_before, '"a": "', '"a": "x') WHERE run_id = ?""", (first,)
        )
    store.close()
    done = nettune("tune", "--resume", "last", *words[2:])

    assert done.returncode == 3
    assert "bridge is not what it was when the search began (2 facts differ)" in done.stderr
    assert "kernel: 'Linux 5.0' -> 'Linux" in done.stderr
    assert "tcp_sack" in done.stderr
    assert "start a new search" in done.stderr


def test_knobs_that_the_path_has_not_are_named_and_nothing_is_changed(state: Path, tmp_path: Path) -> None:
    """A sysctl of the whole machine, one only read in a namespace, a value that no veth takes without GRO: each why."""
    words = (
        "--knob",
        "net.core.netdev_budget",
        "--knob",
        "net.core.rmem_max",
        "--knob",
        "threaded",
        "--no-anchors",
        "--trials",
        "70",
    )
    found = _document(nettune("tune", plan_file(tmp_path, SMALL), *words, "--seed", "5", "--json"))
    why = dict(found["explored"]["left_out"])

    assert found["status"] == "nothing"
    assert found["explored"]["factors"] == []
    assert why["net.core.netdev_budget"] == "this path has it nowhere"
    assert why["net.core.rmem_max"]
    assert "has no NAPI instance" in why["queue.threaded"]


def test_a_budget_that_is_too_small_is_refused_with_what_is_needed(state: Path, tmp_path: Path) -> None:
    """Before anything is measured; other slips too."""
    plan = plan_file(tmp_path, SMALL)
    small = nettune("tune", plan, "--trials", "20")
    both = nettune("tune", plan, "--trials", "200", "--budget", "5m")
    odd = nettune("tune", plan, "--budget", "soon")
    harsh = nettune("tune", plan, "--disruption", "d9")
    several = nettune("tune", "topologies")
    nobodys = nettune("tune", plan, "--knob", "net.ipv4.tcp_rmen")
    unknown = nettune("tune", "--resume", "tune-x")

    assert {each.returncode for each in (small, both, odd, harsh, several, nobodys, unknown)} == {2}
    assert "a budget of 20 trials" in small.stderr
    assert "take 70" in small.stderr
    assert "say the same" in both.stderr
    assert "'soon' is no time" in odd.stderr
    assert "'d9' is no class" in harsh.stderr
    assert "tune searches one path" in several.stderr
    assert "no knob 'net.ipv4.tcp_rmen' is in the catalogue" in nobodys.stderr
    assert "did you mean 'net.ipv4.tcp_rmem'?" in nobodys.stderr
    assert "no search 'tune-x'" in unknown.stderr
    assert json.loads(nettune("runs", "--json").stdout) == []


def test_a_full_table_of_a_node_is_cured_on_the_node_and_its_guests_are_left_alone(state: Path) -> None:
    """A NAT node that forgets after an hour: what is tried is written in its namespace alone, and put back."""
    topology, seconds = Topology("nat"), "net.netfilter.nf_conntrack_tcp_timeout_established"
    able(topology, state)
    with standing(topology, leases_folder=state / "leases") as lab, kept(state / "journal") as journal:
        (node,) = lab.nodes
        planted = Command(("tee", f"/proc/sys/{seconds.replace('.', '/')}"), stdin="3600")
        for host in lab.hosts:
            host.run(planted).require()
        before = lab.read()

        def refusal(spec: SettingSpec) -> str:
            (alone,) = treatments({"alone": [spec]}, journal)
            return ready.tried(alone, lab, before)

        shown = {"conntrack": places(lab, (node.name,))}
        found = space([entry(seconds)], lab, before, symptoms=shown, refusal=refusal)
        (factor,) = found.factors
        (arm,) = treatments({"t": [factor.at(factor.values[0])]}, journal)
        with arm.holds(lab, before) as held:
            changed = [(each.host, each.key, each.after) for each in differences(before, held.within)]
        left = differences(before, lab.read())

    assert changed == [(node.name, f"sysctl/{seconds}", factor.values[0])]
    assert left == ()
    assert dict(found.left_out)[seconds] == "no sign of conntrack on the ends"
