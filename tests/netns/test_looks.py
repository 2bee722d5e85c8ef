"""What a host and nettune look at while a change waits, each seen well and then ill: real commands, a real kernel."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.facts import riding
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from tests.netns import sshd
from tests.netns.standing_hosts import _OWN, RMEM, value, waited
from tests.netns.test_apply import HELD, profile
from tuning import guard, restoring
from tuning.applying import carrying, reaching, verifying
from tuning.applying.planning import Planned, planned
from tuning.applying.reaching import Reached
from tuning.guard import ROOT, NotGuarded
from tuning.profile import load

GATEWAY = "192.0.2.254"
_DROPS = "table ip drops { chain input { type filter hook input priority 0; icmp type echo-request drop; }; }"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """A host, and the gateway that its default route leads to."""
    with sshd.namespace() as host, sshd.namespace() as gateway:
        _ip(host, f"link add eth0 type veth peer name eth0 netns {gateway.netns}")
        for end, address in ((host, "192.0.2.1"), (gateway, GATEWAY)):
            _ip(end, f"addr add {address}/24 dev eth0")
            _ip(end, "link set eth0 up")
        _ip(host, f"route add default via {GATEWAY}")
        host.run(Command(("sh", "-c", _OWN))).require()
        yield host, gateway


def _ip(host: Namespace, line: str) -> None:
    Local().run(Command(("ip", "-netns", host.netns, *line.split()))).require()


def _planned(host: Namespace, folder: Path, **settings: str) -> Planned:
    return planned(host, load(Path(profile(folder, **settings))), ["eth0"], riding.asked(host))


def _told(host: Namespace, looks: tuple[str, ...]) -> str:
    """What the host's own script says of itself."""
    text = restoring.script((), looks=looks)
    return host.run(Command(("sh", "-c", "cat >/run/restore; sh /run/restore look", "sh"), stdin=text)).stdout.strip()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links need no time to settle here."""
    monkeypatch.setattr(verifying, "SETTLE_S", 0.0)
    monkeypatch.setattr(verifying, "WATCHED_S", 0.0)
    monkeypatch.setattr(reaching, "AGAIN_S", 0.0)


@pytest.mark.usefixtures("at_once")
def test_a_gateway_that_drops_icmp_is_watched_by_arp(pair: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    """Also one whose entry among the neighbours has failed meanwhile; it is well again when it answers again."""
    host, gateway = pair
    gateway.run(Command(("nft", _DROPS))).require()
    change = _planned(host, tmp_path, **{RMEM: HELD})
    answers, near = verifying.answering(change), verifying.near(change, [GATEWAY])
    looks = verifying.looks(change, answers, near)
    well = (_told(host, looks), verifying.from_here(change, looks))
    _ip(gateway, "addr flush dev eth0")
    ill = (_told(host, looks), verifying.from_here(change, looks))
    waited(lambda: "FAILED" in host.run(Command(("ip", "neigh"))).stdout, 10)
    still = _told(host, looks)
    _ip(gateway, f"addr add {GATEWAY}/24 dev eth0")
    again = _told(host, looks)
    gateway.run(Command(("nft", "delete", "table", "ip", "drops"))).require()

    assert answers == ()
    assert near == {GATEWAY: f"{GATEWAY}%eth0"}
    assert f"neigh:{GATEWAY}%eth0" in looks
    assert well == ("", ())
    assert ill == (f"{GATEWAY}%eth0 does not answer", (f"the gateway {GATEWAY}%eth0 no longer answers",))
    assert still == f"{GATEWAY}%eth0 does not answer"
    assert again == ""


def test_an_entry_that_somebody_set_proves_nothing_and_is_left(
    pair: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    """A permanent neighbour answers no question: it is neither watched nor touched."""
    host, _ = pair
    _ip(host, f"neigh replace {GATEWAY} lladdr 02:00:00:00:00:09 dev eth0 nud permanent")
    near = verifying.near(_planned(host, tmp_path, **{RMEM: HELD}), [GATEWAY])
    entry = host.run(Command(("ip", "neigh", "show", "to", GATEWAY))).stdout
    _ip(host, f"neigh del {GATEWAY} dev eth0")

    assert near == {}
    assert "02:00:00:00:00:09 PERMANENT" in entry


@pytest.mark.usefixtures("at_once")
def test_a_gateway_that_was_lost_is_told(pair: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    """By the host's own script, and from here."""
    host, gateway = pair
    change = _planned(host, tmp_path, **{RMEM: HELD})
    looks = verifying.looks(change, verifying.answering(change))
    well = (_told(host, looks), verifying.from_here(change, looks))
    gateway.run(Command(("nft", _DROPS))).require()
    ill = (_told(host, looks), verifying.from_here(change, looks))
    gateway.run(Command(("nft", "delete", "table", "ip", "drops"))).require()

    assert f"ping:{GATEWAY}" in looks
    assert well == ("", ())
    assert ill == (f"{GATEWAY} does not answer", (f"the gateway {GATEWAY} no longer answers",))


