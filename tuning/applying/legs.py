"""Legs of a bond: which changes wait until the leg before can be used again, and how that is seen.

A leg has carrier long before it carries anything: the bond waits `updelay`, and LACP aggregates after that.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.facts import openvswitch
from bench.facts.roles import BONDS, Stack
from bench.facts.scope import device_of
from bench.hosts.command import Command
from bench.hosts.host import Host
from tuning.knobs.knob import Change

# $1 is where sysfs lies, the rest are legs; a line for each, "-" for what is not told. Then Open vSwitch's bonds.
_ASKED = """\
PATH=$PATH:/usr/sbin:/sbin sys=$1; shift
others=
for leg; do
  leg_at=$sys/class/net/$leg/bonding_slave bond_at=$sys/class/net/$leg/master/bonding
  [ -d "$leg_at" ] || { others=yes; continue; }
  printf '%s' "$leg"
  for file in "$leg_at/mii_status" "$leg_at/ad_aggregator_id" "$bond_at/ad_aggregator" \\
    "$leg_at/ad_actor_oper_port_state" "$leg_at/ad_partner_oper_port_state" "$bond_at/mode" "$bond_at/lacp_rate" \\
    "$bond_at/updelay"; do
    word=; { read -r word rest <"$file"; } 2>/dev/null
    printf ' %s' "${word:--}"
  done
  echo
done
[ -n "$others" ] && command -v ovs-appctl >/dev/null || exit 0
for shown in bond/show lacp/show; do ovs-appctl --timeout=5 "$shown" 2>/dev/null; done
true
"""
# Of `ovs-appctl bond/show` and `lacp/show`; before 2.13 a member was a slave (ofproto/bond.c, lib/lacp.c).
_SECTION, _DELAY = re.compile(r"---- (.+) ----"), re.compile(r"updelay: (\d+) ms")
_ENABLED = re.compile(r"(?:member|slave) (\S+): (enabled|disabled)")
_ATTACHED = re.compile(r"(?:member|slave): (\S+): \w+ (attached|detached)")
_STATE = re.compile(r"(actor|partner) state:(.*)")
_BITS = {"timeout": 0x02, "synchronized": 0x08, "collecting": 0x10, "distributing": 0x20}
_CARRIES = 0x08 | 0x10 | 0x20  # in sync, collecting, distributing (802.1AX 6.4.2.3; LACP_STATE_* of bond_3ad.h)
_FAST = 0x02  # the partner wants a frame each second, and not each 30 s
_SETTLE_S, _SLOW_S = 10.0, 90.0  # a reset; three frames of slow LACP (LONG_TIMEOUT_TIME of bond_3ad.h)


@dataclass(frozen=True, slots=True)
class Leg:
    """`up`: by its bond, `updelay` included. `carries`: what both LACP partners say of the port; 0 without LACP.

    `joined`: it is in the aggregator that the bond uses. `patience_s`: after a reset it may need as long.
    """

    name: str
    up: bool
    joined: bool
    carries: tuple[int, int]
    patience_s: float


def of(stack: Stack) -> Mapping[str, tuple[str, ...]]:
    """The legs of each bond, by its name; of a switch that does not tell its bonds all NICs may be legs of one."""
    found: dict[str, list[str]] = {}
    for link in stack.links.values():
        master = stack.links.get(link.master)
        untold = link.master == openvswitch.DATAPATH and not link.kind
        if master is not None and (master.kind in BONDS or untold):
            found.setdefault(master.name, []).append(link.name)
    return {bond: tuple(sorted(names)) for bond, names in found.items()}


def waves(changes: Sequence[Change], resets: Collection[Change], stack: Stack) -> tuple[tuple[Change, ...], ...]:
    """Changes in writing order, those that reset a NIC (`resets`) never on two legs of a bond in one wave.

    What comes after a reset on its device stays after it: a driver makes interrupts and queues anew. A bond's MTU,
    which the kernel gives to all legs at once (bond_change_mtu), comes once each has it already.
    """
    turn = {leg: place for each in of(stack).values() for place, leg in enumerate(each)}
    sized = {device for each in changes if _of_mtu(each) and (device := device_of(each.key)) in turn}
    last = {above: max(turn[leg] for leg in sized if above in stack.above(leg))
            for leg in sized for above in stack.above(leg)}  # fmt: skip
    begun: dict[str, int] = {}
    of_turn: dict[int, list[Change]] = {0: []}
    for change in changes:
        device = device_of(change.key)
        if change in resets and device in turn:
            begun.setdefault(device, turn[device])
        elif _of_mtu(change) and device in last:
            begun[device] = last[device]
        of_turn.setdefault(begun.get(device, 0), []).append(change)
    return tuple(tuple(of_turn[place]) for place in sorted(of_turn) if of_turn[place]) or ((),)


def at_once(changes: Sequence[Change], facts: Mapping[str, str], stack: Stack) -> Mapping[str, tuple[str, ...]]:
    """Legs that a bond's MTU would reset all at the same moment, by bond: those that do not get it before."""
    own = {change.key for change in changes}
    found = {}
    for change in changes:
        bond = device_of(change.key)
        if not _of_mtu(change) or bond not in stack.links or stack.links[bond].kind != "bond":
            continue
        ports = stack.ports(bond)
        keys = {leg: f"link/{leg}/mtu" for leg in sorted(ports)}
        left = tuple(leg for leg, key in keys.items() if key not in own and facts.get(key) != change.wanted)
        if left and len(ports) > 1:
            found[bond] = left
    return found


