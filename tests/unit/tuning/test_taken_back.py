"""Afterwards: interrupts that irqbalance moves by now are named, and left to it; a guest's device is never kept."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from bench.facts import irqs
from bench.facts.riding import Riding
from bench.facts.roles import Link, Stack
from bench.hosts import shell
from bench.hosts.command import Command, Outcome
from nettune import changes
from nettune.say import Screen
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost
from tuning.applying import returning
from tuning.applying.drift import drifted
from tuning.applying.record import Applied
from tuning.applying.returning import SomebodyElses
from tuning.knobs.knob import Change

KEY = "irq/eth0/virtio1-input.0"
RIDING = Riding(Stack([Link("lo"), Link("eth0")]), (), ())


@dataclass(eq=False)
class Machine(FakeHost):
    """One with an interrupt that these CPUs serve; it answers batches too."""

    balancer: bool = True
    cpus: str = "1"

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        self.asked.append(command)
        if not shell.is_batch(command):
            code, text = self._said(command.argv)
            return Outcome(command, self.name, code, text, "", 0.0)
        told = [self._said(shlex.split(line)) for line in command.argv[5:]]
        out = "".join(f"{text}\n{shell.MARKER} {code}\n" for code, text in told)
        return Outcome(command, self.name, 0, out, f"\n{shell.MARKER}\n" * len(told), 0.0)

    def _said(self, argv: Sequence[str]) -> tuple[int, str]:
        words = [each for each in argv if each != "exec"]
        if tuple(words) == irqs.BALANCER.argv:
            return (0 if self.balancer else 1), ""
        if "pveversion" in words[-1]:
            return 1, ""
        if "irqs" in words:
            return 0, f"eth0 near 0-3\neth0 virtio1-input.0 {self.cpus}\n"
        if "ethtool" in words:
            return 0, '[{"ifname": "eth0"}]' if "-k" in words else ""
        if "-batch" in words:
            return 0, "[]\n[]\n[]\n"
        return 0, "[]" if "ip" in words or "bridge" in words else ""


def held() -> Applied:
    """The interrupt was to be served by CPU 2."""
    return Applied("0123456789ab", "pve1", "mine", 1.0, ("eth0",), (("smp_affinity_list", "spread"),),
                   (Change("pve1", KEY, "2"),), {KEY: "0-3"},
                   {KEY: ("0-3", "2")}, "confirmed")  # fmt: skip


def test_what_irqbalance_has_moved_is_laid_at_irqbalance() -> None:
    """The CPUs are read although they are no facts of a plan while it runs."""
    host = Machine("pve1")
    now = changes.lab_of(host, ("eth0",), [held()], RIDING).read()["pve1"]
    (found,) = drifted([held()], now, ("irqbalance",))

    assert (found.actual, found.cause) == ("1", "irqbalance writes it there")


def test_a_change_is_taken_back_although_irqbalance_has_moved_an_interrupt() -> None:
    """Nothing of the interrupt is written, and that is said; where it does not run, somebody else's value stops it."""
    host, alone = Machine("pve1"), Machine("pve1", balancer=False)
    said = returning.take_back(host, changes.lab_of(host, ("eth0",), [held()], RIDING), held(), RIDING)
    written = [word for command in host.asked for word in command.argv if '>"${name%/*}/smp_affinity_list"' in word]

    assert said == "irqbalance runs: interrupts are left to it"
    assert written == []
    with pytest.raises(SomebodyElses, match="virtio1-input"):
        returning.take_back(alone, changes.lab_of(alone, ("eth0",), [held()], RIDING), held(), RIDING)


def test_a_device_that_only_its_guests_start_makes_is_never_kept() -> None:
    """Whether it is applied with --persist or confirmed with it: each boot would wait for it."""
    stack = Stack(
        [Link("tap100i0", kind="tun", master="vmbr0"), Link("vmbr0", kind="bridge"), Link("tun0", kind="tun")]
    )
    made = replace(held(), changes=(Change("pve1", "link/tap100i0/txqlen", "10000"),))
    host = FakeHost("pve1", answer)

    with pytest.raises(NotAble, match="tap100i0 belongs to a guest"):
        changes.kept(Screen(), host, "pve1", made, 120)
    assert not [each for each in host.asked if "keep" in each.argv]
    changes.keepable(host, stack, ["link/vmbr0/mtu", "link/tun0/mtu", "link/gone/mtu"], None)


def answer(command: Command) -> tuple[int, str]:
    """A machine with a guest's tap."""
    links = [{"ifname": "vmbr0", "linkinfo": {"info_kind": "bridge"}},
             {"ifname": "tap100i0", "master": "vmbr0", "linkinfo": {"info_kind": "tun"}}]  # fmt: skip
    if command.argv[-2:] == ("addr", "show"):
        return 0, json.dumps(links)
    return 0, "[]" if command.argv[0] in {"ip", "bridge"} else ""
