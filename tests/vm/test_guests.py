"""Labs of real guests: paths that carry traffic between them, settings that come back, faults that are named."""

import os
import signal
import subprocess  # noqa: TID251 - kills a process of its own
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bench import asking, carryover, document, ready
from bench.capacity.pktgen import Pktgen
from bench.facts import counters, irqs
from bench.facts.sheet import differences
from bench.hosts.command import Command, Unreachable
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from bench.labs import lease, qemu
from bench.labs.guests import Guests
from bench.labs.lab import Lab
from bench.labs.reading import topologies
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology
from bench.plan import SettingSpec
from bench.probes.iperf3 import Tcp
from bench.probes.latency import Latency
from bench.probes.probe import Pair, ToolBroke
from bench.trust import path_was_taken
from results.errors import NotAble
from tests.vm.kit import kit, leases
from tuning import journal
from tuning.treatments import Settings

SMALL = Guests(memory_mb=384)
SLOW_S = 2.0  # of traffic: an emulated CPU begins slowly


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two guests with two queues on taps of a bridge, for all tests that leave them as they were."""
    folder = tmp_path_factory.mktemp("lab")
    with qemu.standing(Topology("bridge"), kit(replace(SMALL, cpus=2, queues=2)), leases_folder=leases(folder)) as made:
        yield made


def carries(lab: Lab) -> None:
    """A second of TCP from a to b over the devices of the path; nothing is left of it."""
    facts = lab.read()
    before = counters.read(lab.counted)
    pair = Pair(lab.a, lab.b, 20001, 30001, lab.reached(lab.a, lab.b))
    measured = Tcp("tcp", SLOW_S, 0.5, 1, "forward", "", 0).measure(pair)
    after = counters.read(lab.counted)
    clean = carryover.neutralise(lab)

    path_was_taken(lab.between(lab.a, lab.b), measured, before, after)
    assert clean
    assert differences(facts, lab.read()) == ()


def test_pktgen_of_a_guests_kernel_offers_a_rate_and_is_counted(lab: Lab) -> None:
    """A tap's token bucket passes what it is to pass; without its module pktgen is said to be not here."""
    pair = Pair(lab.a, lab.b, 20005, 30005)
    shaper = ("tbf", "rate", "2mbit", "burst", "8kb", "limit", "30kb")
    with pytest.raises(ToolBroke, match=r"on a: the kernel's pktgen is not here") as raised:
        Pktgen(pair, 512).offer(300.0, 2.0)
    lab.a.host.run(Command(("modprobe", "pktgen"))).require()
    try:
        free = Pktgen(pair, 512).offer(300.0, 2.0)
        lab.nodes[0].run(Command(("tc", "qdisc", "replace", "dev", "port-b", "root", *shaper))).require()
        full = Pktgen(pair, 512).offer(900.0, 3.0)
    finally:
        lab.nodes[0].run(Command(("tc", "qdisc", "del", "dev", "port-b", "root")))
        lab.a.host.run(Command(("modprobe", "-r", "pktgen")))

    assert "modprobe pktgen on a" in raised.value.hint
    assert (free.wrong, free.sent, free.received) == ("", 600, 600)
    assert full.sent == 2700
    assert full.received == pytest.approx(
        full.seconds * 2e6 / 8 / 508 + 38e3 / 508, rel=0.1
    )  # and what the queue holds


def test_the_threads_that_carry_packets_are_read(lab: Lab) -> None:
    """QEMU's main loop moves what vhost does not: it runs under traffic, for less than its process as a whole."""

    def process_ticks() -> int:
        words = [Path(f"/proc/{Path(each).read_text(encoding='utf-8').strip()}/stat") for each in lab.pid_files]
        return sum(sum(map(int, each.read_text(encoding="utf-8").rpartition(")")[2].split()[11:13])) for each in words)

    asked = asking.beside(lab, lab.read())
    first = process_ticks()
    before = counters.read(lab.counted, asked)
    Tcp("tcp", SLOW_S, 0.5, 1, "forward", "", 0).measure(Pair(lab.a, lab.b, 20003, 30003))
    after = counters.read(lab.counted, asked)
    most = process_ticks() - first
    node = lab.nodes[0].name
    ran = counters.grown(before[node].carriers, after[node].carriers)
    told = counters.growth(before[node], after[node])["busiest_carrier"]

    assert set(ran) == {"guest a: main loop", "guest b: main loop"}
    assert 0 < sum(ran.values()) < most
    assert isinstance(told, dict)
    assert 0 < told["share"] <= 1.1  # ticks are hundredths of a second


