"""Whether a host that was changed is still well: links, ports, gateways; and whether a new connection gets in."""

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TypeVar

from bench.facts.roles import Stack
from bench.facts.scope import device_of
from bench.facts.sheet import Sheets
from bench.hosts.command import Command, HostFault, Outcome
from bench.hosts.host import Host
from bench.labs.sharing import QUORATE, QUORUM, ping
from results.errors import NotAble
from tuning import restoring
from tuning.applying import legs
from tuning.applying.legs import Leg
from tuning.applying.planning import Planned

T = TypeVar("T")
SETTLE_S = 10.0  # for a link that a driver resets, and for LACP at its fast rate
WATCHED_S = 12.0  # before a change that may disturb the link is called well: longer than the host's own patience
_EVERY_S = 0.5
_PAYLOAD_BYTES = 131_072  # many full segments each way: an MTU too large lets logins through and nothing else
_KIND = re.compile(r"link/([^/]+)/kind")
_ERRORS = """\
for device; do
  for name in rx_packets rx_errors rx_crc_errors rx_frame_errors rx_length_errors tx_errors; do
    read -r count <"/sys/class/net/$device/statistics/$name" && echo "$device/$name $count"
  done
done"""
_SPEEDS = (
    'for device; do read -r speed <"/sys/class/net/$device/speed" && echo "$device $speed"; done 2>/dev/null; true'
)
# Of a leg, and of a bond. A leg that lost its partner leaves the bond's own partner as it is while another leg has it.
_PARTNER = "/sys/class/net/{}/bonding_slave/ad_partner_oper_port_state"
_RATE = "/sys/class/net/{}/bonding/lacp_rate"
_PAIRED = 56  # the partner is in synchronization, collects and distributes (IEEE 802.1AX, 6.4.2.3)
# A partner at the slow rate that is heard no more is given up after 90 s (802.1AX, Long_Timeout_Time).
SLOW_S = 95.0
_SPARE_S = 20.0  # for the writes and the confirmation
# A gateway that answers no ping, by its entry among the neighbours. Prints the entry's ADDRESS%DEVICE after each.
_NEAR = f"""\
{restoring.NEIGHBOUR}
for gateway; do
  on=$gateway
  device=$(ip route get "${{gateway%%%*}}" 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
  case $gateway in *%*) ;; *) on=$gateway%$device ;; esac
  case $(ip neigh show to "${{on%%%*}}" dev "${{on#*%}}" 2>/dev/null) in *PERMANENT*|*NOARP*) continue ;; esac
  if neighbour "$on"; then echo "$gateway $on"; fi
done"""


def answering(planned: Planned) -> tuple[str, ...]:
    """The gateways that answer now: what does not answer before a change proves nothing after it."""
    gateways = planned.riding.gateways
    answers = planned.host.run_all(tuple(ping(each) for each in gateways)) if gateways else ()
    return tuple(each for each, answer in zip(gateways, answers, strict=True) if answer.ok)


def near(planned: Planned, silent: Sequence[str]) -> Mapping[str, str]:
    """Of gateways that answer no ping those that answer ARP, or a neighbour solicitation, each as ADDRESS%DEVICE."""
    if not silent:
        return {}
    told = planned.host.run(Command(("sh", "-c", _NEAR, "sh", *silent), deadline_s=60.0)).require().stdout
    return {line.split()[0]: line.split()[1] for line in told.splitlines()}


