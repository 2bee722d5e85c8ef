"""The `isolation` probe: whether any kind of frame passes between ends that are in different VLANs. A check.

That nothing arrived proves nothing by itself. A frame counts as kept apart only if its twin, sent in the same instant
from the same port to an end in the same VLAN, was captured there, and if the capture that saw nothing saw other frames
before and after. python3 writes the frames (a raw socket), tcpdump captures what came in.
"""

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.document import Node
from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.hosts.host import Host, Running
from bench.labs.lab import Endpoint, Lab
from bench.labs.topology import Topology
from bench.options import Options
from bench.probes.frames import KINDS, Station, framed, seen
from bench.probes.path_mtu import addresses
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke
from results.checks import reason
from results.errors import first_of
from results.records import Sample

_SEND = """\
import socket, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for line in sys.stdin:
    out.send(bytes.fromhex(line))
"""
_WITNESS_S = 20.0  # for captures to begin, and to have printed all: an emulated CPU starts python3 in 1 to 3 s
_FIRST = 1000  # of the numbers of frames; smaller ones are witnesses
_TOLD = 6  # leaks named in a reason; all are in the raw output


@dataclass(frozen=True, slots=True)
class Trip:
    """A frame that must not get from `here` to `there`, and its twin that must get to `control`."""

    here: str
    there: str
    control: str
    kind: str
    number: int  # of the frame; its twin has the next one

    @property
    def name(self) -> str:
        """`a>c ARP`."""
        return f"{self.here}>{self.there} {self.kind}"


@dataclass(frozen=True, slots=True)
class Isolation:
    """Every ordered pair of ends in different VLANs, with every kind of frame."""

    name: str
    ends: tuple[str, str] = ("a", "b")

    load_ends = None
    calibrates: tuple[str, ...] = ()
    traffic_s = 0.5
    tool_s = 3.0

    @property
    def tools(self) -> tuple[Command, ...]:
        """See Probe.tools."""
        return (Command(("tcpdump", "--version")), Command(("python3", "--version")))

    @property
    def metrics(self) -> tuple[str, ...]:
        """See Probe.metrics."""
        return (f"{self.name}.leaks", f"{self.name}.kept_apart")

    @property
    def definitions(self) -> Mapping[str, str]:
        """See Probe.definitions."""
        return {"held": f"1 where no frame of {len(KINDS)} kinds ({', '.join(KINDS)}) passed between VLANs, either "
                        "way, and each of them was proven to pass within its own, else 0"}  # fmt: skip

    def commands(self, pair: Pair) -> tuple[tuple[str, Command], ...]:
        """See Probe.commands: at one end; all others do the same."""
        name, device = pair.client.host.name, pair.client.device
        return ((name, _capture(device)), (name, _sending(device, [])))

    def measure(self, pair: Pair) -> Measured:
        """See Probe.measure. Raises ProbeFailed where even ends of one VLAN do not see each other."""
        if pair.lab is None:
            raise ToolBroke(f"{self.name}: its lab is not known")
        lab = pair.lab
        stations = stations_of(lab, lab.read())
        planned = trips(lab.topology, tuple(stations))
        with contextlib.ExitStack() as stack:
            captures = {
                end.host.name: stack.enter_context(end.host.start(_capture(end.device))) for end in lab.endpoints
            }
            _witnessed(lab, stations, captures, 1)
            for end in lab.endpoints:
                own = [trip for trip in planned if trip.here == end.host.name]
                _send(end.host, end.device, [frame for trip in own for frame in _both(trip, stations)])
            _witnessed(lab, stations, captures, 2)
            told = {name: job.stop().stdout for name, job in captures.items()}
        return self.measured(planned, {name: seen(text) for name, text in told.items()})

    def measured(self, planned: Sequence[Trip], came: Mapping[str, frozenset[int]]) -> Measured:
        """What was captured at each end amounts to; pure."""
        leaks = [trip.name for trip in planned if trip.number in came[trip.there]]
        proven = [trip for trip in planned if trip.number + 1 in came[trip.control]]
        unproven = [trip.name for trip in planned if trip not in proven and trip.name not in leaks]
        apart = sum(trip.name not in leaks for trip in proven)
        held = not leaks and not unproven

        def sample(metric: str, value: float) -> Sample:
            return Sample(self.name, metric, value, "1", "-", "-", self.traffic_s)

        reasons = [f"{len(leaks)} of {len(planned)} frames passed: {first_of(leaks, _TOLD)}"] if leaks else []
        reasons += (
            [f"nothing is proven of {first_of(unproven, _TOLD)}: the twin did not arrive either"] if unproven else []
        )
        return Measured(
            (sample("leaks", len(leaks)), sample("kept_apart", apart), sample("held", float(held))),
            {"frames": json.dumps({"leaks": leaks, "unproven": unproven, "kept apart": apart, "sent": len(planned)})},
            flags=tuple(reason(self.name, each) for each in reasons),
        )


