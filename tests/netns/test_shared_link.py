"""Load on links that others use: refused, or held to a share, watched, and stopped within two seconds of trouble."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from nettune.places import places
from results.records import Trial
from results.store import opened
from tests.netns import sshd, standing_hosts
from tests.netns.nettune_command import nettune, shown, start
from tests.netns.standing_hosts import DATA, RMEM, Machines, guards, held_first, value, waited
from tuning import guard

SPEED_MBPS = 1000
SPEED_BPS = SPEED_MBPS * 1e6
WATCHED = "192.0.2.9"  # on the node's bridge
BESIDE = "203.0.113.77"  # on the desk's
TCP = "[{kind: tcp, duration_s: 0.8, warmup_s: 0.2}]"
LONG = "[{kind: tcp, duration_s: 30}]"
HELD = "4096 16384 16384"
BUFFERS = f"{{net.ipv4.tcp_rmem: {HELD}}}"
STOPPED_S = 4.0  # promised are 2


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Two machines whose data link carries corosync, says a file of theirs, and an address beside them."""
    sshd.skip_where_it_cannot_run()
    with standing_hosts.standing(tmp_path_factory.mktemp("shared")) as found:
        for host, address in ((found.node, WATCHED), (found.desk, BESIDE)):
            _ip(host, f"addr add {address}/24 dev br0")
        ring = f"ring0_addr: {DATA['b']}\n"
        for host in found.both:
            there = "mkdir /etc/corosync && cat >/etc/corosync/corosync.conf"
            host.run(Command(("sh", "-c", there), stdin=ring)).require()
        yield found


@pytest.fixture
def untouched(machines: Machines) -> Iterator[Machines]:
    """The machines; afterwards nothing runs there, no guard is left, and their state is what it was."""
    before = machines.facts()
    yield machines

    assert [_loads(host) for host in machines.both] == ["", ""]
    assert [guards(host) for host in machines.both] == [[], []]
    waited(lambda: differences(before, machines.facts()) == (), 6)


def _loads(host: Namespace) -> str:
    """The processes of a load or of its watch in a namespace."""
    pids = Local().run(Command(("ip", "netns", "pids", host.netns))).require().stdout.split()
    names = [Local().run(Command(("cat", f"/proc/{pid}/comm"))).stdout.strip() for pid in pids]
    return " ".join(sorted({"iperf3", "ping", "taskset"} & set(names)))


def _shared(machines: Machines, treatments: str, probes: str, *, primary: str = "tcp.goodput", node: str = "") -> str:
    """A plan over an inventory whose ends state their speed and watch an address; its name."""
    plan = machines.plan(treatments, probes, primary=primary, speed_mbps=str(SPEED_MBPS), node=node)
    machines.rewrite(
        {f"address: {DATA['b']}": f"address: {DATA['b']}\n    speed_mbps: {SPEED_MBPS}\n    watch: [{WATCHED}]"}
    )
    return plan


def _passed(host: Namespace) -> tuple[int, ...]:
    """Bytes that the data device has received and sent."""
    folder = "/sys/class/net/eth0/statistics"
    told = host.run(Command(("cat", f"{folder}/rx_bytes", f"{folder}/tx_bytes"))).require()
    return tuple(map(int, told.stdout.split()))


def test_load_on_a_shared_link_is_refused_naming_the_flag(untouched: Machines, state: Path) -> None:
    """Without --shared-link nothing is measured; the error says who rides there and what would permit it."""
    done = nettune("run", _shared(untouched, "{}", TCP), prefix=untouched.prefix)
    said = " ".join(done.stderr.split())

    assert done.returncode == 3
    assert "eth0 carries somebody else's traffic (corosync)" in said
    assert "--shared-link" in said


def test_a_dry_run_says_what_load_is_held_to(untouched: Machines, state: Path) -> None:
    """It asks nobody, so it knows no speed."""
    done = nettune("run", _shared(untouched, "{}", TCP), "--shared-link", "--dry-run")

    assert done.returncode == 0, done.stderr
    assert "load is held to 30 % of the slowest NIC" in done.stdout


