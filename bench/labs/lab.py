"""Lab: a standing Topology. Endpoints one can run Commands on, the nodes under them, the devices on the path."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.facts import part, scope, state
from bench.facts.roles import Role
from bench.facts.sheet import FactSheet, Sheets
from bench.hosts.command import Command, Outcome, Unreachable
from bench.hosts.host import Host, ask_everywhere, begun
from bench.labs.cable import Ends
from bench.labs.restarting import Restarts, Wanted
from bench.labs.topology import Topology
from results.errors import NotAble

ENDS = ("a", "b", "c", "d", "e", "f", "g", "h")  # names of endpoints, in the order in which a topology has them
Target = Literal["guest", "node", "path"]  # the endpoints, the nodes between them, every device on the path


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a measured path; the hosts of endpoints are named a, b, c and so on."""

    host: Host
    device: str
    address: str


@dataclass(frozen=True, slots=True)
class PathDevice:
    """A device that the traffic passes; `counts`: its own counters see that traffic (a bridge's do not).

    `serves` names the one endpoint whose traffic passes it; "" means everybody's.
    """

    host: Host
    device: str
    counts: bool = True
    serves: str = ""


@dataclass(frozen=True, slots=True)
class Lab:
    """What stands: made and removed by its provider, used by probes and treatments."""

    topology: Topology
    endpoints: tuple[Endpoint, ...]  # a, b, and whoever else stands at the path
    nodes: tuple[Host, ...]
    path: tuple[PathDevice, ...]  # in order from a to b, then those of further endpoints
    # (here, there) -> the addresses under which `here` may meet `there`, the usual one first: where NAT is or can be
    met: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    # (host, device) -> the cable on that device, where the provider can make it fail
    cables: Ends = field(default_factory=dict)
    machine: Host | None = None  # its CPUs are the ones that are counted; None: all share one kernel
    pid_files: tuple[str, ...] = ()  # on that machine, of QEMU's processes, where endpoints are guests
    namespaces: frozenset[str] = frozenset()  # names of hosts that share the machine's kernel, wherever it is
    # Of machines that already stand: seconds after which each puts itself back, 0 where we made the hosts; what rides
    # on a path device and forbids changes; the devices whose facts are kept. The last two by host name.
    guard_s: float = 0.0
    roles: Mapping[str, Sequence[Role]] = field(default_factory=dict)
    scope: Mapping[str, frozenset[str]] = field(default_factory=dict)
    made: frozenset[str] = frozenset()  # names of hosts that we made all the same: they need no guard
    remade: frozenset[str] = frozenset()  # devices that each start of a guest makes anew, with other MACs
    interrupts: frozenset[str] = frozenset()  # names of hosts on which the CPUs of a NIC's interrupts are facts
    # By name, hosts whose firewall of Proxmox VE keeps some sysctls, with the ids of VMs there whose NICs matter.
    of_pve: Mapping[str, Sequence[str]] = field(default_factory=dict)
    restarting: Restarts | None = None  # where a plan's treatments start its guests anew
    # Of a shared link: bit/s that load may take each way (0: no limit), and what its watch saw, in words ("": nothing).
    cap_bps: float = 0.0
    trouble: Callable[[], str] = str
    told: Mapping[str, str] = field(default_factory=dict)  # what the run keeps of it beside the machine's own facts

    @property
    def own_kernels(self) -> tuple[Host, ...]:
        """One host for each kernel of the lab, first the one whose CPUs carry everything."""
        if self.machine is None:
            return (self.a.host,)
        others = (host for host in self.hosts if not (host.local or host.name in self.namespaces))
        return tuple(dict.fromkeys((self.machine, *others)))

    @property
    def counted(self) -> tuple[Host, ...]:
        """Every host whose counters say something of a trial."""
        return tuple(dict.fromkeys((*self.hosts, *self.own_kernels)))

    @property
    def a(self) -> Endpoint:
        """The first endpoint; clients run there unless a probe says otherwise."""
        return self.endpoints[0]

    @property
    def b(self) -> Endpoint:
        """The second endpoint."""
        return self.endpoints[1]

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Endpoints first, then nodes."""
        return (*(end.host for end in self.endpoints), *self.nodes)

    @property
    def guarded(self) -> tuple[Host, ...]:
        """The hosts that stood before us: each change there has a guard."""
        return tuple(host for host in self.hosts if host.name not in self.made) if self.guard_s else ()

    def end(self, name: str) -> Endpoint:
        """The endpoint of that name; KeyError when the lab has none."""
        return {each.host.name: each for each in self.endpoints}[name]

    def reached(self, here: Endpoint, there: Endpoint) -> str:
        """The address at which `here` meets `there`: as a destination, or as the source of what it receives."""
        return self.may_meet(here, there)[0]

    def may_meet(self, here: Endpoint, there: Endpoint) -> tuple[str, ...]:
        """Every address that `here` may see `there` under, treatments included; the usual one first."""
        return self.met.get((here.host.name, there.host.name), (there.address,))

    def between(self, one: Endpoint, other: Endpoint) -> tuple[PathDevice, ...]:
        """The devices that traffic between two endpoints passes."""
        names = ("", one.host.name, other.host.name)
        return tuple(device for device in self.path if device.serves in names)

    def devices(self, target: Target) -> tuple[PathDevice, ...]:
        """The path devices on that part of the lab."""
        ends = [end.host for end in self.endpoints]
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
                return tuple(end.host for end in self.endpoints)
            case "node":
                return self.nodes

    def read(self) -> Sheets:
        """The state of every host now, all asked at the same time. Raises HostFault."""
        try:
            return self._read()
        except Unreachable:
            # What stands is changed over its own network: where the MTU of the device that SSH comes by is less by now,
            # the packets of our connection are too large for it and are dropped. A new one, which the next command
            # makes, asks for less (RFC 9293, 3.7.1).
            if not self.guarded:
                raise
            return self._read()

    def _read(self) -> Sheets:
        # Nodes first: they have the most devices, and the longest reading should not begin last.
        by_host: Mapping[Host, list[str]] = {host: [] for host in (*self.nodes, *(end.host for end in self.endpoints))}
        for device in self.path:
            if device.counts:  # the features of others are not on the path
                by_host[device.host].append(device.device)
        sheets = state.read(
            by_host,
            bridged=self.nodes,
            filtered=self.nodes if self.topology.filters else (),
            clocked=self.guarded,  # machines that already stand: their CPUs are real
            interrupts=self.interrupts,
            of_pve=self.of_pve,
        )
        if self.restarting is not None:
            started = {name: self.restarting.facts(name) for name in sheets}
            sheets = {name: FactSheet(name, {**each.facts, **started[name]}) for name, each in sheets.items()}
        return {name: self._scoped(name, each.facts) for name, each in sheets.items()}

    def reread(self, sheets: Sheets, keys: Iterable[tuple[str, str]]) -> Sheets:
        """`sheets` with these facts (host, key), and what is told together with them, as they are now."""
        by_host: dict[str, set[str]] = {}
        for host, key in keys:
            by_host.setdefault(host, set()).add(key)
        asked: dict[Host, tuple[Command, ...]] = {}
        for host, own in by_host.items():
            questions = part.questions(own)
            if questions is None:
                return self.read()
            asked[self.named(host)] = questions
        answers = ask_everywhere(asked)
        found = {host.name: part.renewed(sheets[host.name].facts, by_host[host.name], answers[host]) for host in asked}
        return {**sheets, **{name: self._scoped(name, facts) for name, facts in found.items()}}

    def _scoped(self, host: str, facts: Mapping[str, str]) -> FactSheet:
        told = scope.within(facts, self.scope[host]) if host in self.scope else facts
        return FactSheet(host, scope.lasting(told, self.remade) if self.remade else told)

    def restart(self, wanted: Wanted) -> None:
        """Start these guests anew with that, or all of them as they are. Raises NotAble with a guest's console."""
        if self.restarting is None:
            raise NotAble(f"lab {self.topology.name} has no guests that nettune could start anew")
        if wanted:
            self.restarting.restart(wanted)
        else:
            self.restarting.fresh()

    def named(self, host: str) -> Host:
        """The host of that name; KeyError when the lab has none."""
        return {each.name: each for each in self.hosts}[host]

    def begin(self, host: str, commands: Sequence[Command]) -> Callable[[], tuple[Outcome, ...]]:
        """Commands on their way on the host of that name; see bench.hosts.host.begun."""
        return begun(self.named(host), commands)
