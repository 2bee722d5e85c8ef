"""KNOBS: every kind of knob, in the order in which they are written (undo goes backwards)."""

import functools
from collections.abc import Mapping

from bench.document import nearest
from tuning.knobs.coalescing import Coalescing
from tuning.knobs.cpu import CPU_FILES
from tuning.knobs.device_files import DEVICE_FILES
from tuning.knobs.feature import Feature
from tuning.knobs.irq import IrqAffinity
from tuning.knobs.knob import Knob
from tuning.knobs.link import LINK_NUMBERS
from tuning.knobs.link_options import OPTIONS
from tuning.knobs.mtu import Mtu
from tuning.knobs.nic import NIC_NUMBERS
from tuning.knobs.node import FirewallRules, Nat
from tuning.knobs.pve_firewall import Backend, HostFirewall
from tuning.knobs.qdisc import Qdisc
from tuning.knobs.sysctl import Sysctl
from tuning.knobs.vm import VIRTUAL

# A guest's NIC and its start come before what is set inside. Then MTU: on many drivers it resets the queues and with
# them what comes later (knowledge of drivers: tuning order link, MTU, channels, rings, coalescing, features, RSS, IRQ,
# XPS/RPS, qdisc, sysctl). NAPI comes after features: a veth polls only with gro on.
KNOBS: Mapping[str, Knob] = VIRTUAL | {
    knob.kind: knob
    for knob in (
        Mtu(),
        *NIC_NUMBERS,
        *LINK_NUMBERS,
        *OPTIONS,
        Coalescing(),
        Feature(),
        IrqAffinity(),
        *DEVICE_FILES,
        *CPU_FILES,
        Qdisc(),
        Backend(),
        HostFirewall(),  # before the sysctls behind it, which it would write back
        Sysctl(),
        FirewallRules(),
        Nat(),
    )
}
# Only a lab's node has them. What they cost is an answer; a profile holds none of them.
LAB_ONLY = frozenset({FirewallRules.kind, Nat.kind, Backend.kind})

# What they write keeps it over boots by itself, from that moment on.
BY_ITSELF = frozenset({HostFirewall.kind, Backend.kind, *VIRTUAL})
# A guest takes them at its start, though they are none of its own facts.
TAKEN_AT_STARTS = frozenset({Backend.kind})


def knob_for(setting: str) -> Knob | None:
    """The knob that takes a setting; None when none does."""
    return next((knob for knob in KNOBS.values() if knob.takes(setting)), None)


@functools.lru_cache(maxsize=10_000)
def owner(key: str) -> Knob:
    """The knob that sets a fact; KeyError when none does. Cached: every fact of every undo asks."""
    for knob in KNOBS.values():
        if knob.owns(key):
            return knob
    raise KeyError(f"no knob sets {key}")


def check(setting: str, value: str) -> tuple[str, str]:
    """(problem, hint) of a setting before any host is asked; ("", "") when nothing is wrong."""
    knob = knob_for(setting)
    if knob is None:
        known = [word for each in KNOBS.values() for word in each.words()]
        hint = nearest(setting, known) or "mtu, an offload of `ethtool -k`, or a sysctl below net."
        return f"{setting!r} is no knob that nettune knows", hint
    return knob.problem(setting, value), ""