def test_two_guests_on_taps_of_a_bridge(lab: Lab) -> None:
    """Debian's kernel at the ends, the machine's own between them; iperf3 and irtt over SSH."""
    releases = [host.run(Command(("uname", "-r"))).stdout.strip() for host in lab.hosts]
    carries(lab)
    measured = Latency("latency", 1.0, 0.005, 60).measure(Pair(lab.a, lab.b, 20002, 30002))

    assert releases[0] == releases[1] == kit(SMALL).image.release
    assert releases[2] == os.uname().release
    assert {sample.metric for sample in measured.samples} >= {"rtt_p50", "loss"}
    assert lab.own_kernels == (lab.nodes[0], lab.a.host, lab.b.host)


SETTINGS = {
    "offloads": (("tso", "off", "guest"), ("gso", "off", "guest"), ("gro", "off", "guest")),
    "mtu": (("mtu", "9000", "path"),),
    "small mtu": (("mtu", "1000", "guest"),),
    "sysctl": (("net.core.rmem_max", "1048576", "guest"), ("congestion_control", "reno", "guest")),
    "channels": (("channels", "1", "guest"),),
    "interrupts": (("smp_affinity_list", "1", "guest"),),  # spread is how virtio-net has them
    "tap": (("txqueuelen", "50", "node"), ("gro", "off", "node")),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_what_is_set_in_a_guest_or_on_its_tap_comes_back(
    lab: Lab, settings: tuple[tuple[str, str, str], ...], tmp_path: Path
) -> None:
    """Every fact of guests and node is as it was: values, and what they dragged along, interrupts too."""
    lab = ready.with_interrupts(lab)
    baseline = lab.read()
    with journal.kept(tmp_path / "journal") as kept:
        specs = [SettingSpec(name, value, target) for name, value, target in settings]  # type: ignore[arg-type]  # words of Target
        treatment = Settings("t", specs, kept)
        assert treatment.refusal(lab, baseline) == ""
        with treatment.holds(lab, baseline) as held:
            odd = [each for each in differences(baseline, held.within) if not treatment.explains(each)]
            changed = differences(baseline, held.within)

    assert odd == []
    assert changed != ()
    after = lab.read()
    assert [each for each in differences(baseline, after) if not irqs.chosen(each.key, after[each.host].facts)] == []


def test_a_number_beyond_the_nic_is_refused_by_name(lab: Lab, tmp_path: Path) -> None:
    """The driver says what it takes at most."""
    with journal.kept(tmp_path / "journal") as kept:
        refusal = Settings("t", [SettingSpec("channels", "3", "guest")], kept).refusal(lab, lab.read())

    assert refusal == "not settable here: a/eth0 takes at most 2 (channels 3 asked)"


# On guests from end to end: what this machine's own kernel may lack.
PATHS = topologies(document.read("""\
- {kind: vlan, id: 30, trunk: on, tagged: on, ip: 6}
- {kind: bond, mode: 802.3ad, xmit_hash_policy: layer3+4, vlan: 40}
- routed
""", "paths.yaml"))  # fmt: skip


@pytest.mark.sampled(1)
@pytest.mark.parametrize("topology", PATHS, ids=[each.name for each in PATHS])
def test_paths_of_guests_alone(topology: Topology, tmp_path: Path) -> None:
    """Bridges, tags and bonds on Debian's kernel in guests; LACP agrees through a cable of two taps."""
    with qemu.standing(topology, kit(replace(SMALL, nodes=True)), leases_folder=leases(tmp_path)) as made:
        carries(made)
        partner = made.nodes[0].run(Command(("cat", "/sys/class/net/bond0/bonding/ad_partner_mac"))).stdout.strip()
        own = made.nodes[-1].run(Command(("cat", "/sys/class/net/bond0/bonding/ad_actor_system"))).stdout.strip()

    if topology.legs:
        assert partner.startswith("02:00:5e:00:02:")
        assert own


def guests_in(netns: str) -> dict[int, str]:
    """The QEMU processes of a namespace, which is a lab's own, with their guests' names."""
    named = {}
    for pid in Local().run(Command(("ip", "netns", "pids", netns))).require().stdout.split():
        with suppress(OSError):  # it ended between the two looks
            words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
            if "-name" in words:
                named[int(pid)] = words[words.index("-name") + 1].partition(",")[0]
    return named


def test_a_guest_that_is_killed_is_named_with_its_console(tmp_path: Path) -> None:
    """Whoever asks it next is told what its console showed last and how QEMU ended; nothing is left."""
    with qemu.standing(Topology("bridge"), kit(SMALL), leases_folder=leases(tmp_path)) as made:
        node = made.nodes[0]
        assert isinstance(node, Namespace)
        (pid,) = [pid for pid, name in guests_in(node.netns).items() if name == "a"]
        with made.a.host.start(Command(("sleep", "100"), deadline_s=200)) as job:
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(Unreachable) as raised:
                job.wait()

    assert "the console of guest a:" in str(raised.value)
    assert "QEMU was ended by signal 9" in str(raised.value)
    assert not list((tmp_path / "state" / "guests").iterdir())


def test_a_guest_that_runs_out_of_memory_or_panics_says_so(tmp_path: Path) -> None:
    """Memory ends with the program that took it, and the guest answers on; a panic's last lines are in the error."""
    with qemu.standing(Topology("direct"), kit(SMALL), leases_folder=leases(tmp_path)) as made:
        guest = made.b.host
        greedy = guest.run(Command(("python3", "-c", "[b'1' * (32 << 20) for _ in range(99)]"), deadline_s=60.0))
        alive = guest.run(Command(("true",)))
        with pytest.raises(Unreachable) as raised:
            guest.run(Command(("tee", "/proc/sysrq-trigger"), stdin="c", deadline_s=60.0))

    assert greedy.returncode == -signal.SIGKILL
    assert alive.ok
    assert "Kernel panic - not syncing: sysrq triggered crash" in str(raised.value)


def test_two_labs_at_once_do_not_meet(lab: Lab, tmp_path: Path) -> None:
    """Names, ports and addresses are the same in both, and each has its own guests behind them."""
    with qemu.standing(Topology("direct"), kit(SMALL), leases_folder=leases(tmp_path)) as other:
        for each, word in ((lab, "first"), (other, "second")):
            each.a.host.run(Command(("tee", "/tmp/who"), stdin=word)).require()  # noqa: S108 - in a guest
        said = [each.a.host.run(Command(("cat", "/tmp/who"))).stdout for each in (lab, other)]  # noqa: S108
        ping = Command(("ping", "-c", "3", "-i", "0.2", "-w", "10", other.b.address), deadline_s=30.0)
        met = [each.a.host.run(ping) for each in (lab, other)]  # four guests on two CPUs: no place for a flood

    assert said == ["first", "second"]
    assert [each.ok for each in met] == [True, True]


def test_a_full_disk_is_named_before_a_guest_is_started(tmp_path: Path) -> None:
    """Keys and seeds do not fit: the file and the cause, and nothing is left."""
    small = tmp_path / "state" / "guests"
    small.mkdir(parents=True)
    Local().run(Command(("mount", "-t", "tmpfs", "-o", "size=4k", "full", str(small)))).require()
    try:
        with (
            pytest.raises(NotAble, match=r"(client|seed).*No space left on device"),
            qemu.standing(Topology("bridge"), kit(SMALL), leases_folder=leases(tmp_path)),
        ):
            pytest.fail("it stood")
    finally:
        Local().run(Command(("umount", str(small)))).require()

    assert not list(leases(tmp_path).iterdir())


def test_a_panic_and_a_lack_of_memory_are_shown(tmp_path: Path) -> None:
    """A kernel without enough room to unpack itself says so on its console, and the error repeats it."""
    with (
        pytest.raises(LabBroken) as raised,
        qemu.standing(Topology("bridge"), kit(replace(SMALL, memory_mb=40)), leases_folder=leases(tmp_path)),
    ):
        pytest.fail("no guest boots in 40 MB")

    assert "guest a ended, also at a second start; the console of guest a:" in str(raised.value)


def test_a_killed_run_leaves_no_guest_and_what_is_left_is_reaped(tmp_path: Path) -> None:
    """SIGKILL with four guests running: QEMU goes with it; namespaces, taps and keys go with `lab reap`."""
    code = (
        "import sys, time; from pathlib import Path; from bench.labs import qemu\n"
        "from bench.labs.guests import Guests\n"
        "from bench.labs.topology import Topology; from tests.vm.kit import kit, leases\n"
        "made = kit(Guests(memory_mb=384))\n"
        "with qemu.standing(Topology('bridge', ends=4), made, leases_folder=leases(Path(sys.argv[1]))):\n"
        "    print('up', flush=True); time.sleep(600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    (held,) = leases(tmp_path).glob("*.jsonl")
    name = f"nt-{held.stem}-node"  # other labs stand too
    before = guests_in(name)
    child.kill()
    child.communicate()
    time.sleep(1.0)
    left = guests_in(name)
    folder = tmp_path / "state"

    def remove(kind: str, name: str) -> bool:
        remove_it = lease.remove_namespace(Local(), name) if kind == "netns" else None
        return lease.remove_folder(folder, Path(name)) if remove_it is None else remove_it

    (done,) = lease.reap(leases(tmp_path), remove)

    assert sorted(before.values()) == ["a", "b", "c", "d"]
    assert left == {}
    assert done.problem == ""
    assert name in done.removed
    assert not list((folder / "guests").iterdir())
    assert name not in lease.namespaces(Local())
