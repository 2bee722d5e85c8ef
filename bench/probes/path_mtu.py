"""The `path-mtu` probe: whether packets as large as the sender's MTU pass, which hop is too small, and if it says so.

A check. Where a node routes it must say "fragmentation needed" (RFC 1191, RFC 8201); where a bridge or a device is too
small nobody can, and larger packets vanish: connections open and then hang. Both ends send, in every family.

What the ends' kernels have learned of the path's MTU is forgotten before and after (`ip route flush cache` empties the
learned part of their own tables alone): it would answer in place of the path, and outlive the arm for ten minutes.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bench.document import Node
from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.lab import Endpoint, Lab
from bench.options import Options
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke
from bench.probes.sweep import LEAST_BYTES, TAG_BYTES, Swept, largest, ping, reply
from results.checks import reason
from results.records import Sample

_HOPS = 8  # more is a loop
_SAID = 3  # who said "too big", named in a reason


@dataclass(frozen=True, slots=True)
class Way:
    """One direction in one family: from whose device, to which address, and what its sender's MTU is."""

    client: Endpoint
    server: Endpoint
    family: int
    address: str
    mtu_bytes: int

    @property
    def name(self) -> str:
        """`IPv4 a>b`."""
        return f"IPv{self.family} {self.client.host.name}>{self.server.host.name}"


@dataclass(frozen=True, slots=True)
class PathMtu:
    """A sweep from either end, in each family."""

    name: str
    ends: tuple[str, str] = ("a", "b")

    load_ends = None
    calibrates: tuple[str, ...] = ()
    traffic_s = 0.5  # four ways whose first echo passes
    tool_s = 0.5

    @property
    def tools(self) -> tuple[Command, ...]:
        """See Probe.tools."""
        return (Command(("ping", "-V")),)

    @property
    def metrics(self) -> tuple[str, ...]:
        """See Probe.metrics."""
        return (f"{self.name}.path_mtu",)

    @property
    def definitions(self) -> Mapping[str, str]:
        """See Probe.definitions."""
        return {"held": "1 where packets of the sender's own MTU passed both ways in each family, else 0"}

    def commands(self, pair: Pair) -> tuple[tuple[str, Command], ...]:
        """See Probe.commands: the first of each way, in the family that probes use."""
        family = 6 if ":" in pair.destination else 4
        return ((pair.client.host.name, ping(pair.destination, 1500, family)),)

    def measure(self, pair: Pair) -> Measured:
        """See Probe.measure. Raises ProbeFailed where not even the smallest packet passes."""
        if pair.lab is None:
            raise ToolBroke(f"{self.name}: its lab is not known")
        lab, sheets = pair.lab, pair.lab.read()
        found: list[tuple[Way, Swept, tuple[tuple[str, Swept], ...]]] = []
        for way in ways(pair, sheets):
            devices = lab.between(way.client, way.server)
            hints = {int(sheets[each.host.name].facts[f"link/{each.device}/mtu"]) for each in devices}
            swept = _swept(way, way.address, hints)
            if not swept.size_bytes:
                raise ProbeFailed(f"{way.name}: no packet of {LEAST_BYTES[way.family]} to {way.mtu_bytes} bytes passes")
            small = swept.size_bytes < way.mtu_bytes
            hops = tuple((hop, _swept(way, hop, hints)) for hop in _hops(lab, way, sheets)) if small else ()
            found.append((way, swept, hops))
        return self.measured(found, lab, sheets)

    def measured(
        self, found: list[tuple[Way, Swept, tuple[tuple[str, Swept], ...]]], lab: Lab, sheets: Sheets
    ) -> Measured:
        """What the sweeps amount to; pure."""
        samples = [self._sample("path_mtu", min(swept.size_bytes for _, swept, _ in found), "bytes", "-")]
        for direction in dict.fromkeys(way.name.partition(" ")[2] for way, _, _ in found):
            sizes = [swept.size_bytes for way, swept, _ in found if way.name.endswith(direction)]
            samples.append(self._sample("path_mtu", min(sizes), "bytes", direction))
        reasons = [
            said
            for way, swept, hops in found
            if swept.size_bytes < way.mtu_bytes
            for said in (too_small(way, swept, hops, lab, sheets),)
        ]
        samples.append(self._sample("held", 0.0 if reasons else 1.0, "1", "-"))
        told = [
            {"way": way.name, "mtu": way.mtu_bytes, "passes": swept.size_bytes, "silent": swept.silent,
             "told": [[each.by, each.mtu_bytes] for each in swept.told],
             "hops": [[hop, each.size_bytes] for hop, each in hops]}
            for way, swept, hops in found
        ]  # fmt: skip
        flags = tuple(reason(self.name, said) for said in reasons)
        return Measured(tuple(samples), {"sweeps": json.dumps(told)}, flags=flags)

    def _sample(self, metric: str, value: float, unit: str, direction: str) -> Sample:
        return Sample(self.name, metric, float(value), unit, self.ends[0], direction, self.traffic_s)