def vlan_of(topology: Topology, end: str) -> int:
    """The VLAN that an end is in."""
    return dict(topology.vlans).get(end, topology.vlan_id)


def companion(topology: Topology, end: str, ends: Sequence[str]) -> str:
    """Another end in the same VLAN, "" where there is none."""
    own = vlan_of(topology, end)
    return next((each for each in ends if each != end and vlan_of(topology, each) == own), "")


def trips(topology: Topology, ends: Sequence[str]) -> tuple[Trip, ...]:
    """Every frame that must not pass; pure."""
    found: list[Trip] = []
    for here in ends:
        for there in ends:
            if vlan_of(topology, here) == vlan_of(topology, there):
                continue
            for kind in KINDS:
                number = _FIRST + 2 * len(found)
                found.append(Trip(here, there, companion(topology, here, ends), kind, number))
    return tuple(found)


def stations_of(lab: Lab, sheets: Sheets) -> dict[str, Station]:
    """Each end as its neighbours see it."""
    found = {}
    for end in lab.endpoints:
        name = end.host.name
        own = {family: address for address, family in addresses(sheets, name, end.device)}
        mac = sheets[name].facts[f"link/{end.device}/address"]
        found[name] = Station(mac, own[4], own.get(6, "fe80::1"), vlan_of(lab.topology, name))
    return found


def _both(trip: Trip, stations: Mapping[str, Station]) -> list[bytes]:
    here, there, control = (stations[name] for name in (trip.here, trip.there, trip.control))
    return [
        framed(trip.kind, here, there, there.vlan, trip.number),
        framed(trip.kind, here, control, here.vlan, trip.number + 1),
    ]


def _capture(device: str) -> Command:
    # -Z root: it would become a user of its own, whom a user namespace of one identity does not have.
    return Command(
        (
            "tcpdump",
            "-Z",
            "root",
            "-i",
            device,
            "-Q",
            "in",
            "-U",
            "-w",
            "-",
            "-s",
            "600",
            "--immediate-mode",
            "-c",
            "100000",
        ),
        deadline_s=10 * _WITNESS_S,
    )


def _sending(device: str, frames: Sequence[bytes]) -> Command:
    lines = "".join(f"{frame.hex()}\n" for frame in frames)
    return Command(("python3", "-c", _SEND, device), stdin=lines, deadline_s=_WITNESS_S)


def _send(host: Host, device: str, frames: Sequence[bytes]) -> None:
    host.run(_sending(device, frames)).require("raw sockets need root")


def _witnessed(lab: Lab, stations: Mapping[str, Station], captures: Mapping[str, Running], number: int) -> None:
    """Every end sends to its companion until each capture has seen that: it runs, and what came before is printed."""
    ends: dict[str, Endpoint] = {end.host.name: end for end in lab.endpoints}
    deadline = time.monotonic() + _WITNESS_S
    waiting = set(ends)
    while waiting:
        for name in sorted(waiting):
            other = companion(lab.topology, name, tuple(ends))
            frame = framed("IPv4", stations[other], stations[name], stations[name].vlan, number)
            _send(ends[other].host, ends[other].device, [frame])
        time.sleep(0.1)
        for name in sorted(waiting):
            if captures[name].finished():
                raise ToolBroke(f"on {name}: tcpdump ended: {captures[name].wait().stderr.strip()[:200]}")
            if number in seen(captures[name].output()):
                waiting.discard(name)
        if waiting and time.monotonic() > deadline:
            raise ProbeFailed(f"{', '.join(sorted(waiting))} saw nothing of the other end of the same VLAN")


OPTIONS: Options = {}


def read(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Isolation:  # Any: as in Options
    """The `isolation` probe of a plan."""
    del given, node
    return Isolation(name, ends)
