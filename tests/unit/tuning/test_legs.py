"""Legs of a bond: one after the other, in writing order, and not before the one before carries again."""

import itertools
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts.riding import Riding
from bench.facts.roles import OVS_BOND, Link, Stack
from bench.facts.scope import device_of
from bench.facts.sheet import FactSheet
from bench.hosts.command import Command
from bench.hosts.local import Local
from tests.unit.bench import fakes
from tests.unit.bench.fakes import FakeHost
from tests.unit.bench.recorded import FOLDER
from tuning.applying import legs, verifying
from tuning.applying.legs import Leg
from tuning.applying.planning import Planned, Row
from tuning.knobs.knob import Change

LEGS = {"eth0": "bond0", "eth1": "bond0", "eth2": "bond0", "eth3": "bond1", "eth4": "bond1"}
LINKS = (*(Link(name, master=bond) for name, bond in LEGS.items()), Link("bond0", kind="bond", master="vmbr0"),
         Link("bond1", kind="bond"), Link("bond1.10", kind="vlan", below=("bond1",)), Link("vmbr0", kind="bridge"),
         Link("eth9"))  # fmt: skip
FACTS = {f"link/{each.name}/{what}": value for each in LINKS
         for what, value in (("kind", each.kind), ("master", each.master), ("mtu", "1500")) if value}  # fmt: skip
KINDS = (
    ("mtu", "link/{}/mtu", "d4"), ("combined", "channel/{}/combined", "d3"), ("rx-ring", "ring/{}/rx", "d3"),
    ("rx-usecs", "coalesce/{}/rx-usecs", "d0"), ("smp_affinity_list", "irq/{}/input.0", "d0"),
    ("xps_cpus", "queue/{}/tx-0/xps_cpus", "d0"), ("txqueuelen", "link/{}/txqlen", "d1"),
)  # fmt: skip
ROWS = [Row(word, Change("pve1", key.format(link.name), "1"), "0", costs, ()) for link in LINKS
        for word, key, costs in KINDS]  # fmt: skip
ROWS.append(Row("net.ipv4.tcp_rmem", Change("pve1", "sysctl/net.ipv4.tcp_rmem", "1"), "0", "d0", ()))


def planned(rows: list[Row]) -> Planned:
    """A plan of these rows."""
    host = FakeHost("pve1")
    return Planned(host, fakes.lab(a=host), {"pve1": FactSheet("pve1", FACTS)}, Riding(Stack(LINKS), (), ()),
                   tuple(rows), (), (), ())  # fmt: skip


def test_what_comes_after_a_reset_of_a_leg_waits_with_it() -> None:
    """Interrupts and queues that were set before the channels would be made anew by the driver."""
    kinds = ("channel/{}/combined", "coalesce/{}/rx-usecs", "irq/{}/input.0", "queue/{}/tx-0/xps_cpus")
    wanted = [[each.format(leg) for each in kinds] for leg in ("eth0", "eth1")]
    plan = planned([row for row in ROWS if row.change.key in itertools.chain(*wanted)])

    assert [[change.key for change in wave] for wave in plan.waves] == wanted


def test_the_mtu_of_legs_is_changed_one_after_the_other_and_the_bonds_last() -> None:
    """Who writes the bond's first resets all of its legs at once."""
    plan = planned([row for row in ROWS if row.setting == "mtu" and row.change.key.split("/")[1] in
                    {"eth0", "eth1", "bond0", "vmbr0", "eth9"}])  # fmt: skip

    assert [{change.key for change in wave} for wave in plan.waves] == [
        {"link/eth0/mtu", "link/eth9/mtu"}, {"link/eth1/mtu", "link/bond0/mtu", "link/vmbr0/mtu"},
    ]  # fmt: skip


