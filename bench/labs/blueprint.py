"""Blueprint: hosts, commands, addresses and devices of a Topology, pure: the same list for every provider."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from bench.hosts.command import Command
from bench.labs import rulesets, shaping
from bench.labs.addressing import Network, Subnet, planned
from bench.labs.lab import ENDS
from bench.labs.names import FAR, NODE, mac
from bench.labs.topology import Topology

_POLICY_TABLE = 100


@dataclass(frozen=True, slots=True)
class End:
    """An endpoint's device and address in the family that probes use."""

    host: str
    device: str
    address: str


@dataclass(frozen=True, slots=True)
class Port:
    """A device of the path; `counts` and `serves` as in labs.lab.PathDevice."""

    host: str
    device: str
    counts: bool = True
    serves: str = ""


@dataclass(frozen=True, slots=True)
class Wire:
    """A cable of `peer` at `there`; one that a provider lays joins a guest's NIC to a tap or another guest's NIC."""

    here: str
    device: str
    there: str
    peer: str


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Everything that a provider must do, and what it gets. Steps are (host, Command), in order."""

    hosts: tuple[str, ...]
    steps: tuple[tuple[str, Command], ...]
    ends: tuple[End, ...]
    path: tuple[Port, ...]
    subnets: Mapping[str, Subnet]
    wires: tuple[Wire, ...] = ()
    pairs: tuple[Wire, ...] = ()  # cables that the steps lay themselves: pairs of veth devices
    routed: bool = False  # the ends of its cables have addresses
    met: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)  # as in labs.lab.Lab

    @property
    def nodes(self) -> tuple[str, ...]:
        """The hosts that are no endpoints."""
        ends = {end.host for end in self.ends}
        return tuple(host for host in self.hosts if host not in ends)


def drawn_up(
    topology: Topology, netns: Mapping[str, str] | None = None, *, guests: Container[str] = (), queues: int = 1
) -> Blueprint:
    """The blueprint; `netns` has the namespace that a peer's end is moved to, by host (its own name when not given).

    `guests` are the hosts that are virtual machines, whose NICs stand already, of `queues` queues: they hang on wires.
    Raises addressing.NoRoom when the topology's prefixes cannot hold its subnets.
    """
    ends = ENDS[: topology.ends]
    subnets = _subnets(topology, ends)
    building = _Building(topology, subnets, dict(netns or {}), guests, queues)
    building.quiet()
    building.given()
    building.links()
    for place, end in enumerate(ends, start=1):
        building.end(end, place)
    building.nodes()
    building.polling()
    return Blueprint(
        hosts=building.hosts,
        steps=tuple(building.steps),
        ends=tuple(End(end, building.device, building.address(end)) for end in ends),
        path=building.path(),
        subnets=subnets,
        wires=tuple(building.wires),
        pairs=tuple(building.pairs),
        routed=topology.routes,
        met=building.met(),
    )


def _subnets(topology: Topology, ends: Sequence[str]) -> dict[str, Subnet]:
    """One for all, or one a routed endpoint and one a link between nodes."""
    fixed: dict[tuple[str, int], Network] = {(name, net.version): net for name, net in topology.subnets}
    if not topology.routes:
        return planned(("all",), len(ends), topology.prefixes, fixed)
    links = ("link-1", "link-2") if topology.policy else ()
    return planned((*ends, *links), 1, topology.prefixes, fixed)


@dataclass(slots=True)
class _Building:
    """The steps so far; each method adds those of one part."""

    topology: Topology
    subnets: Mapping[str, Subnet]
    netns: Mapping[str, str]
    guests: Container[str]
    queues: int  # of a guest's NIC and its tap
    steps: list[tuple[str, Command]] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    pairs: list[Wire] = field(default_factory=list)

    @property
    def ends(self) -> tuple[str, ...]:
        """The endpoints' names."""
        return ENDS[: self.topology.ends]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host: endpoints, then nodes."""
        between = () if self.topology.kind == "direct" else (NODE,)
        two = self.topology.policy or self.topology.trunk or self.topology.kind == "bond"
        return (*self.ends, *between, *((FAR,) if two else ()))

    @property
    def device(self) -> str:
        """The endpoints' device."""
        return f"eth0.{self.topology.vlan_id}" if self.topology.tagged else "eth0"

    def home(self, end: str) -> str:
        """The node that an endpoint hangs on: the second one stands on the far side of a bond or a pair of links."""
        return FAR if FAR in self.hosts and end == "b" else NODE

    def subnet(self, end: str) -> Subnet:
        """An endpoint's subnet."""
        return self.subnets[end if self.topology.routes else "all"]

    def address(self, end: str, family: int = 0) -> str:
        """An endpoint's address, in the family that probes use unless one is given."""
        place = 1 if self.topology.routes else self.ends.index(end) + 1
        return self.subnet(end).address(place, family or self.topology.ip)

    def ip(self, host: str, *lines: str) -> None:
        """Lines of `ip -batch`."""
        if lines:
            self.steps.append((host, Command(("ip", "-batch", "-"), stdin="\n".join(lines) + "\n")))

    def set(self, host: str, sysctl: str, value: str) -> None:
        """A sysctl of that host."""
        self.steps.append((host, Command(("tee", f"/proc/sys/{sysctl}"), stdin=value)))

    def quiet(self) -> None:
        """No duplicate address detection in a lab whose addresses are ours: it would hold each back for a second."""
        for host in self.hosts:
            for device in ("default", "all"):
                self.set(host, f"net/ipv6/conf/{device}/accept_dad", "0")

    def given(self) -> None:
        """What the plan wants its endpoints to begin with."""
        for end in self.ends:
            for name, value in self.topology.sysctls:
                self.set(end, name.replace(".", "/"), value)

    def links(self) -> None:
        """Every link, made on the node's side where there is one; bridges and bonds before their ports."""
        mtu = self.topology.port_mtu or self.topology.mtu
        if self.topology.kind == "direct":
            self.ip("a", *self._link("a", "eth0", "b", "eth0", mtu))
            return
        for host in (FAR, NODE):
            if host in self.hosts:
                self.ip(host, "link set lo up", *self._bridge(host, mtu))
        self._between(mtu)
        for end in self.ends:
            port = f"port-{end}"
            lines = self._link(self.home(end), port, end, "eth0", mtu)
            if not self.topology.routes:
                lines.append(f"link set {port} master br0")
            else:
                lines += [f"address add {line} dev {port}" for line in self._gateways(self.subnet(end))]
            self.ip(self.home(end), *lines, f"link set {port} up")
        for host in (NODE, FAR):
            if host in self.hosts and not self.topology.routes:
                self.ip(host, "link set br0 up")
        self._vlans()

    def _link(self, here: str, device: str, there: str, peer: str, mtu: int) -> list[str]:
        """From here to another host: a veth pair, or a wire to a guest; MAC addresses go by the names."""
        if here not in self.guests and there not in self.guests:
            queues = self.topology.queues
            many = f" numtxqueues {queues} numrxqueues {queues}" if queues else ""
            mine, theirs = (f"address {mac(*end)} mtu {mtu}{many}" for end in ((here, device), (there, peer)))
            room = self.netns.get(there, there)
            self.pairs.append(Wire(here, device, there, peer))
            return [f"link add {device} {mine} type veth peer name {peer} {theirs} netns {room}"]
        self.wires.append(Wire(here, device, there, peer))
        self._still(there, peer)
        self.ip(there, f"link set {peer} mtu {mtu}")
        if here in self.guests:
            self._still(here, device)
            return [f"link set {device} mtu {mtu}"]
        many = " multi_queue" if self.queues > 1 else ""  # a tap takes what it was made for, and nothing else
        return [f"tuntap add dev {device} mode tap{many}", f"link set {device} address {mac(here, device)} mtu {mtu}"]

    def _still(self, host: str, device: str) -> None:
        """As `quiet`, for a NIC that stood before: defaults are for devices that come after them."""
        self.set(host, f"net/ipv6/conf/{device}/accept_dad", "0")

    def _bridge(self, host: str, mtu: int) -> list[str]:
        if self.topology.routes:
            return []
        switch = host == FAR and self.topology.kind == "bond" and self.topology.vlan_id and not self.topology.paired
        protocol = f" vlan_protocol {self.topology.vlan_protocol}" if self.topology.vlan_protocol else ""
        aware = f" vlan_filtering 1 vlan_default_pvid 0{protocol}" if self.topology.kind == "vlan" or switch else ""
        return [f"link add br0 address {mac(host, 'br0')} mtu {mtu} type bridge{aware}"]

    def _vlans(self) -> None:
        """Access ports take the tag away and put it on; it is kept on legs, and towards ends that tag themselves."""
        vid = self.topology.vlan_id
        for host in (NODE, FAR) if self.topology.kind == "vlan" else (FAR,) if vid and not self.topology.paired else ():
            how = "" if self.topology.tagged else " pvid untagged"
            own = dict(self.topology.vlans)
            lines = [f"vlan add dev port-{end} vid {own.get(end, vid)}{how}" for end in self.ends
                     if self.home(end) == host]  # fmt: skip
            lines += [f"vlan add dev {leg} vid {each}" for leg in self.topology.leg_names for each in dict.fromkeys(
                (vid, *own.values()))]  # fmt: skip
            if host in self.hosts:
                self.steps.append((host, Command(("bridge", "-batch", "-"), stdin="\n".join(lines) + "\n")))

    def _between(self, mtu: int) -> None:
        names = self.topology.leg_names
        for name in names:
            self.ip(NODE, *self._link(NODE, name, FAR, name, mtu))
        for host in (NODE, FAR) if names else ():
            if self.topology.policy:
                place = 1 if host == NODE else 2
                for name, link in zip(names, ("link-1", "link-2"), strict=True):
                    self.ip(host, *self._own(self.subnets[link], place, name), f"link set {name} up")
            elif self.topology.legs and (host == NODE or self.topology.paired):
                self._bond(host, names, mtu)
            else:  # the bond's own node alone decides which leg a frame takes
                self.ip(host, *(line for name in names for line in (f"link set {name} master br0",
                                                                      f"link set {name} up")))  # fmt: skip

    def _bond(self, host: str, names: Sequence[str], mtu: int) -> None:
        """The bond, its legs, and the bridge over it, with a VLAN device between where there is one."""
        mode, vid = self.topology.bond_mode, self.topology.vlan_id
        usual = {"miimon": "100", **({"lacp_rate": "fast"} if mode == "802.3ad" else {})}
        given = dict(self.topology.bond_options)
        primary = given.pop("primary", "")  # the kernel takes it once the leg is there
        words = " ".join(f"{word} {value}" for word, value in (usual | given).items())
        bond = f"link add bond0 address {mac(host, 'bond0')} mtu {mtu} type bond mode {mode} {words}"
        lines = [bond, *(f"link set {name} master bond0" for name in names)]
        lines += [f"link set bond0 type bond primary {primary}"] if primary else []
        lines += ["link set bond0 up"]
        lines += [f"link add link bond0 name bond0.{vid} mtu {mtu} type vlan id {vid}"] if vid else []
        port = f"bond0.{vid}" if vid else "bond0"
        self.ip(host, *lines, f"link set {port} master br0", f"link set {port} up")

    def end(self, end: str, place: int) -> None:
        """An endpoint's addresses of both families, and its routes to the others."""
        lines = ["link set lo up", "link set eth0 up"]
        if self.topology.tagged:
            protocol = f" proto {self.topology.vlan_protocol}" if self.topology.vlan_protocol else ""
            vlan = f"link add link eth0 name {self.device} mtu {self.topology.mtu} type vlan{protocol}"
            lines += [f"{vlan} id {self.topology.vlan_id}", f"link set {self.device} up"]
        lines += self._own(self.subnet(end), 1 if self.topology.routes else place, self.device)
        for peer in self.ends:
            if peer != end and self._knows(end, peer):
                lines += [
                    f"route add {self.address(peer, family)} via {self.subnet(end).gateway(family)} dev {self.device}"
                    for family in self.topology.families
                ]
        self.ip(end, *lines)

    def _knows(self, end: str, peer: str) -> bool:
        """Whether an endpoint has a route to another: behind NAT nobody outside knows who is inside."""
        if not self.topology.routes:
            return False
        return self.topology.kind != "nat" or end == self._inside(peer)

    def _inside(self, peer: str) -> str:
        inside, outside = ("b", "a") if self.topology.forward else ("a", "b")
        return inside if peer == outside else ""

    def _own(self, subnet: Subnet, place: int, device: str) -> list[str]:
        return [
            f"address add {subnet.address(place, family)}/{subnet.length(family)} dev {device}"
            f"{' nodad' if family == 6 else ''}"
            for family in self.topology.families
        ]

    def _gateways(self, subnet: Subnet) -> list[str]:
        return [
            f"{subnet.gateway(family)}/{subnet.length(family)}{' nodad' if family == 6 else ''}"
            for family in self.topology.families
        ]

    def nodes(self) -> None:
        """What nodes do with packets: forward, route by policy, translate, filter, shape."""
        for host in self.hosts[len(self.ends) :]:
            if self.topology.routes:
                self.set(host, "net/ipv4/ip_forward", "1")
                self.set(host, "net/ipv6/conf/all/forwarding", "1")
            if self.topology.policy:
                self._policy(host)
        if self.topology.kind == "nat":
            inside, outside = ("b", "a") if self.topology.forward else ("a", "b")
            to = (
                {family: self.address(inside, family) for family in self.topology.families}
                if self.topology.forward
                else {}
            )
            self._nft(rulesets.translating(f"port-{outside}", to))
        if self.topology.kind == "firewall":
            self._firewall()
        for end in self.ends:
            if lines := shaping.lines(self.topology.shape, f"port-{end}"):
                self.steps.append((self.home(end), Command(("tc", "-batch", "-"), stdin="\n".join(lines) + "\n")))

    def polling(self) -> None:
        """GRO on at every veth of the path, which makes it poll."""
        for port in self.path() if self.topology.gro else ():
            veth = port.device.startswith(("eth0", "port-", "leg-")) and "." not in port.device
            if veth and port.host not in self.guests:
                self.steps.append((port.host, Command(("ethtool", "-K", port.device, "gro", "on"))))

    def _nft(self, text: str) -> None:
        self.steps.append((NODE, Command(("nft", "-f", "-"), stdin=text)))

    def _firewall(self) -> None:
        if self.topology.hook == "br_netfilter":  # hands bridged packets to the hooks of inet
            for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
                self.set(NODE, f"net/bridge/{name}", "1")
        family = "bridge" if self.topology.hook == "bridge" else "inet"
        for text in rulesets.filtering(family, self.topology.rules):
            self._nft(text)

    def _policy(self, host: str) -> None:
        """By destination the first link, by source the second: the rule wins (its priority is above main's 32766)."""
        here, there = ("a", "b") if host == NODE else ("b", "a")
        place = 2 if host == NODE else 1
        for family in self.topology.families:
            goal, own = self.subnets[there].text(family), self.subnets[here].text(family)
            first, second = (self.subnets[link].address(place, family) for link in ("link-1", "link-2"))
            lines = (
                f"route add {goal} via {first} dev leg-1",
                f"route add {goal} via {second} dev leg-2 table {_POLICY_TABLE}",
                f"rule add from {own} lookup {_POLICY_TABLE} priority 1000",
            )
            # A rule's family is not taken from its address: without -6 it is "Invalid source address".
            self.steps.append((host, Command(("ip", f"-{family}", "-batch", "-"), stdin="\n".join(lines) + "\n")))

    def path(self) -> tuple[Port, ...]:
        """The devices from a to b, then those of further endpoints."""

        def leaf(end: str) -> list[Port]:
            inner = Port(self.home(end), f"port-{end}", serves=end)
            tagged = [Port(end, self.device, serves=end)] if self.topology.tagged else []
            return [*tagged, Port(end, "eth0", serves=end), inner]

        if self.topology.kind == "direct":
            return (Port("a", "eth0", serves="a"), Port("b", "eth0", serves="b"))
        first, last = leaf("a"), leaf("b")[::-1]
        more = [port for end in self.ends[2:] for port in leaf(end)]
        return (*first, *self._middle(), *last, *more)

    def _middle(self) -> list[Port]:
        if self.topology.policy:
            return [Port(NODE, "leg-2", serves="b"), Port(FAR, "leg-2", serves="b")]
        if self.topology.routes:
            return []
        if FAR not in self.hosts:
            return [Port(NODE, "br0", counts=False)]
        over = ["leg-1"] if self.topology.trunk else ["bond0"]
        over += [f"bond0.{self.topology.vlan_id}"] if self.topology.legs and self.topology.vlan_id else []
        near = [Port(NODE, device, serves="b") for device in reversed(over)]
        far = [Port(FAR, device, serves="b") for device in over] if self.topology.trunk or self.topology.paired else []
        return [Port(NODE, "br0", counts=False), *near, *far, Port(FAR, "br0", counts=False)]

    def met(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Under which addresses an endpoint may meet another, where that is not the other's own alone."""
        if not self.topology.routes or self.topology.policy:
            return {}
        ip = self.topology.ip
        seen: dict[tuple[str, str], tuple[str, ...]] = {}
        for here in self.ends:
            for there in self.ends:
                if here != there:  # under a treatment the node may masquerade what comes from there
                    seen[here, there] = (self.address(there), self.subnet(here).gateway(ip))
        if self.topology.kind == "nat":
            outside, inside = ("a", "b") if self.topology.forward else ("b", "a")
            seen[outside, inside] = seen[outside, inside][::-1]
        return seen