def test_without_a_speed_that_can_be_trusted_a_share_is_refused(untouched: Machines, state: Path) -> None:
    """A veth says 10000: that is no speed of anything."""
    done = nettune("run", untouched.plan("{}", TCP, primary="tcp.goodput"), "--shared-link", prefix=untouched.prefix)
    said = " ".join(done.stderr.split())

    assert done.returncode == 3
    assert "on a: eth0 has no NIC below it whose speed could be trusted" in said
    assert "speed_mbps" in said


PROBES = {
    "one stream": ("{kind: tcp, duration_s: 0.8, warmup_s: 0.2}", ("goodput",)),
    "streams, both ways": (
        "{kind: tcp, streams: 4, direction: both, duration_s: 0.8, warmup_s: 0.2}",
        ("goodput_forward", "goodput_reverse"),
    ),
    "towards a": ("{kind: tcp, direction: reverse, duration_s: 0.8, warmup_s: 0.2}", ("goodput",)),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("probe", "ways"), PROBES.values(), ids=PROBES)
def test_tcp_stays_below_the_share_and_says_so(
    untouched: Machines, state: Path, probe: str, ways: tuple[str, ...]
) -> None:
    """The receivers' bytes of every trial and the device's counter; flag, facts and notes call it a cap."""
    plan = _shared(untouched, "{}", f"[{probe}]")
    before = _passed(untouched.b)
    done = nettune("run", plan, "--shared-link", "--max-share", "20%", "--seed", "1", prefix=untouched.prefix)
    passed = [now - then for then, now in zip(before, _passed(untouched.b), strict=True)]
    document, trials = shown(), _trials()

    assert done.returncode == 0, done.stderr
    assert [each.status for each in trials] == ["done"] * 4, trials
    rates = [each.value(f"tcp.{way}") or 0.0 for each in trials for way in ways]
    assert len(rates) == 4 * len(ways)
    assert all(0.17 * SPEED_BPS < rate <= 0.2 * SPEED_BPS for rate in rates), rates
    assert max(passed) < 4 * 1.0 * 0.2 * SPEED_BPS / 8 * 1.03  # of four tests of 1 s, their pings and exchanges beside
    assert all("tcp: capped at 188.3 Mbit/s" in each.flags for each in trials)
    assert any("Load was held to 20 % of the link" in each for each in document["notes"])
    assert document["machine"]["max share"].startswith("20 %: 200 of 1000 Mbit/s")
    assert f"eth0's carrier, {WATCHED}, 192.0.2.1" in document["machine"]["watched on b"]


def test_every_other_load_is_held_too(untouched: Machines, state: Path) -> None:
    """A flood of udp becomes the share on the wire; a load beside latency is a share of what was held."""
    probes = (
        "[{kind: tcp, duration_s: 0.8}, {kind: udp, duration_s: 0.8}, "
        "{kind: latency, duration_s: 0.5, load: {pct: 100, of: tcp.goodput}}]"
    )
    done = nettune("run", _shared(untouched, "{}", probes), "--shared-link", prefix=untouched.prefix)
    trials = _trials()

    assert done.returncode == 0, done.stderr
    assert [each.status for each in trials] == ["done"] * 4
    for metric in ("tcp.goodput", "udp.sent", "udp.goodput", "latency.load_rate"):
        rates = [each.value(metric) or 0.0 for each in trials]
        assert all(0.2 * SPEED_BPS < rate <= 0.3 * SPEED_BPS for rate in rates), (metric, rates)
    assert all("udp: capped at 286.5 Mbit/s" in each.flags for each in trials)


def test_a_rate_above_the_share_is_refused_by_name(untouched: Machines, state: Path) -> None:
    """Before the first trial, with the rate that would fit."""
    plan = _shared(untouched, "{}", "[{kind: tcp}, {kind: udp, rate_mbit: 500}]")
    done = nettune("run", plan, "--shared-link", prefix=untouched.prefix)
    said = " ".join(done.stderr.split())

    assert done.returncode == 3
    assert "probe udp: 500 Mbit/s, and the share of the link is 300 Mbit/s" in said
    assert "--set udp.rate_mbit=286" in said


def _settled(machines: Machines) -> None:
    """Lost carrier is a difference to the baseline: guards are left, which run once more; here at once."""
    for host in machines.both:
        for each in guards(host):
            host.run(Command(("sh", f"{guard.ROOT}/{each}/restore", "now"))).require()
            host.run(Command(("rm", "-r", f"{guard.ROOT}/{each}"))).require()


