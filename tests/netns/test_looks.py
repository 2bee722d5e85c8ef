"""What a host and nettune look at while a change waits, each seen well and then ill: real commands, a real kernel."""

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
from tuning.applying import verifying
from tuning.applying.planning import Planned, planned
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
    monkeypatch.setattr(verifying, "_SETTLE_S", 0.0)


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
    before = verifying.full_packets(change, [GATEWAY])
    _ip(gateway, "link set eth0 mtu 1400")
    after, answers = verifying.full_packets(change, [GATEWAY]), verifying.answering(change)
    _ip(gateway, "link set eth0 mtu 1500")

    assert before == {GATEWAY}
    assert after == frozenset()
    assert answers == (GATEWAY,)


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
