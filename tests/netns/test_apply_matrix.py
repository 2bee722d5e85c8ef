"""`nettune apply` cut short before each command that it sends, for each kind of knob: the host is as it was, always.

Killed, or its way to the host lost. Whatever it had come to, the host puts itself back, or the change was confirmed and
is taken back. Confirm time 5 s. All state that nettune reads is compared: values, addresses, routes, qdiscs, features.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from tests.netns.nettune_command import run_program
from tests.netns.standing_hosts import Machines, waited
from tests.netns.test_apply import A, changes, desk, prefix, profile

KINDS: Mapping[str, Mapping[str, str]] = {
    "sysctl": {"net.ipv4.tcp_rmem": "4096 131072 67108864", "net.ipv4.tcp_congestion_control": "reno"},
    "feature": {"tso": "off", "gro": "off"},
    "mtu": {"mtu": "1200"},
    "queue": {"rps_cpus": "1"},
    "qdisc": {"qdisc": "pfifo limit 50"},
    "link": {"txqueuelen": "2000", "gro_max_size": "131072"},
}
STEPS = range(6, 26)  # of about 24; what comes before the guard changes nothing


def _apply(machines: Machines, step: int, how: str, mine: str) -> str:
    """What it said on its error output; apply with that many commands sent before it is cut short."""
    words = ("-m", "tests.netns.cut_short", str(step), how, "apply", mine, "--host", A, "--device", "eth0")
    done = run_program((sys.executable, *words, "--disruption", "d4", "--confirm-within", "5"), prefix(machines))
    return done.stderr


@pytest.mark.sampled(44)
@pytest.mark.parametrize("how", ["kill", "cut"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_host_is_as_it_was_wherever_it_is_cut_short(
    machines: Machines, tmp_path: Path, kind: str, step: int, how: str
) -> None:
    """The host alone, or by rollback of what was confirmed; nothing of it is armed afterwards."""
    before = machines.facts()
    _apply(machines, step, how, profile(tmp_path, **KINDS[kind]))
    machines.desk.run(Command(("ip", "link", "set", "port-a", "up"))).require()
    waited(lambda: desk(machines, "history", A).returncode == 0, 30)
    waited(lambda: not any(each["state"] == "armed" for each in changes(machines, A)), 20)
    known = changes(machines, A)
    if known and known[-1]["state"] == "confirmed":
        back = desk(machines, "rollback", A)
        assert back.returncode == 0, back.stderr

    waited(lambda: "tentative" not in machines.a.run(Command(("ip", "-6", "addr"))).stdout, 5)
    assert differences(before, machines.facts()) == ()
    machines.a.run(Command(("sh", "-c", "rm -rf /var/lib/nettune")))


def test_the_steps_of_the_matrix_are_those_of_an_apply(machines: Machines, tmp_path: Path) -> None:
    """Its first step comes before anything is armed, its last at or after the confirmation."""
    said = _apply(machines, 0, "count", profile(tmp_path, **KINDS["sysctl"]))
    sent = re.search(r"^sent (\d+)$", said, re.MULTILINE)
    assert desk(machines, "rollback", A).returncode == 0

    assert sent is not None, said
    assert STEPS[0] < int(sent[1]) <= STEPS[-1] + 1