@given(st.lists(st.sampled_from(ROWS), unique_by=lambda row: row.change.key))
def test_on_each_device_the_writing_order_is_kept_and_no_two_legs_are_reset_at_once(rows: list[Row]) -> None:
    """Whatever a profile sets: nothing twice, nothing lost."""
    plan = planned(rows)
    ordered = list(itertools.chain(*plan.waves))

    assert sorted(map(str, ordered)) == sorted(map(str, plan.changes))
    for device in {device_of(each.key) for each in plan.changes}:
        assert [each for each in ordered if device_of(each.key) == device] == [
            each for each in plan.changes if device_of(each.key) == device
        ]
    resets = {row.change for row in rows if row.disruption >= "d3"}
    for wave in plan.waves:
        reset = {device_of(each.key) for each in wave if each in resets} & LEGS.keys()
        assert len({LEGS[leg] for leg in reset}) == len(reset)
    place = {each.key: number for number, wave in enumerate(plan.waves) for each in wave}
    for leg, bond in LEGS.items():
        if {f"link/{leg}/mtu", f"link/{bond}/mtu"} <= place.keys():
            assert place[f"link/{leg}/mtu"] <= place[f"link/{bond}/mtu"]


def test_an_mtu_that_a_bond_would_give_to_all_its_legs_at_once_is_told() -> None:
    """Those that do not get it before; not where they have it, nor of a bond with one leg."""
    stack = Stack(LINKS)
    bond, leg = Change("pve1", "link/bond1/mtu", "9000"), Change("pve1", "link/eth3/mtu", "9000")

    assert legs.at_once([bond], FACTS, stack) == {"bond1": ("eth3", "eth4")}
    assert legs.at_once([bond, leg], FACTS, stack) == {"bond1": ("eth4",)}
    assert legs.at_once([bond, leg], FACTS | {"link/eth4/mtu": "9000"}, stack) == {}
    assert legs.at_once([bond], FACTS, Stack([Link("bond1", kind="bond"), Link("eth3", master="bond1")])) == {}


LACP = {"mii_status": "up", "ad_aggregator_id": "1", "ad_actor_oper_port_state": "63",
        "ad_partner_oper_port_state": "63"}  # fmt: skip
BOND = {"mode": "802.3ad 4", "lacp_rate": "fast 1", "updelay": "200", "ad_aggregator": "1"}


def sysfs(folder: Path, leg: str, said: Mapping[str, str], of_bond: Mapping[str, str]) -> None:
    """A leg of bond0 as the kernel shows it."""
    for at, files in ((folder / "class/net/bond0/bonding", of_bond), (folder / f"class/net/{leg}/bonding_slave", said)):
        at.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (at / name).write_text(f"{text}\n", encoding="utf-8")
    if not (master := folder / f"class/net/{leg}/master").exists():
        master.symlink_to("../bond0")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ()),
        ({"mii_status": "going back"}, ("eth0 was up for its bond and is not",)),
        ({"ad_aggregator_id": "2"}, ("eth0 is not in the aggregator that its bond uses, and was",)),
        ({"ad_partner_oper_port_state": "15"}, ("eth0's LACP partner does not collect and distribute as before",)),
        ({"ad_actor_oper_port_state": "69"}, ("eth0's LACP partner does not collect and distribute as before",)),
        ({"ad_actor_oper_port_state": "61"}, ()),  # the rate alone
    ],
)
def test_a_leg_is_read_as_the_kernel_shows_it(
    tmp_path: Path, changed: Mapping[str, str], words: tuple[str, ...]
) -> None:
    """By its bond's own word and LACP's, and not by its carrier."""
    sysfs(tmp_path, "eth0", LACP, BOND)
    before = legs.asked(Local(), ("eth0", "eth9"), str(tmp_path))
    sysfs(tmp_path, "eth0", changed, {})

    assert before == {"eth0": Leg("eth0", up=True, joined=True, carries=(56, 56), patience_s=10.2)}
    assert legs.lacking(before, legs.asked(Local(), tuple(before), str(tmp_path))) == words


def test_slow_lacp_is_waited_for_longer(tmp_path: Path) -> None:
    """Where either end sends a frame each 30 s; a bond without LACP has no partner, and none is waited for."""
    sysfs(tmp_path, "eth0", LACP, BOND | {"lacp_rate": "slow 0"})
    slow = legs.asked(Local(), ("eth0",), str(tmp_path))
    sysfs(tmp_path, "eth0", {"ad_partner_oper_port_state": "61"}, BOND)
    partner = legs.asked(Local(), ("eth0",), str(tmp_path))
    sysfs(
        tmp_path,
        "eth0",
        {"ad_aggregator_id": "N/A", "ad_partner_oper_port_state": "N/A"},
        BOND | {"mode": "active-backup 1"},
    )
    backup = legs.asked(Local(), ("eth0",), str(tmp_path))

    assert (legs.patience_s(slow), legs.patience_s(partner), legs.patience_s(backup)) == (100.2, 100.2, 10.2)
    assert backup["eth0"] == Leg("eth0", up=True, joined=False, carries=(0, 0), patience_s=10.2)
    assert legs.patience_s({}) == 10.0
    assert legs.lacking(slow, {}) == ("eth0 was a bond's leg and is none",)


