"""Checks between real guests: legs of a bond fail and come back, VLANs keep ends apart."""

from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.labs import legs, qemu
from bench.labs.cable import How
from bench.labs.guests import Guests
from bench.labs.topology import Topology
from bench.probes.failover import Failover
from bench.probes.frames import KINDS
from bench.probes.isolation import Isolation
from bench.probes.path_mtu import PathMtu
from bench.probes.probe import Pair
from tests.vm.kit import kit, leases

NODES = Guests(nodes=True, memory_mb=384)
HOLD_S = 2.0


@pytest.mark.sampled(1)
def test_a_bond_fails_over_where_it_sees_the_carrier_and_stays_cut_where_it_does_not(tmp_path: Path) -> None:
    """Active-backup looks every 100 ms (miimon); a leg that keeps its carrier is cut as long as nothing passes."""
    bond = Topology("bond", bond_mode="active-backup", legs=2)
    longest: dict[How, float] = {}
    hows: tuple[How, ...] = ("link-down", "silent")
    with qemu.standing(bond, kit(NODES), leases_folder=leases(tmp_path)) as lab:
        before = lab.read()
        for port, how in enumerate(hows):
            pair = Pair(lab.a, lab.b, 20001 + port, 30001 + port, lab=lab)
            # an odd number of switches in all: without being put back the active leg is another one after them
            measured = Failover("failover", how, 2 - port, HOLD_S, 2.0, 1.0).measure(pair)
            longest[how] = next(each.value for each in measured.samples if each.metric == "outage_max")
        legs.whole(lab)
        after = lab.read()

    assert 0.0 < longest["link-down"] < HOLD_S / 2
    assert HOLD_S * 0.9 < longest["silent"] < HOLD_S * 3
    assert differences(before, after) == ()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("trunk", [True], ids=["trunk"])  # both of its bridges do what one alone does
def test_vlans_of_a_bridge_keep_every_kind_of_frame_apart(tmp_path: Path, *, trunk: bool) -> None:
    """Each with its twin, which passed; and the ends' whole MTU passes within a VLAN."""
    apart = Topology("vlan", vlan_id=10, ends=4, vlans=(("c", 20), ("d", 20)), trunk=trunk)
    with qemu.standing(apart, kit(NODES), leases_folder=leases(tmp_path)) as lab:
        before = lab.read()
        pair = Pair(lab.a, lab.b, 20001, 30001, lab=lab)
        isolation, mtu = Isolation("isolation").measure(pair), PathMtu("path-mtu").measure(pair)
        after = lab.read()
    values = {sample.metric: sample.value for sample in isolation.samples}

    assert isolation.flags == mtu.flags == ()
    assert (values["leaks"], values["kept_apart"], values["held"]) == (0, 8 * len(KINDS), 1)
    assert mtu.samples[0].value == 1500
    assert differences(before, after) == ()
