"""Level 6: load both ways for a time, and what went wrong meanwhile: stalls, flaps, errors, the kernel's words."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.hosts.command import Command
from bench.hosts.host import Host
from tuning.offload import cases, exchange, inventory
from tuning.offload.cases import Case, Flow, Result
from tuning.offload.evidence import Soaked
from tuning.offload.exchange import End

if TYPE_CHECKING:
    from tuning.offload.validating import Wanted

_STALL_S = 1.0  # without a byte; TCP's second retransmission comes after 0.6 s
TOLD = "Soaked for "
_TOLD = 5
# Words of drivers and of the stack that has lost patience with one (watchdog in net/sched/sch_generic.c,
# skb_warn_bad_offload and netdev_rx_csum_fault in net/core/dev.c, e1000e's and igc's hang detectors).
_LOG = re.compile(
    r"Hardware Unit Hang|Tx Unit Hang|NETDEV WATCHDOG|transmit queue \d+ timed out|hw csum failure|Reset adapter"
    r"|bad gso|skb_warn_bad_offload|caps=\(0x|AER:|link is (?:not ready|down)",
    re.IGNORECASE,
)
_ERRORS = re.compile(r"err|drop|miss|timeout|reset|fifo|crc|discard", re.IGNORECASE)
# The kernel counts there what it has nobody for, too: LLDP and spanning tree of any switch (__netif_receive_skb_core in
# net/core/dev.c; some drivers' `ethtool -S` repeats it). What found no room in a ring is rx_missed_errors or a driver's
# own counter, and payload that is lost is seen by its exchange.
_OF_NOBODY = ("rx_dropped", "rx_nohandler")


def soaked(ends: tuple[End, End], mtu: int, wanted: "Wanted", say: Callable[[str], None]) -> Soaked:
    """Round after round of payload each way until the time is over, or one did not pass."""
    ip = 4 if all(4 in end.addresses for end in ends) else 6
    listed = _listed(ip, wanted.bulk_bytes)
    before = {end.host.name: _told(end) for end in ends}
    logs = {end.host.name: _log(end.host) for end in ends}
    began, last, bytes_ok, faults = time.monotonic(), 0.0, 0, list[str]()
    turn = 0
    while time.monotonic() < began + wanted.soak_s and not faults:
        try:
            results = exchange.run(*ends, listed, mtu, wanted.seed + turn)
        except exchange.NoExchange as error:  # an address may have gone with its link
            faults = [f"after {time.monotonic() - began:.0f} s: {error}"]
            break
        turn += 1
        faults = _faults(results, time.monotonic() - began)
        bytes_ok += sum(each.taker.get("got", 0) for each in results if each.case.kind == "tcp")
        if time.monotonic() > last + 10:
            last = time.monotonic()
            say(f"soak: {last - began:.0f} of {wanted.soak_s:g} s")
    seconds, unread = time.monotonic() - began, list[str]()
    for end in ends:
        name, (was, _), (log, why) = end.host.name, logs[end.host.name], _log(end.host)
        faults += [*grown(name, before[name], _told(end)), *(f"{name}: {each}" for each in fresh(was, log))]
        unread += [f"{name}: {why}"] if why else []
    return Soaked(seconds, bytes_ok, tuple(faults), tuple(unread))


def _listed(ip: int, bulk_bytes: int) -> list[Case]:
    """What a round is of, in a family; the many connections at once are of IPv4 alone."""
    flows: tuple[Flow, Flow] = ("out", "in")
    many = [cases.spread(flow) for flow in flows] if ip == 4 else []
    bulk = [Case(f"tcp{ip}", "tcp", flow, ip, bulk_bytes * 4) for flow in flows]
    cut = {"rounds": 20, "segment": cases.SEGMENT}
    return [*many, *bulk, *(Case(f"gso{ip}", "gso", flow, ip, options=cut) for flow in flows)]


def _faults(results: Sequence[Result], at_s: float) -> list[str]:
    found = []
    for each in results:
        word, said = cases.judged(each)
        if word in cases.FAULTS:
            found.append(f"after {at_s:.0f} s: {each.case.name} {each.case.flow}: {word}: {said}")
        elif each.taker.get("gap_s", 0.0) > _STALL_S:
            found.append(
                f"after {at_s:.0f} s: {each.case.name} {each.case.flow}: nothing came for {each.taker['gap_s']} s"
            )
    return found


def _told(end: End) -> Mapping[str, str]:
    """Counters of errors, and changes of carrier."""
    counters = end.host.run(Command(("ethtool", "-S", end.device))).stdout
    sums = end.host.run(Command(("sh", "-c", 'grep -s . "/sys/class/net/$1/statistics/"*', "sh", end.device))).stdout
    _, flaps = inventory.carrier(end.host, end.device)
    return parse(counters, sums) | {"changes of carrier": str(flaps)}


def _log(host: Host) -> tuple[str, str]:
    """The kernel's log, and why it cannot be read ("": it can): kernel.dmesg_restrict asks for the machine's root."""
    told = host.run(Command(("dmesg",)))
    return told.stdout, "" if told.ok else told.stderr.strip()[:200] or f"dmesg exited with {told.returncode}"


def parse(counters: str, sums: str) -> dict[str, str]:
    """The counters of `ethtool -S` and of sysfs whose name speaks of errors."""
    found = {}
    for line in counters.splitlines():
        name, _, value = line.strip().rpartition(":")
        if value.strip().isdecimal() and _ERRORS.search(name) and name.strip() not in _OF_NOBODY:
            found[name.strip()] = value.strip()
    for line in sums.splitlines():
        path, _, value = line.partition(":")
        name = path.rpartition("/")[2]
        if value.strip().isdecimal() and _ERRORS.search(name) and name not in _OF_NOBODY:
            found[name] = value.strip()
    return found


def fresh(before: str, after: str) -> list[str]:
    """The lines that have come into the kernel's log and speak of a driver in trouble, the first few.

    By line, not by count: in a log that is full each new line takes an old one's place.
    """
    came = Counter(after.splitlines()) - Counter(before.splitlines())
    found = [f"kernel log: {line.strip()[:160]}" for line in came if _LOG.search(line)]
    return found[:_TOLD] + ([f"kernel log: {len(found) - _TOLD} more such lines"] if len(found) > _TOLD else [])


def grown(host: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What has grown, in words."""
    rows = [(name, int(before.get(name, "0")), int(value)) for name, value in after.items()]
    found = [f"{host}: {name} grew from {old} to {new}" for name, old, new in rows if new > old]
    return found[:_TOLD] + ([f"{host}: {len(found) - _TOLD} more counters grew"] if len(found) > _TOLD else [])


def notes(soaked: Soaked | None) -> tuple[str, ...]:
    """What was soaked, where it was."""
    if soaked is None:
        return ()
    said = f"{TOLD}{soaked.seconds:.0f} s, {soaked.bytes / 1e9:.3g} GB of payload compared."
    return (said, *(f"The kernel's log was not looked at: {each}" for each in soaked.unread))