SHOWN = FOLDER / "openvswitch"


def of_ovs(folder: Path, shown: str) -> Mapping[str, Leg]:
    """Its legs where ovs-appctl shows that; eno9 is none of any bond."""
    program = folder / "ovs-appctl"
    program.write_text(f'#!/bin/sh\n[ "$2" != bond/show ] || cat {SHOWN / shown}\n', encoding="utf-8")
    program.chmod(0o755)

    def answer(command: Command) -> tuple[int, str]:
        outcome = Local().run(Command(("env", f"PATH={folder}:/usr/bin:/bin", *command.argv)))
        return outcome.returncode, outcome.stdout

    return legs.asked(FakeHost(answer=answer), ("eno1", "eno2", "eno9"))


def test_legs_of_open_vswitch_are_read_as_it_shows_them(tmp_path: Path) -> None:
    """A bond of two with LACP at its fast rate; one whose far end went down; at the slow rate; and without LACP."""
    well, lost, slow, plain = (of_ovs(tmp_path, f"bond-{each}.txt")
                               for each in ("well", "leg-lost", "slow", "without-lacp"))  # fmt: skip

    assert well == {
        each: Leg(each, up=True, joined=True, carries=(56, 56), patience_s=10.0) for each in ("eno1", "eno2")
    }
    assert legs.lacking(well, lost) == ("eno2 was up for its bond and is not",)
    assert legs.lacking({"eno2": replace(well["eno2"], up=False)}, lost) == (
        "eno2 is not in the aggregator that its bond uses, and was",
    )
    assert (legs.patience_s(slow), legs.lacking(well, slow)) == (100.2, ())
    assert plain["eno1"] == Leg("eno1", up=True, joined=False, carries=(0, 0), patience_s=10.2)


def test_legs_of_open_vswitch_are_legs_and_nics_of_one_that_tells_no_bond_may_be() -> None:
    """The kernel knows no bond there; a guest's tap is none, and the ports of a told bridge are none."""
    bond = (Link("eno1", master="b0"), Link("eno2", master="b0"), Link("b0", OVS_BOND, "vmbr0"),
            Link("vmbr0", "openvswitch"), Link("eno3", master="vmbr0"))  # fmt: skip
    untold = (Link("eno1", master="ovs-system"), Link("eno2", master="ovs-system"), Link("ovs-system", "openvswitch"),
              Link("tap1i0", "tun", "ovs-system"), Link("vxlan_sys_4789", "vxlan", "ovs-system"))  # fmt: skip
    changes = [Change("pve1", f"channel/{leg}/combined", "1") for leg in ("eno1", "eno2")]

    assert legs.of(Stack(bond)) == {"b0": ("eno1", "eno2")}
    assert legs.of(Stack(untold)) == {"ovs-system": ("eno1", "eno2")}
    for links in (bond, untold):
        assert legs.waves(changes, changes, Stack(links)) == ((changes[0],), (changes[1],))


def test_a_leg_that_comes_back_late_is_waited_for(tmp_path: Path) -> None:
    """It has carrier, and the bond's `updelay` is not over."""
    sysfs(tmp_path, "eth0", LACP, BOND)
    before = legs.asked(Local(), ("eth0",), str(tmp_path))
    sysfs(tmp_path, "eth0", {"mii_status": "going back"}, {})
    asked: list[tuple[str, ...]] = []

    def left() -> tuple[str, ...]:
        asked.append(legs.lacking(before, legs.asked(Local(), ("eth0",), str(tmp_path))))
        return asked[-1]

    back = threading.Timer(0.3, lambda: sysfs(tmp_path, "eth0", {"mii_status": "up"}, {}))
    back.start()
    found = verifying.settled(left, legs.patience_s(before))
    back.join()

    assert found == ()
    assert asked[0] == ("eth0 was up for its bond and is not",)
