"""The exchanges between the ends, and what each one amounts to. Pure.

Of each kind one goes out of end a, one comes in. Sizes are those that have caught drivers before: writes of odd length,
MSS that are no multiple of anything, a last segment of one byte (knowledge of tools/testing/selftests/drivers/net/hw).
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tuning.offload.features import VLANS
from tuning.offload.remote import CRAWLS_BYTES

Flow = Literal["out", "in"]
Word = Literal["ok", "corrupts", "hangs", "drops", "can't be judged here"]
_FLOWS: Sequence[Flow] = ("out", "in")
FAULTS: Sequence[Word] = ("corrupts", "hangs", "drops")  # the worst first

BULK_BYTES = 16 << 20
_THROUGH_BYTES = 4 << 20
_SMALL_BYTES = 200_001  # ends with a segment of its own
_ODD_WRITES = (1, 3, 1447, 536, 1219, 7, 4097, 65535)
_MSS = (536, 1219)
_WATCHED = 1500  # packets of a bulk transfer whose shape is looked at; it begins with the first
# Of what came, sent again: a device that leaves its larger packets wrong had 20 to 28 % (QEMU's e1000e, the checksum
# within GRE; n = 14), a healthy path with a full backlog up to 5 % (below).
_LOSSY = 0.1
_LOST_PCT = 2.0  # of datagrams on a healthy path of this short a burst; more is told
START_S = 20.0  # for python3 at both ends: an emulated CPU takes 1 to 3 s
SAYS_S = 2.0  # after the driver has ended, for the other end's last word
ILL_OVERS = 2  # that payload goes wrong through, and that are tried under each toggle: a guard waits for them
FLOWS = 64  # of 8 queues one is left out once in six hundred times; of more than 8 `fewest` are enough
_RARE = 0.002
SEGMENT = 1200  # of UDPSEGMENT; fits into IPv6's least MTU


@dataclass(frozen=True, slots=True)
class Case:
    """One exchange. `flow` is as end a sees it; `kind` one of remote's."""

    name: str
    kind: Literal["tcp", "udp", "gso", "tagged", "forged", "spread"]
    flow: Flow
    family: int = 4
    bytes: int = 0
    writes: tuple[int, ...] = (131072,)
    mss: int = 0
    watch: int = 0  # packets whose shape is counted
    over: str = ""  # what it goes through, one of `over.OVERS`
    options: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Flow, str]:
        """Which one of an exchange it is: the flow, the name."""
        return self.flow, self.name

    @property
    def sort(self) -> tuple[Flow, str, int]:
        """What one offload has to do with: the flow, the kind with what it goes through, the family."""
        return self.flow, f"{self.over} {self.kind}".strip(), self.family


@dataclass(frozen=True, slots=True)
class Result:
    """What both ends said of a case; {} of an end that said nothing."""

    case: Case
    sender: Mapping[str, Any]  # Any: JSON
    taker: Mapping[str, Any]


def of(bulk_bytes: int, *, families: Sequence[int], raw: bool) -> tuple[Case, ...]:
    """All cases, in order; `raw` where both ends share a link, so that frames made by hand arrive."""
    found: list[Case] = []
    for flow in _FLOWS:
        for ip in families:
            found.append(Case(f"tcp{ip}", "tcp", flow, ip, bulk_bytes, watch=_WATCHED))
            found.append(Case(f"tcp{ip} odd writes", "tcp", flow, ip, _SMALL_BYTES, writes=_ODD_WRITES))
        found += [Case(f"tcp4 MSS {mss}", "tcp", flow, 4, _SMALL_BYTES, mss=mss) for mss in _MSS]
        for ip in families:
            found.append(Case(f"udp{ip}", "udp", flow, ip, options={"rounds": 12}))
            merged = {"merged": 1} if ip == families[0] else {}  # of the other family they are taken one by one
            cut = {"rounds": 6, "segment": SEGMENT, **merged}
            found.append(Case(f"gso{ip}", "gso", flow, ip, watch=60, options=cut))
        found.append(spread(flow))
        if raw:  # tagged frames are of no family: the one of their connection is
            found += [Case("tagged", "tagged", flow, families[0]), Case("wrong checksums", "forged", flow)]
    return tuple(case for case in found if case.family in families)


def spread(flow: Flow) -> Case:
    """Many connections at once, which the queues share."""
    return Case("spread", "spread", flow, options={"flows": FLOWS})


def through(over: str, bulk_bytes: int, families: Sequence[int]) -> tuple[Case, ...]:
    """The cases through a VLAN device or a tunnel, of `families` within."""
    found: list[Case] = []
    size = min(bulk_bytes, _THROUGH_BYTES)
    for flow in _FLOWS:
        for ip in families:
            found.append(Case(f"{over} tcp{ip}", "tcp", flow, ip, size, watch=_WATCHED, over=over))
            found.append(Case(f"{over} udp{ip}", "udp", flow, ip, over=over, options={"rounds": 12}))
    return tuple(found)