def ways(pair: Pair, sheets: Sheets) -> tuple[Way, ...]:
    """Both ends as senders, in each family in which the other has an address of global scope; pure.

    Behind NAT nobody is met who is inside: that way is left out.
    """
    lab = pair.lab
    kind = lab.topology.kind if lab is not None else ""
    there = [(pair.client, pair.server)] + ([(pair.server, pair.client)] if kind != "nat" else [])
    found = []
    for client, server in there:
        mtu = int(sheets[client.host.name].facts[f"link/{client.device}/mtu"])
        for family in (4, 6):
            own = [
                name for name, family_of in addresses(sheets, server.host.name, server.device) if family_of == family
            ]
            meets = pair.destination if kind == "nat" and family == (6 if ":" in pair.destination else 4) else ""
            if own and (kind != "nat" or meets):
                found.append(Way(client, server, family, meets or own[0], mtu))
    return tuple(found)


def addresses(sheets: Sheets, host: str, device: str = "") -> list[tuple[str, int]]:
    """(address, family) of a host's device, or of all of them; of global scope."""
    found = []
    for key, words in sheets[host].of("address/").items():
        name, _, rest = key.partition("/")
        if (not device or name == device) and "link" not in words.split():
            address = rest.rpartition("/")[0]
            found.append((address, 6 if ":" in address else 4))
    return found


def too_small(way: Way, swept: Swept, hops: tuple[tuple[str, Swept], ...], lab: Lab, sheets: Sheets) -> str:
    """In words which hop does not carry what the sender sends, and whether anybody says so; pure."""
    said = f"{way.name} carries {swept.size_bytes} of {way.mtu_bytes} bytes"
    names = {address: host.name for host in lab.hosts for address, _ in addresses(sheets, host.name)}
    last = next((hop for hop, each in reversed(hops) if each.size_bytes >= way.mtu_bytes), "")
    if last:
        said += f", beyond {last} ({names.get(last, 'not of this lab')})"
    narrow = [
        f"{each.host.name}/{each.device} has an MTU of {mtu}"
        for each in lab.between(way.client, way.server)
        if swept.size_bytes - TAG_BYTES
        <= (mtu := int(sheets[each.host.name].facts[f"link/{each.device}/mtu"]))
        < way.mtu_bytes
    ]
    said += f": {', '.join(narrow)}" if narrow else ""
    speakers = dict.fromkeys(f"{each.by} ({names.get(each.by, 'not of this lab')})" for each in swept.told if each.by)
    said += f"; {', '.join([*speakers][:_SAID])} says so" if speakers else ""
    return said + ("; larger packets vanish without a word (a black hole)" if swept.silent else "")


def _swept(way: Way, address: str, hints: Collection[int]) -> Swept:
    host = way.client.host
    _forget(host)
    found = largest(
        lambda size: reply(host.run(ping(address, size, way.family))), LEAST_BYTES[way.family], way.mtu_bytes, hints
    )
    _forget(host)
    return found


def _forget(host: Host) -> None:
    for family in (4, 6):
        host.run(Command(("ip", f"-{family}", "route", "flush", "cache")))


def _hops(lab: Lab, way: Way, sheets: Sheets) -> list[str]:
    """The addresses of the routers from the sender on, as each one's own table has them."""
    owners = {address: host for host in lab.hosts for address, _ in addresses(sheets, host.name)}
    found: list[str] = []
    host: Host | None = way.client.host
    while host is not None and len(found) < _HOPS:
        source = addresses(sheets, way.client.host.name, way.client.device)
        own = [address for address, family in source if family == way.family]
        told = host.run(Command(("ip", "-j", f"-{way.family}", "route", "get", way.address,
                                 *(("from", own[0]) if host is way.client.host and own else ()))))  # fmt: skip
        routes: list[dict[str, Any]] = json.loads(told.stdout or "[]") if told.ok else []  # Any: JSON
        gateway = str(routes[0].get("gateway", "")) if routes else ""
        if not gateway or gateway in found:
            break
        found.append(gateway)
        host = owners.get(gateway)
    return found


OPTIONS: Options = {}


def read(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> PathMtu:  # Any: as in Options
    """The `path-mtu` probe of a plan."""
    del given, node
    return PathMtu(name, ends)