def test_packets_of_the_whole_mtu_that_are_swallowed_are_told(
    pair: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    """The other end takes less than this one believes: small packets pass, and none of the whole MTU."""
    host, gateway = pair
    change = _planned(host, tmp_path, **{RMEM: HELD})
    before = reaching.asked(host, [GATEWAY])
    _ip(gateway, "link set eth0 mtu 1400")
    after, answers = reaching.lost(host, before, [GATEWAY]), verifying.answering(change)
    _ip(gateway, "link set eth0 mtu 1500")

    assert before == {GATEWAY: Reached(1500, "full")}
    assert after == (f"packets of the whole MTU (1500) no longer reach {GATEWAY}",)
    assert answers == (GATEWAY,)


@pytest.fixture(scope="module")
def jumbo() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """A host, a switch whose one port takes 1500, and behind that a server of storage with jumbo frames.

    The server answers on the port of SSH: what its own MTU is its TCP tells.
    """
    with sshd.namespace() as host, sshd.namespace() as switch, sshd.namespace() as server:
        _ip(switch, "link add br0 type bridge forward_delay 0")
        for end, device, port, address in ((host, "eth1", "p1", "1"), (server, "eth0", "p2", "9")):
            _ip(end, f"link add {device} mtu 9000 type veth peer name {port} mtu 9000 netns {switch.netns}")
            _ip(end, f"addr add 198.51.100.{address}/24 dev {device}")
            _ip(end, f"link set {device} addrgenmode none up")  # a tentative address would be waited for
            _ip(switch, f"link set {port} master br0 up")
        _ip(host, "link set eth1 mtu 1500")
        _ip(switch, "link set p2 mtu 1500")
        _ip(switch, "link set br0 up")
        host.run(Command(("sh", "-c", _OWN))).require()
        listening = Command((sys.executable, "-m", "http.server", "22", "--bind", "198.51.100.9"))
        serving = server.start(listening)
        waited(lambda: ":22" in server.run(Command(("ss", "-Hltn"))).stdout, 10)
        yield host, switch, server
        serving.stop()


def _apply_9000(host: Namespace, folder: Path) -> None:
    change = planned(host, load(Path(profile(folder, mtu="9000"))), ["eth1"], riding.asked(host), most="d4",
                     allow={"storage"})  # fmt: skip
    made = carrying.apply(change, "mine", confirm_s=60, again=lambda: contextlib.nullcontext(host))
    guard.put_back(host, made.change_id)


def _mtu(host: Namespace) -> str:
    return host.run(Command(("cat", "/sys/class/net/eth1/mtu"))).stdout.strip()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("known", ["as a neighbour", "as a server of storage"])
def test_an_mtu_that_a_switch_swallows_before_a_server_of_storage_is_put_back(
    jumbo: tuple[Namespace, Namespace, Namespace], tmp_path: Path, known: str
) -> None:
    """No default gateway is there: who is reached over the device that is changed is asked."""
    host, _, _ = jumbo
    if known == "as a neighbour":
        host.run(Command(("ping", "-c", "1", "198.51.100.9"))).require()
    else:
        _ip(host, "neigh flush dev eth1")
        storage = "mkdir -p /etc/pve; printf 'nfs: x\\n\\tserver 198.51.100.9\\n' >/etc/pve/storage.cfg"
        host.run(Command(("sh", "-c", storage))).require()
    with pytest.raises(carrying.NotWell, match=r"packets of the whole MTU \(9000\) no longer reach 198\.51\.100\.9"):
        _apply_9000(host, tmp_path)

    assert _mtu(host) == "1500"


@pytest.mark.usefixtures("at_once")
def test_jumbo_frames_stand_where_the_switch_takes_them_or_the_other_end_has_none(
    jumbo: tuple[Namespace, Namespace, Namespace], tmp_path: Path
) -> None:
    """Of hosts that are changed one after the other the first has neighbours with 1500 yet: no TCP is lost by that."""
    host, switch, server = jumbo
    _ip(switch, "link set p2 mtu 9000")
    host.run(Command(("ping", "-c", "1", "198.51.100.9"))).require()
    _apply_9000(host, tmp_path)
    for end, device in ((server, "eth0"), (switch, "p2")):
        _ip(end, f"link set {device} mtu 1500")
    _apply_9000(host, tmp_path)

    assert _mtu(host) == "1500"


def test_error_counters_of_the_kernel_are_read(pair: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    """Those of each device, with how many packets came in; none has grown on a link that is well."""
    host, _ = pair
    change = _planned(host, tmp_path, **{RMEM: HELD})
    before = verifying.errors(change)
    verifying.answering(change)
    after = verifying.errors(change)

    assert after["eth0/rx_packets"] > before["eth0/rx_packets"]
    assert verifying.damaged(before, after) == ()
    assert verifying.damaged(before, {**after, "eth0/rx_crc_errors": before["eth0/rx_crc_errors"] + 10}) == (
        "eth0/rx_crc_errors grew by 10 since the change",
    )


def _armed(host: Namespace, was: str, seconds: int) -> guard.Guard:
    lines = (f"try \"sysctl -qw '{RMEM}={was}'\"",)
    return guard.arm(host, restoring.script(lines), seconds)


def test_no_write_begins_when_less_time_is_left_than_its_undo_takes(pair: tuple[Namespace, Namespace]) -> None:
    """The host itself refuses it (exit 77), and nothing was written."""
    host, _ = pair
    was = value(host, RMEM)
    guarded = _armed(host, was, 20)
    writes = (Command(("sysctl", "-qw", f"{RMEM}={HELD}")),)
    with pytest.raises(NotGuarded, match="less time is left than putting it back would take"):
        replace(guarded, undo_s=60).begin(writes)()
    refused = value(host, RMEM)
    replace(guarded, undo_s=1).begin(writes)()
    written = value(host, RMEM)
    guard.put_back(host, guarded.guard_id)

    assert (refused, written) == (was, HELD)
    assert value(host, RMEM) == was


def test_a_deadline_that_comes_in_the_middle_of_a_batch_puts_its_last_write_back_too(
    pair: tuple[Namespace, Namespace],
) -> None:
    """The script waits for the lock that the batch holds; whatever the batch wrote comes before it."""
    host, _ = pair
    was = value(host, RMEM)
    guarded = _armed(host, was, 2)
    restored = Command(("test", "-e", f"{ROOT}/{guarded.guard_id}/restored"))
    ended = guarded.begin(
        (Command(("sleep", "4")), Command(("sysctl", "-qw", f"{RMEM}={HELD}")), Command(("sleep", "0.5")))
    )
    time.sleep(3.5)
    early = host.run(restored).ok
    ended()
    waited(lambda: host.run(restored).ok, 10)

    assert not early
    assert value(host, RMEM) == was