def skipped(cases: Sequence[Case], why: str) -> tuple[Result, ...]:
    """The results of cases that could not be, with the reason."""
    return tuple(Result(case, {"skipped": why}, {}) for case in cases)


def order(
    cases: Sequence[Case],
    addresses: Mapping[int, tuple[str, str]],
    macs: tuple[str, str],
    devices: tuple[str, str],
    mtu: int,
    seed: int,
) -> dict[str, Any]:  # Any: JSON
    """What both ends are told; pairs are (of the client, of the server), `addresses` by family."""
    ports = random.Random(seed).sample(range(20000, 32000), len(cases))  # noqa: S311 - ports, no secret
    listed = [
        {
            "name": f"{case.flow} {case.name}", "kind": case.kind, "flow": case.flow, "port": port, "mss": case.mss,
            "client": addresses[case.family][0], "server": addresses[case.family][1], "client_mac": macs[0],
            "server_mac": macs[1], "bytes": case.bytes, "writes": list(case.writes), "watch": case.watch, "mtu": mtu,
            "over": case.over, "limit_s": limit_s(case), "patience_s": patience_s(case), **case.options,
        }
        for case, port in zip(cases, ports, strict=True)
    ]  # fmt: skip
    return {
        "seed": seed, "cases": listed, "devices": {"client": devices[0], "server": devices[1]},
        "limit_s": sum(map(limit_s, cases)) + START_S, "start_s": START_S,
    }  # fmt: skip


def limit_s(case: Case) -> float:
    """After which a case is taken for one that does not end: at 90 Mbit/s it would have, on an idle machine."""
    return 2.5 + case.bytes * 8 / 90e6


def patience_s(case: Case) -> float:
    """Without a byte for so long TCP has sent again three times in vain (after 0.2, 0.6 and 1.4 s): it hangs."""
    return max(2.0, limit_s(case) / 2)


def longest_s(bulk_bytes: int) -> float:
    """What all exchanges of a toggle take at most, once; a guard is renewed before what is exchanged twice."""
    most = ILL_OVERS + len(VLANS)  # of the ground without LRO
    tunnels = most * deadline_s(through("vlan", bulk_bytes, (4, 6)))
    return tunnels + deadline_s(of(bulk_bytes, families=(4, 6), raw=True))


def deadline_s(cases: Sequence[Case]) -> float:
    """What one exchange takes at most: both programs start, each case ends in its time, the other end's last word."""
    return 3 * START_S + sum(map(limit_s, cases)) + SAYS_S


def results(
    cases: Sequence[Case], driven: Sequence[Mapping[str, Any]], served: Sequence[Mapping[str, Any]]
) -> tuple[Result, ...]:
    """What the ends said, case by case."""
    by_name = [{str(each.get("case")): each for each in told} for told in (driven, served)]
    found = []
    for case in cases:
        client, server = (told.get(f"{case.flow} {case.name}", {}) for told in by_name)
        found.append(Result(case, *((client, server) if case.flow == "out" else (server, client))))
    return tuple(found)


def judged(result: Result) -> tuple[Word, str]:
    """What a case amounts to, and the evidence in words."""
    sender, taker, kind = result.sender, result.taker, result.case.kind
    if why := sender.get("skipped") or taker.get("skipped"):
        return "can't be judged here", str(why)
    if why := sender.get("refused"):
        return "can't be judged here", f"the sender's kernel refused: {why}"
    if "got" not in taker or "sent" not in sender:
        why = sender.get("error") or taker.get("error") or "an end said nothing"
        return "hangs", f"no exchange came about: {why}"
    by: Mapping[str, Callable[[Result], tuple[Word, str]]] = {
        "tcp": _tcp, "forged": _forged, "spread": _spread, "tagged": _tagged
    }  # fmt: skip
    return by.get(kind, _datagrams)(result)


def all_lost(result: Result) -> bool:
    """Whether of tagged frames none came: by itself that says nothing of the NIC."""
    told = result.case.kind == "tagged" and "lost" in result.taker
    return told and bool(result.taker["lost"] == result.sender.get("sent"))


def sound(result: Result) -> bool:
    """Whether a case went well and to its end: what is cut short proves nothing, however well it went until then."""
    return judged(result)[0] == "ok" and (result.case.kind != "tcp" or bool(result.taker["whole"]))


