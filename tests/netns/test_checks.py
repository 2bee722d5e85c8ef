"""Cables between namespaces fail and are whole again; path checks find on the real kernel what was put there."""

import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench import diagnosis
from bench.diagnosis import diagnose
from bench.evidence import evidence
from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.labs.cable import How
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes.frames import KINDS
from bench.probes.iperf3 import Tcp
from bench.probes.isolation import Isolation
from bench.probes.path_mtu import PathMtu
from bench.probes.probe import Measured, Pair, ProbeFailed
from tests.netns.nettune_command import nettune, plan_file, shown

_QUICK = Command(("ping", "-c", "1", "-W", "1", "198.18.0.2"))


def _settled(lab: Lab) -> None:
    """Until a answers again: a bridge's port that comes up is one within its forward delay."""
    deadline = time.monotonic() + 5
    while not lab.a.host.run(_QUICK).ok:
        assert time.monotonic() < deadline
    while lab.a.host.run(Command(("cat", "/sys/class/net/eth0/operstate"))).stdout.strip() != "up":
        assert time.monotonic() < deadline


@pytest.mark.parametrize(("how", "carrier"), [("link-down", "down"), ("silent", "up")])
def test_a_veth_cable_fails_as_asked_and_the_facts_are_as_before(state: Path, how: How, carrier: str) -> None:
    """Nothing passes; whether the end sees it is the difference between the two."""
    with standing(Topology("bridge"), leases_folder=state) as lab:
        before = lab.read()
        with lab.cables["a", "eth0"].broken(how):
            passed = lab.a.host.run(_QUICK).ok
            seen = lab.a.host.run(Command(("cat", "/sys/class/net/eth0/operstate"))).stdout.strip()
        _settled(lab)

        assert (passed, seen) == (False, carrier)
        assert differences(before, lab.read()) == ()


def test_a_signal_while_a_cable_is_cut_mends_it(state: Path) -> None:
    """It strikes in the middle; the cable is whole when it is raised."""

    def stop(number: int, frame: object) -> None:
        raise InterruptedError

    former = signal.signal(signal.SIGTERM, stop)
    try:
        with standing(Topology("bridge"), leases_folder=state) as lab:
            with pytest.raises(InterruptedError), lab.cables["b", "eth0"].broken("silent"):
                signal.raise_signal(signal.SIGTERM)
            _settled(lab)
    finally:
        signal.signal(signal.SIGTERM, former)


def _swept(topology: Topology, state: Path, device: str, mtu: int) -> Measured:
    """What path-mtu measures where the node's device has that MTU."""
    with standing(topology, leases_folder=state) as lab:
        if mtu:
            lab.nodes[0].run(Command(("ip", "link", "set", device, "mtu", str(mtu)))).require()
        pair = Pair(lab.a, lab.b, 20001, 30001, lab.reached(lab.a, lab.b), lab=lab)
        return PathMtu("path-mtu").measure(pair)


def _told(measured: Measured) -> tuple[dict[tuple[str, str], float], str]:
    """Its values by (metric, direction), and its reasons."""
    values = {(sample.metric, sample.direction): sample.value for sample in measured.samples}
    return values, " | ".join(measured.flags)


def _symptoms(probe: str, raw: Mapping[str, str], *, failed: bool = False) -> list[str]:
    trial = evidence({}, (), {(probe, name): text for name, text in raw.items()}, failed=failed)
    return [each.symptom for each in diagnose([trial], diagnosis.Path())]


@pytest.mark.parametrize("topology", [Topology("bridge"), Topology("routed"), Topology("direct"), Topology("nat")],
                         ids=lambda topology: topology.name)  # fmt: skip
def test_a_whole_path_carries_what_its_ends_send(state: Path, topology: Topology) -> None:
    """1500 bytes both ways, in both families."""
    measured = _swept(topology, state, "", 0)
    values, reasons = _told(measured)

    assert (values["path_mtu", "-"], values["held", "-"], reasons) == (1500, 1, "")
    assert _symptoms("path-mtu", measured.raw) == []


def test_a_router_with_a_small_hop_is_named_by_what_it_says(state: Path) -> None:
    """It answers "fragmentation needed" from the address at which the sender meets it; the other way is told too."""
    values, reasons = _told(_swept(Topology("routed"), state, "port-b", 1400))

    assert (values["path_mtu", "a>b"], values["held", "-"]) == (1400, 0)
    assert "IPv4 a>b carries 1400 of 1500 bytes, beyond 198.18.0.254 (node): node/port-b has an MTU of 1400" in reasons
    assert "198.18.0.254 (node) says so" in reasons
    assert "IPv6 a>b carries 1400 of 1500 bytes" in reasons
    assert (
        "IPv4 a>b carries 1400 of 1500 bytes, beyond 198.18.0.254 (node): node/port-b has an MTU of 1400; 198.18"
        in (reasons)
    )