def asked(host: Host, names: Sequence[str], sys: str = "/sys") -> Mapping[str, Leg]:
    """How those devices are that are legs now."""
    if not names:
        return {}
    told = host.run(Command(("sh", "-c", _ASKED, "sh", sys, *names))).require().stdout
    kernels, _, switches = told.partition("---- ")
    found = [*map(_read, kernels.splitlines()), *_switched(f"---- {switches}")]
    return {each.name: each for each in found if each.name in names}


def lacking(before: Mapping[str, Leg], now: Mapping[str, Leg]) -> tuple[str, ...]:
    """What of the legs cannot be used as it could before, in words."""
    found = []
    for name, was in before.items():
        leg = now.get(name)
        if leg is None:
            found.append(f"{name} was a bond's leg and is none")
        elif was.up and not leg.up:
            found.append(f"{name} was up for its bond and is not")
        elif was.joined and not leg.joined:
            found.append(f"{name} is not in the aggregator that its bond uses, and was")
        elif any(there & ~is_now for there, is_now in zip(was.carries, leg.carries, strict=True)):
            found.append(f"{name}'s LACP partner does not collect and distribute as before")
    return tuple(found)


def patience_s(before: Mapping[str, Leg]) -> float:
    """How long the slowest of them may need after a reset."""
    return max((each.patience_s for each in before.values()), default=_SETTLE_S)


def _of_mtu(change: Change) -> bool:
    return change.key == f"link/{device_of(change.key)}/mtu"


def _read(line: str) -> Leg:
    name, mii, mine, of_bond, actor, partner, mode, rate, updelay = line.split()
    lacp = mode == "802.3ad"
    carries = (_number(actor) & _CARRIES, _number(partner) & _CARRIES) if lacp else (0, 0)
    # Each end sends as often as the other one wants it.
    slow = lacp and (rate != "fast" or not _number(partner) & _FAST)
    wait_s = _wait_s(_number(updelay), slow=slow)
    return Leg(name, mii == "up", lacp and mine == of_bond, carries, wait_s)


def _wait_s(updelay_ms: int, *, slow: bool) -> float:
    """Until a leg that was reset carries again, at most; `slow`: by LACP that hears of it each 30 s."""
    return _SETTLE_S + updelay_ms / 1000 + (_SLOW_S if slow else 0.0)


def _number(word: str) -> int:
    return int(word) if word.isdecimal() else 0


def _switched(told: str) -> Iterator[Leg]:
    """Legs of bonds of Open vSwitch, by what it shows of its bonds first, and then of their LACP."""
    bond, leg, delay_ms = "", "", dict[str, int]()
    enabled, attached, states = dict[str, tuple[str, bool]](), dict[str, bool](), dict[tuple[str, str], int]()
    for line in map(str.strip, told.splitlines()):
        if match := _SECTION.fullmatch(line):
            bond = match[1]
        elif match := _DELAY.fullmatch(line):
            delay_ms[bond] = int(match[1])
        elif match := _ENABLED.fullmatch(line):
            enabled[match[1]] = bond, match[2] == "enabled"
        elif match := _ATTACHED.fullmatch(line):
            leg = match[1]
            attached[leg] = match[2] == "attached"
        elif match := _STATE.fullmatch(line):
            states[leg, match[1]] = sum(_BITS.get(word, 0) for word in match[2].split())
    for name, (of_bond, up) in enabled.items():
        both = states.get((name, "actor"), 0), states.get((name, "partner"), 0)
        # What an end says of its own timeout is what it wants to hear.
        slow = name in attached and not both[0] & both[1] & _FAST
        wait_s = _wait_s(delay_ms.get(of_bond, 0), slow=slow)
        yield Leg(name, up, attached.get(name, False), (both[0] & _CARRIES, both[1] & _CARRIES), wait_s)