def _tcp(result: Result) -> tuple[Word, str]:
    sender, taker, size = result.sender, result.taker, result.case.bytes
    again = f", {sender['retransmits']} segments sent again" if sender["retransmits"] else ""
    if taker["wrong"]:
        return "corrupts", f"payload is not as sent from byte {taker['first_wrong']} on ({taker['wrong']} blocks)"
    came = f"{taker['got']} of {size} bytes came in {limit_s(result.case):.1f} s{again}"
    if not taker["whole"] and taker["idle_s"] > limit_s(result.case) / 2:
        return "hangs", f"{came}, none in the last {taker['idle_s']:.1f} s"
    lossy = sender["retransmits"] * 1448 > taker["got"] * _LOSSY
    if not taker["whole"] and (taker["got"] < CRAWLS_BYTES or lossy):
        return "drops", came
    if taker["bad_checksums"]:
        return "drops", f"{taker['bad_checksums']} packets dropped for a wrong checksum{again}; the payload is whole"
    # What is sent again is told, and proves nothing: a full backlog or queue loses segments of a healthy path too
    # (veth without TSO: 600 of 11586 segments, from net.core.netdev_max_backlog).
    if not taker["whole"]:
        return "ok", f"{came}, as sent: the path, or a machine, is slow"
    return "ok", f"{size} bytes as sent, {size * 8 / max(taker['took_s'], 1e-6) / 1e9:.3g} Gbit/s{again}"


def _datagrams(result: Result) -> tuple[Word, str]:
    taker, sent = result.taker, result.sender["sent"]
    found: Sequence[tuple[bool, Word, str]] = (
        (taker.get("untagged", 0) > 0, "corrupts", f"{taker.get('untagged')} of {sent} came without their tag"),
        (taker["wrong"] > 0, "corrupts", f"{taker['wrong']} of {sent} came with other content than was sent"),
        (taker.get("missized", 0) > 0, "corrupts", f"{taker.get('missized')} of {sent} came in another size"),
        (taker.get("twice", 0) > 0, "corrupts", f"{taker.get('twice')} of {sent} came twice"),
        (taker["bad_checksums"] > 0, "drops", f"{taker['bad_checksums']} of {sent} dropped for a wrong checksum"),
        (taker["lost"] * 100 > sent * _LOST_PCT, "drops", f"{taker['lost']} of {sent} did not come"),
    )
    return next(((word, said) for so, word, said in found if so), ("ok", f"{taker['got']} of {sent} as sent"))


def _tagged(result: Result) -> tuple[Word, str]:
    if not all_lost(result):
        return _datagrams(result)
    if arm := result.taker.get("passes"):
        return "drops", f"no tagged frame came, and with {arm} they do"
    return "can't be judged here", "no tagged frame came: a switch between does not know these VLANs, or a filter"


def _forged(result: Result) -> tuple[Word, str]:
    taker = result.taker
    if taker["passed"]:
        return "corrupts", f"{taker['passed']} datagrams with a wrong checksum were taken for right"
    if taker["wrong"]:
        return "corrupts", f"{taker['wrong']} datagrams with a right checksum came with other content"
    if taker["lost"] > 1:
        return "drops", f"{taker['lost']} datagrams with a right checksum did not come"
    return "ok", f"{taker['got']} with a right checksum came, those with a wrong one were dropped and counted"


def _spread(result: Result) -> tuple[Word, str]:
    sender, taker, flows = result.sender, result.taker, result.sender["sent"]
    if taker["wrong"]:
        return "corrupts", f"{taker['wrong']} of {flows} connections brought other content than was sent"
    lost = set(range(flows)) - set(taker["numbers"])
    if not lost:
        return "ok", f"{flows} connections as sent"
    out_of = dict(sender["queues"])
    still = {out_of[each] for each in lost if each in out_of} - {out_of.get(each) for each in taker["numbers"]}
    by = sorted({queue for _, queue in taker["queues"]})
    said = f"{len(lost)} of {flows} connections did not come about"
    if still:
        return "hangs", f"{said}: all that left by queue {', '.join(map(str, sorted(still)))}, which stands still"
    return "drops", f"{said}; the others came in by queue {', '.join(map(str, by)) or 'unknown'}"


def fewest(queues: int, flows: int) -> int:
    """The least number of queues that so many connections fall on by chance, but for one time in five hundred.

    Each falls on any of them alike: of the number that have some, connection by connection.
    """
    chance = [1.0]  # by how many queues have some
    for _ in range(flows):
        more = [*(each * (queues - count) / queues for count, each in enumerate(chance))]
        stays = [*(each * count / queues for count, each in enumerate(chance)), 0.0]
        chance = [stays[count] + (more[count - 1] if count else 0.0) for count in range(len(stays))]
    below = 0.0
    for count, each in enumerate(chance):
        below += each
        if below >= _RARE:
            return count
    return queues


def shared(told: Sequence[Sequence[int]]) -> dict[int, int]:
    """How many connections each queue had, of [number, queue] rows."""
    found: dict[int, int] = {}
    for _, queue in told:
        found[queue] = found.get(queue, 0) + 1
    return dict(sorted(found.items()))