def _ip(host: Namespace, words: str) -> None:
    Local().run(Command(("ip", "-n", host.netns, *words.split()))).require()


def _both(lose: str, mend: str, on: str) -> tuple[Callable[[Machines], None], Callable[[Machines], None]]:
    return (lambda machines: _ip(getattr(machines, on), lose), lambda machines: _ip(getattr(machines, on), mend))


TROUBLE = {
    "carrier": (*_both("link set port-b down", "link set port-b up", "node"), "on b: eth0 has no carrier", ""),
    "a watched address": (
        *_both(f"addr del {WATCHED}/24 dev br0", f"addr add {WATCHED}/24 dev br0", "node"),
        f"on b: {WATCHED} does not answer a ping",
        "",
    ),
    "what a node watches": (
        *_both(f"addr del {BESIDE}/24 dev br0", f"addr add {BESIDE}/24 dev br0", "desk"),
        f"on node: {BESIDE} does not answer a ping",
        f"[port-a, br0, port-b]\n    watch: [{BESIDE}]",
    ),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("lose", "mend", "cause", "node"), TROUBLE.values(), ids=TROUBLE)
@pytest.mark.parametrize("probe", ["tcp", "udp"])
def test_trouble_stops_the_load_and_ends_the_run(
    untouched: Machines,
    state: Path,
    probe: str,
    lose: Callable[[Machines], None],
    mend: Callable[[Machines], None],
    cause: str,
    node: str,
) -> None:
    """In time, with the cause in the error and in the trial; the treatment is undone, nothing is left behind."""
    probes = f"[{{kind: {probe}, duration_s: 30{', direction: reverse' if probe == 'udp' else ''}}}]"
    errors, took_s = _troubled(untouched, probes, lose, mend, node=node)
    held = [value(host, RMEM) == HELD for host in untouched.both]
    _settled(untouched)
    said = " ".join(errors.split())
    last = _trials()[-1]

    assert took_s < STOPPED_S
    # Where a way is lost, whoever looks first tells it in its words.
    assert "the load on the shared link was stopped: " in said
    assert any(each in said for each in (cause, *_OTHERS.get(cause, ()))), said
    assert last.status == "orphan"
    assert "(it had failed: the load on the shared link was stopped: on " in last.cause
    assert held == [False, False]


_OTHERS = {"on b: eth0 has no carrier": ("on a: 192.0.2.2 does not answer a ping",)}


def test_a_controller_that_hangs_does_not_keep_the_load_running(untouched: Machines, state: Path) -> None:
    """Stopped by SIGSTOP before the trouble: the hosts end the load by themselves, and the run ends once it goes on."""
    lose, mend, cause, _ = TROUBLE["carrier"]
    errors, took_s = _troubled(untouched, LONG, lose, mend, hang=True)
    _settled(untouched)

    assert took_s < STOPPED_S
    assert any(each in " ".join(errors.split()) for each in (cause, *_OTHERS[cause]))


def _troubled(
    machines: Machines,
    probes: str,
    lose: Callable[[Machines], None],
    mend: Callable[[Machines], None],
    *,
    node: str = "",
    hang: bool = False,
) -> tuple[str, float]:
    """The errors of a run into whose held treatment trouble came, and the seconds until no load ran any more."""
    seed = held_first("standing")
    kind = "udp" if "kind: udp" in probes else "tcp"
    plan = _shared(machines, f"{{held: {BUFFERS}}}", probes, primary=f"{kind}.goodput", node=node)
    running = start("run", plan, "--shared-link", "--seed", str(seed), prefix=machines.prefix)
    try:
        waited(lambda: value(machines.a, RMEM) == HELD and "iperf3" in _loads(machines.a), 60)
        time.sleep(1.2)
        assert "iperf3" in _loads(machines.b)
        if hang:
            os.killpg(running.pid, signal.SIGSTOP)
        lose(machines)
        took_s = waited(lambda: "iperf3" not in _loads(machines.a) + _loads(machines.b), 20)
        if hang:
            os.killpg(running.pid, signal.SIGCONT)
        _, errors = running.communicate(timeout=60)
    finally:
        mend(machines)
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()

    assert running.returncode == 3, errors
    return errors, took_s


def _trials() -> tuple[Trial, ...]:
    """Of the last run."""
    with opened(places("").store) as kept:
        return kept.trials(kept.run("last").run_id)
