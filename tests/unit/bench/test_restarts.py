"""Guests started anew: what a plan's settings make of them, what is done to them, and what is put back."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench import restarts
from bench.labs.guests import Guests
from bench.labs.restarting import Restarting
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology
from bench.plan import SettingSpec
from bench.pve.deployment import Deployment
from results.errors import NotAble
from tests.unit.bench.fakes import lab

QUEUES = (SettingSpec("vm-queues", "4", None),)
BOTH = (SettingSpec("vm-queues", "4", None), SettingSpec("mtu", "9000", None))
MTU = (SettingSpec("vm-host-mtu", "9000", "guest"), SettingSpec("mtu", "9000", None))
PLAN = {"many": QUEUES, "many-jumbo": BOTH, "jumbo": MTU, "usual": (SettingSpec("tso", "off", None),)}


def test_a_state_is_told_alike_for_the_same_settings() -> None:
    """What is set inside has no part in it."""
    assert restarts.words(PLAN) == ("vm-queues", "vm-host-mtu")
    assert [restarts.state(specs) for specs in PLAN.values()] == [
        "vm-queues=4", "vm-queues=4", "vm-host-mtu=9000 (guest)", "",
    ]  # fmt: skip


def test_guests_that_are_so_already_need_no_new_start() -> None:
    """host_mtu is 9000 unless a plan says otherwise; namespaces have no such state at all."""
    bridge = Topology("bridge")

    assert restarts.states(PLAN, Guests(), bridge) == {"many": "vm-queues=4", "many-jumbo": "vm-queues=4", "jumbo": "",
                                                       "usual": ""}  # fmt: skip
    assert restarts.states(PLAN, Guests(host_mtu=1500), bridge)["jumbo"] == "vm-host-mtu=9000 (guest)"
    assert set(restarts.states(PLAN, None, bridge).values()) == {""}


def test_new_starts_are_in_the_estimate() -> None:
    """Two a state, and one for the plain group where it comes first; a trial after each that is not counted."""
    assert restarts.block_s({"usual": PLAN["usual"]}, 3.0) == 0.0
    assert restarts.block_s({"many": QUEUES, "many-jumbo": BOTH}, 3.0) == 2.5 * restarts.START_S + 2 * 2 * 3.0


@dataclass
class _Guest:
    """Comes up unless it was started with what it does not bear."""

    bears: int = 2
    begun: list[int] = field(default_factory=list)

    def begin(self, guests: Guests) -> None:
        """See Startable.begin."""
        self.begun.append(guests.queues)

    def wait(self) -> None:
        """See Startable.wait."""
        if self.begun[-1] > self.bears:
            raise LabBroken("guest ended; the console of guest a: too many")


@dataclass
class _Room:
    """Two guests, and what was done when they were up again."""

    guests: dict[str, _Guest] = field(default_factory=lambda: {"a": _Guest(), "b": _Guest(bears=9)})
    done: list[str] = field(default_factory=list)

    def restarting(self) -> Restarting:
        """What a lab has."""

        def furnish(names: Collection[str]) -> None:
            self.done.append("+".join(names))

        return Restarting(Guests(), 1500, self.guests, furnish=furnish, settle=lambda: self.done.append("settled"))


def test_vms_of_proxmox_are_started_for_what_they_have_not(tmp_path: Path) -> None:
    """By the net0 that their topology gives; one queue is what none means, and a rate takes no start."""
    of = Deployment(tmp_path, ("pve1",), "9000", "local", ("192.0.2.1/24", "192.0.2.2/24"))
    path = Topology("pve", net=(("bridge", "vmbr0"), ("rate", "5")))
    plan = {"one": (SettingSpec("vm-queues", "1", None),), "many": QUEUES, "slow": (SettingSpec("vm-rate", "9", None),),
            "other": (SettingSpec("vm-model", "e1000", None),)}  # fmt: skip

    assert restarts.states(plan, of, path) == {"one": "", "many": "vm-queues=4", "slow": "", "other": "vm-model=e1000"}
    assert restarts.words(plan) == ("vm-queues", "vm-model", "vm-rate")


def test_guests_are_started_at_the_same_time_and_made_what_they_were() -> None:
    """Only those that are named; their facts follow."""
    room = _Room()
    anew = room.restarting()
    anew.restart({"b": {"vm/vm-queues": "4"}})
    anew.fresh()

    assert (room.guests["a"].begun, room.guests["b"].begun) == ([1], [4, 4])
    assert room.done == ["b", "settled", "a+b", "settled"]
    assert (anew.facts("a")["vm/vm-queues"], anew.facts("b")["vm/vm-queues"], anew.facts("node")) == ("1", "4", {})


def test_where_one_does_not_come_up_all_are_started_as_they_were() -> None:
    """The error is that of the start that failed, with the console."""
    room = _Room()
    anew = room.restarting()
    with pytest.raises(LabBroken, match="the console of guest a: too many"):
        anew.restart({name: {"vm/vm-queues": "4"} for name in "ab"})

    assert (room.guests["a"].begun, room.guests["b"].begun) == ([4, 1], [4, 1])
    assert room.done == ["a+b", "settled"]
    assert anew.facts("b")["vm/vm-queues"] == "1"


def test_a_lab_without_guests_of_ours_says_so() -> None:
    """Namespaces and standing machines."""
    with pytest.raises(NotAble, match="no guests that nettune could start anew"):
        lab().restart({})
