"""Planted faults between two guests: in place of the bridge a relay with one fault takes frames from tap to tap.

Of their NICs' offloads it takes none away (tests/netns/offload_relay.py). One at each commit; `make bench` has all.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.labs import qemu
from bench.labs.guests import Guests
from bench.labs.lab import Lab
from bench.labs.topology import Topology
from tests.netns.offload_relay import relaying
from tests.netns.test_offload_faults import ON_THE_WAY, TSO, Planted, named_on_the_way, seen
from tests.vm.kit import kit, leases
from tuning.offload.validating import Wanted

BULK_BYTES = 1_000_000
# What virtio-net has nothing of: QEMU 7.2 cuts up no datagrams, and no NIC of its segments in a tunnel.
_NOT_HERE = {"missizes", "scrambles gso", "drops gso", "drops tunnels"}
_UNFELT = ("tx-nocache-copy",)  # no toggle has to do with what payload suffers anyway, and each would be exchanged


def _between(planted: Planted) -> Planted:
    """A fault as it is looked for between guests."""
    features = (TSO,) if planted.of[0] == TSO or planted.kind == "dies" else _UNFELT
    # A guest gathers what is written: lengths are odd where the MSS is, too.
    words = "not as sent from byte" if planted.kind == "corrupts odd" else planted.words
    return replace(planted, features=features, words=words)


BETWEEN = [_between(each) for each in ON_THE_WAY if each.kind not in _NOT_HERE]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two guests on taps of one namespace, for all tests of the file; each puts a relay of its own between them."""
    guests = kit(Guests(memory_mb=384))
    with qemu.standing(Topology("bridge"), guests, leases_folder=leases(tmp_path_factory.mktemp("pair"))) as lab:
        yield lab


@pytest.mark.sampled(1, "fault")
@pytest.mark.parametrize("planted", BETWEEN, ids=[each.kind for each in BETWEEN])
def test_what_befalls_a_guest_s_packets_is_named(pair: Lab, tmp_path: Path, planted: Planted) -> None:
    """By the level that must catch it; the guests are as they were afterwards."""
    named_on_the_way(pair, tmp_path, planted, BULK_BYTES)


@pytest.mark.sampled(1, "fault")
def test_guests_whose_path_stalls_after_a_while_fail_their_soak(pair: Lab, tmp_path: Path) -> None:
    """Some payload passes, then nothing: the soak ends long before its time."""
    with relaying(pair, "stalls"):
        found = seen(pair, tmp_path, Wanted(levels=frozenset({"stability"}), soak_s=120, bulk_bytes=BULK_BYTES))
    level = next(each for each in found.levels if each.level == "stability")

    assert level.outcome == "failed"
    assert any(word in level.evidence[0] for word in ("hangs", "did not come about")), level.evidence


@pytest.mark.sampled(1, "fault")
def test_a_relay_between_guests_takes_no_offload_away(pair: Lab, tmp_path: Path) -> None:
    """Without a fault all of it works: segments come as large as they were sent."""
    wanted = Wanted(levels=frozenset({"function", "engaged"}), features=(TSO, "rx-gro-hw"), bulk_bytes=BULK_BYTES)
    with relaying(pair, "nothing"):
        found = seen(pair, tmp_path, wanted)
    told = {row.feature: row.verdict for row in found.features if row.feature != "queues"}

    assert told == dict.fromkeys(("payload", TSO, "rx-gro-hw"), "works"), found.features
