"""Level 6: load both ways for a time, and what went wrong meanwhile: stalls, flaps, errors, the kernel's words."""

import re
import time
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
_TOLD = 5
# Words of drivers and of the stack that has lost patience with one (watchdog in net/sched/sch_generic.c,
# skb_warn_bad_offload and netdev_rx_csum_fault in net/core/dev.c, e1000e's and igc's hang detectors).
_LOG = re.compile(
    r"Hardware Unit Hang|Tx Unit Hang|NETDEV WATCHDOG|transmit queue \d+ timed out|hw csum failure|Reset adapter"
    r"|bad gso|skb_warn_bad_offload|caps=\(0x|AER:|link is (?:not ready|down)",
    re.IGNORECASE,
)
_ERRORS = re.compile(r"err|drop|miss|timeout|reset|fifo|crc|discard", re.IGNORECASE)


def soaked(ends: tuple[End, End], mtu: int, wanted: "Wanted", say: Callable[[str], None]) -> Soaked:
    """Round after round of payload each way until the time is over, or one did not pass."""
    flows: tuple[Flow, Flow] = ("out", "in")
    listed = [Case("tcp4", "tcp", flow, 4, wanted.bulk_bytes * 4) for flow in flows]
    listed = [*(cases.spread(flow) for flow in flows), *listed]
    listed += [Case("gso4", "gso", flow, 4, options={"rounds": 20, "segment": cases.SEGMENT}) for flow in flows]
    before = {end.host.name: _told(end) for end in ends}
    began, last, bytes_ok, faults = time.monotonic(), 0.0, 0, list[str]()
    turn = 0
    while time.monotonic() < began + wanted.soak_s and not faults:
        results = exchange.run(*ends, listed, mtu, wanted.seed + turn)
        turn += 1
        faults = _faults(results, time.monotonic() - began)
        bytes_ok += sum(each.taker.get("got", 0) for each in results if each.case.kind == "tcp")
        if time.monotonic() > last + 10:
            last = time.monotonic()
            say(f"soak: {last - began:.0f} of {wanted.soak_s:g} s")
    for end in ends:
        faults += grown(end.host.name, before[end.host.name], _told(end))
    return Soaked(time.monotonic() - began, bytes_ok, tuple(faults))


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
    """Counters of errors, changes of carrier, and how many lines of each kind the kernel has logged."""
    counters = end.host.run(Command(("ethtool", "-S", end.device))).stdout
    sums = end.host.run(Command(("sh", "-c", 'grep -s . "/sys/class/net/$1/statistics/"*', "sh", end.device))).stdout
    _, flaps = inventory.carrier(end.host, end.device)
    return parse(counters, sums) | {"changes of carrier": str(flaps)} | log_lines(_log(end.host))


def _log(host: Host) -> str:
    return host.run(Command(("dmesg",))).stdout


def parse(counters: str, sums: str) -> dict[str, str]:
    """The counters of `ethtool -S` and of sysfs whose name speaks of errors."""
    found = {}
    for line in counters.splitlines():
        name, _, value = line.strip().rpartition(":")
        if value.strip().isdecimal() and _ERRORS.search(name):
            found[name.strip()] = value.strip()
    for line in sums.splitlines():
        path, _, value = line.partition(":")
        name = path.rpartition("/")[2]
        if value.strip().isdecimal() and _ERRORS.search(name):
            found[name] = value.strip()
    return found


def log_lines(text: str) -> dict[str, str]:
    """How often the kernel's log has each of the words that speak of a driver in trouble."""
    found: dict[str, int] = {}
    for match in _LOG.finditer(text):
        word = f"kernel log: {match[0]}"
        found[word] = found.get(word, 0) + 1
    return {word: str(count) for word, count in found.items()}


def grown(host: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What has grown, in words."""
    rows = [(name, int(before.get(name, "0")), int(value)) for name, value in after.items()]
    found = [f"{host}: {name} grew from {old} to {new}" for name, old, new in rows if new > old]
    return found[:_TOLD] + ([f"{host}: {len(found) - _TOLD} more counters grew"] if len(found) > _TOLD else [])


def notes(soaked: Soaked | None) -> tuple[str, ...]:
    """What was soaked, where it was."""
    return (f"Soaked for {soaked.seconds:.0f} s, {soaked.bytes / 1e9:.3g} GB of payload compared.",) if soaked else ()
