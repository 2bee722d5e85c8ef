"""Lab: a standing Topology. Endpoints one can run Commands on, the nodes under them, the devices on the path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.facts import state
from bench.facts.sheet import Sheets
from bench.hosts.host import Host
from bench.labs.topology import Topology

Target = Literal["guest", "node", "path"]  # the endpoints, the nodes between them, every device on the path


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of the measured path."""

    host: Host
    device: str
    address: str


@dataclass(frozen=True, slots=True)
class PathDevice:
    """A device that the traffic passes; `counts`: its own counters see that traffic (a bridge's do not)."""

    host: Host
    device: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Lab:
    """What stands: made and removed by its provider, used by probes and treatments."""

    topology: Topology
    a: Endpoint
    b: Endpoint
    nodes: tuple[Host, ...]
    path: tuple[PathDevice, ...]  # in order from a to b

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Endpoints first, then nodes."""
        return (self.a.host, self.b.host, *self.nodes)

    def devices(self, target: Target) -> tuple[PathDevice, ...]:
        """The path devices on that part of the lab."""
        ends = (self.a.host, self.b.host)
        match target:
            case "path":
                return self.path
            case "guest":
                return tuple(device for device in self.path if device.host in ends)
            case "node":
                return tuple(device for device in self.path if device.host not in ends)

    def hosts_of(self, target: Target) -> tuple[Host, ...]:
        """The hosts of that part of the lab."""
        match target:
            case "path":
                return self.hosts
            case "guest":
                return (self.a.host, self.b.host)
            case "node":
                return self.nodes

    def read(self) -> Sheets:
        """The state of every host now, all asked at the same time."""
        # Nodes first: they have the most devices, and the longest reading should not begin last.
        by_host: Mapping[Host, list[str]] = {host: [] for host in (*self.nodes, self.a.host, self.b.host)}
        for device in self.path:
            if device.counts:  # the features of others are not on the path
                by_host[device.host].append(device.device)
        return state.read(by_host, bridged=self.nodes)

    def named(self, host: str) -> Host:
        """The host of that name; KeyError when the lab has none."""
        return {each.name: each for each in self.hosts}[host]