def looks(planned: Planned, gateways: Sequence[str], near: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
    """What the host itself watches until the change is confirmed: links, LACP, gateways, quorum; each is well now."""
    host, facts = planned.host, planned.baseline[planned.host.name].facts
    devices = [device.device for device in planned.lab.path]
    legs = [leg for bond in _bonds(planned) for leg in sorted(_legs(planned, bond))]
    *partners, quorum = host.run_all((*(Command(("cat", _PARTNER.format(each))) for each in legs), QUORUM))
    found = [f"carrier:{each}" for each in devices if facts.get(f"link/{each}/operstate") == "UP"]
    found += [f"lacp:{each}" for each, told in zip(legs, partners, strict=True) if _paired(told)]
    found += [f"ping:{each}" for each in gateways]
    found += [f"neigh:{each}" for each in near.values()]
    found += [f"listen:{port}" for port in (planned.riding.ssh_port,) if port]
    return (*found, *(("quorum",) if QUORATE.search(quorum.stdout) else ()))


def least_s(planned: Planned, watched: Sequence[str], confirm_s: int) -> float:
    """Seconds that the host must have been well after the writes: what breaks slowly has that long to show.

    Raises NotAble where the confirmation may not wait for what must be waited for.
    """
    if not planned.disturbs:
        return 0.0
    changed = {device_of(row.change.key) for row in planned.rows}
    partners = {look.removeprefix("lacp:") for look in watched if look.startswith("lacp:")}
    touched = [
        bond for bond in _bonds(planned) if (legs := _legs(planned, bond)) & partners and changed & {bond, *legs}
    ]
    rates = planned.host.run_all(tuple(Command(("cat", _RATE.format(each))) for each in touched)) if touched else ()
    if not any(rate.stdout.startswith("slow") for rate in rates):
        return min(WATCHED_S, confirm_s / 2)
    if confirm_s < SLOW_S + _SPARE_S:
        raise NotAble(
            f"on {planned.host.name}: nothing was changed: {', '.join(touched)} has LACP at its slow rate, by which a "
            "partner that is heard no more is given up after 90 s, and that is waited for",
            hint=f"--confirm-within {SLOW_S + _SPARE_S:.0f}",
        )
    return SLOW_S


def from_here(planned: Planned, watched: Sequence[str], least_s: float = 0.0) -> tuple[str, ...]:
    """What is not as well as before, asked over the connection that we have; waits for links that settle.

    All must be well at the end of `least_s`: what breaks slowly (a bond's partner, corosync) has that long to show.
    """
    began = time.monotonic()
    while True:
        problems, passed_s = _once(planned, watched), time.monotonic() - began
        if passed_s >= (max(least_s, SETTLE_S) if problems else least_s):
            return problems
        time.sleep(_EVERY_S)


def settled(left: Callable[[], Sequence[T]], within_s: float = SETTLE_S) -> Sequence[T]:
    """What is left once links have settled: asked again and again while there is any, for so long."""
    until = time.monotonic() + within_s
    while (found := left()) and time.monotonic() < until:
        time.sleep(_EVERY_S)
    return found


def legs_of(planned: Planned) -> tuple[str, ...]:
    """The legs of bonds that the change may reset."""
    stack, devices = planned.riding.stack, [device.device for device in planned.lab.path]
    near = {each for device in devices for each in (device, *stack.above(device), *stack.below(device))}
    return tuple(leg for bond, names in legs.of(stack).items() if bond in near for leg in names)


def legs_now(planned: Planned, before: Mapping[str, Leg]) -> tuple[str, ...]:
    """What of a bond's legs cannot be used as before the change."""
    return legs.lacking(before, legs.asked(planned.host, tuple(before)))


def by_a_new_connection(again: Callable[[], AbstractContextManager[Host]]) -> tuple[str, ...]:
    """What keeps a new connection from carrying full packets both ways: what stands already may outlive its path."""
    payload = hashlib.sha256(b"nettune").hexdigest() * (_PAYLOAD_BYTES // 64)
    try:
        with again() as host:
            echoed = host.run(Command(("cat",), stdin=payload, deadline_s=15.0))
    except HostFault as error:
        return (f"a new connection fails: {error}",)
    return () if echoed.stdout == payload else ("a new connection does not carry full packets both ways",)


def errors(planned: Planned) -> Mapping[str, int]:
    """Counters of each device that tell of frames that were damaged or refused; and how many came in."""
    names = [device.device for device in planned.lab.path]
    lines = planned.host.run(Command(("sh", "-c", _ERRORS, "sh", *names))).require().stdout.splitlines()
    return {name: int(count) for name, count in (line.split() for line in lines)}


def damaged(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[str, ...]:
    """Devices whose errors have grown by more than a reset makes: 10, and one in a hundred of what came in."""
    grown = {key: after.get(key, was) - was for key, was in before.items()}
    found = []
    for key, more in grown.items():
        device, _, name = key.partition("/")
        if name != "rx_packets" and more >= max(10, grown.get(f"{device}/rx_packets", 0) // 100):
            found.append(f"{key} grew by {more} since the change")
    return tuple(found)


def speeds(planned: Planned) -> Mapping[str, int]:
    """Mbit/s of each device that tells one: a link that has come up again may have agreed on less."""
    names = [device.device for device in planned.lab.path]
    lines = planned.host.run(Command(("sh", "-c", _SPEEDS, "sh", *names))).require().stdout.splitlines()
    return {name: int(mbit) for name, mbit in (line.split() for line in lines)}


def slower(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[str, ...]:
    """Devices whose link is slower than before; -1 is a link that tells none."""
    return tuple(
        f"{name} came up with {after[name]} Mbit/s and had {was}"
        for name, was in before.items()
        if 0 < after.get(name, -1) < was
    )


def ports(before: Stack, now: Stack) -> tuple[str, ...]:
    """Ports, those of guests too, that have another master. A guest that has ended meanwhile took its own along."""
    return tuple(
        f"{name} was a port of {was.master} and is {f'one of {is_now.master}' if is_now.master else 'none'}"
        for name, was in before.links.items()
        if was.master and (is_now := now.links.get(name)) is not None and is_now.master != was.master
    )


def _once(planned: Planned, watched: Sequence[str]) -> tuple[str, ...]:
    host = planned.host
    asked = {look: question for look in watched if (question := _question(look)) is not None}
    answers = host.run_all(tuple(asked.values())) if asked else ()
    ill = [_ILL[look.partition(":")[0]].format(look.partition(":")[2])
           for look, answer in zip(asked, answers, strict=True) if not _well(look, answer)]  # fmt: skip
    return (*links(planned.baseline, planned.lab.read(), host.name), *ill)


_ILL = {"lacp": "{} has no LACP partner", "ping": "the gateway {} no longer answers",
        "neigh": "the gateway {} no longer answers", "quorum": "corosync has no quorum"}  # fmt: skip


def _question(look: str) -> Command | None:
    """How we ask for what the host watches itself; links are told by its state."""
    what, _, name = look.partition(":")
    match what:
        case "lacp":
            return Command(("cat", _PARTNER.format(name)))
        case "ping":
            return ping(name)
        case "neigh":
            return Command(("sh", "-c", f'{restoring.NEIGHBOUR}\nneighbour "$1"', "sh", name))
        case "quorum":
            return QUORUM
    return None


def _well(look: str, answer: Outcome) -> bool:
    if look.startswith("lacp:"):
        return _paired(answer)
    return bool(QUORATE.search(answer.stdout)) if look == "quorum" else answer.ok


def _paired(answer: Outcome) -> bool:
    told = answer.stdout.strip()  # "N/A" of a leg of another mode
    return told.isdecimal() and int(told) & _PAIRED == _PAIRED


def _bonds(planned: Planned) -> tuple[str, ...]:
    facts = planned.baseline[planned.host.name].facts
    return tuple(match[1] for key, kind in facts.items() if kind == "bond" and (match := _KIND.fullmatch(key)))


def _legs(planned: Planned, bond: str) -> frozenset[str]:
    return frozenset(name for name, link in planned.riding.stack.links.items() if link.master == bond)


def links(before: Sheets, now: Sheets, host: str) -> tuple[str, ...]:
    """Links that were up and are not, and ports that have another master."""
    found = []
    for key, was in before[host].facts.items():
        is_now = now[host].facts.get(key)
        if re.fullmatch(r"link/[^/]+/operstate", key) and was == "UP" and is_now != was:
            found.append(f"{key.split('/')[1]} was up and is {(is_now or 'gone').lower()}")
        elif re.fullmatch(r"link/[^/]+/master", key) and is_now != was:
            found.append(f"{key.split('/')[1]} was a port of {was} and is {f'one of {is_now}' if is_now else 'none'}")
    return tuple(found)