def test_a_bridge_with_a_small_port_is_a_black_hole_and_named_by_its_device(state: Path) -> None:
    """Nobody can say a word there: what is larger vanishes; a diagnosis has the symptom from it."""
    measured = _swept(Topology("bridge"), state, "port-b", 1400)
    values, reasons = _told(measured)

    assert (values["path_mtu", "a>b"], values["held", "-"]) == (1400, 0)
    assert "node/port-b has an MTU of 1400" in reasons
    assert "vanish without a word (a black hole)" in reasons
    assert _symptoms("path-mtu", measured.raw) == ["mtu-black-hole"]


def test_a_stream_that_hangs_in_a_black_hole_is_a_symptom_of_it(state: Path) -> None:
    """TCP opens over a bridge with a small port, and its full segments vanish: that trial fails, and tells why."""
    with standing(Topology("bridge"), leases_folder=state) as lab:
        lab.nodes[0].run(Command(("ip", "link", "set", "port-b", "mtu", "1400"))).require()
        with pytest.raises(ProbeFailed) as failed:
            Tcp("tcp", 0.8, 0.2, 1, "forward", "", 0).measure(Pair(lab.a, lab.b, 20001, 30001, lab.b.address, lab=lab))

    assert _symptoms("failed", failed.value.raw, failed=True) == ["mtu-black-hole"]


APART = (("c", 20), ("d", 20))


def test_a_bridge_that_keeps_nothing_apart_leaks_every_frame(state: Path) -> None:
    """A plain bridge under ends that are said to be in two VLANs: each frame is captured where it must not be."""
    with standing(Topology("bridge", ends=4, vlans=APART), leases_folder=state) as lab:
        before = lab.read()
        measured = Isolation("isolation").measure(Pair(lab.a, lab.b, 20001, 30001, lab=lab))
        after = lab.read()
    values = {sample.metric: sample.value for sample in measured.samples}
    (said,) = measured.flags

    assert (values["leaks"], values["held"]) == (8 * len(KINDS), 0)
    assert said.startswith("isolation did not hold: 80 of 80 frames passed: a>c ARP, a>c ND, a>c IPv4")
    assert differences(before, after) == ()


KEEP_APART = """\
table bridge apart {
  chain forwarding {
    type filter hook forward priority 0
    iifname { "port-a", "port-b" } oifname { "port-c", "port-d" } %s
    iifname { "port-c", "port-d" } oifname { "port-a", "port-b" } drop
  }
}
"""


@pytest.mark.parametrize(("rule", "leaks"), [("drop", 0), ("ether type != arp drop", 4)])
def test_firewall_rules_keep_ends_apart_but_for_what_they_forget(state: Path, rule: str, leaks: int) -> None:
    """Rules in place of VLANs; the second lets ARP through one way, and that is what is named."""
    with standing(Topology("bridge", ends=4, vlans=APART), leases_folder=state) as lab:
        lab.nodes[0].run(Command(("nft", "-f", "-"), stdin=KEEP_APART % rule)).require()
        measured = Isolation("isolation").measure(Pair(lab.a, lab.b, 20001, 30001, lab=lab))
    values = {sample.metric: sample.value for sample in measured.samples}

    assert (values["leaks"], values["held"]) == (leaks, float(leaks == 0))
    assert values["kept_apart"] == 8 * len(KINDS) - leaks
    assert all("passed: a>c ARP, a>d ARP, b>c ARP, b>d ARP" in flag for flag in measured.flags)


PLAN = """\
name: carried
topologies: [bridge]
probes: [{kind: path-mtu}]
primary: path-mtu.path_mtu
treatments:
  small-port: {settings: {mtu: 1400}, target: node}
blocks: 2
"""


def test_a_check_is_told_from_plan_to_report(state: Path, tmp_path: Path) -> None:
    """It holds under current, so the run ends with 0; under the treatment it does not, and the device is named."""
    done = nettune("run", plan_file(tmp_path, PLAN), "--seed", "1", "--out", str(tmp_path / "out"))
    document = shown()
    found = {each["arm"]: each for each in document["checks"]}
    report = (tmp_path / "out" / "report.html").read_text()

    assert done.returncode == 0, done.stderr
    assert [(each["held"], each["trials"], each["passed"]) for each in found.values()] == [(4, 4, True), (0, 2, False)]
    assert "node/port-a has an MTU of 1400, node/br0" in found["small-port"]["reasons"][0]
    assert "did not hold" in done.stdout
    assert '<h2 id="checks">Checks</h2>' in report
    assert "a black hole" in report
