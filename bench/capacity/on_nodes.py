"""Pairs of VMs on nodes of a Proxmox VE as a density plan has them: which pair on which nodes, by which addresses."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_interface

from bench.capacity.dense import LENGTH, address
from bench.document import Node
from bench.labs import deploying, reading
from bench.labs.topology import PVE, Topology
from bench.pve.deployment import Deployment

KEYS = ("topologies", "places")  # of a plan, for such labs alone
Place = tuple[str, str]  # a client's node, and its server's
_NODES_MOST = 64
_PLACE = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,62})(?:>([A-Za-z0-9][A-Za-z0-9-]{0,62}))?")
_OF_TWO = ("create", "peer", "addresses", "device_addresses", "vlan", "device")  # of a path between two VMs only
_HINT = "topologies: [{kind: pve, bridge: vmbr0}]"


@dataclass(frozen=True, slots=True)
class OnNodes:
    """Pair k stands at `places[k - 1]`, each of its VMs at the path of `topology`."""

    of: Deployment
    topology: Topology
    places: tuple[Place, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node that carries one."""
        return tuple(dict.fromkeys(node for place in self.places for node in place))

    def pair(self, number: int) -> tuple[Topology, Deployment]:
        """The path and the deployment of pair `number`, from 1."""
        dealt = self.of.addresses[2 * number - 2 : 2 * number]
        ends = (f"{address(f'c{number}')}/{LENGTH}", f"{address(f's{number}')}/{LENGTH}")
        path = replace(self.topology, addresses=ends, reached=dealt) if self.of.management else (
            replace(self.topology, addresses=dealt))  # fmt: skip
        of = replace(self.of, nodes=self.places[number - 1])
        return replace(path, ip=ip_interface(path.addresses[0]).version), of


def read(members: Mapping[str, Node], layout: str, most: int, root: Node) -> OnNodes:
    """What a plan says of its VMs, for `most` pairs. Raises WrongInput naming line and key."""
    lab = members["lab"]
    of = deploying.deployed(lab, nodes_most=_NODES_MOST)
    if not isinstance(of, Deployment):
        lab.wrong("pairs of VMs are of a Proxmox VE", hint="lab: {provider: proxmox, …}")
    given = lab.mapping()
    if "placement" in given:
        given["placement"].wrong("where pairs stand is the plan's own word", hint="layout: same, across or mixed")
    if "uplink_mbit" in members:
        members["uplink_mbit"].wrong("the uplink of a node is what it is: nothing is shaped there",
                                     hint="--line-rate 10Gbit where it is known")  # fmt: skip
    topology = _path(members, root)
    places = _places(members, layout, of.nodes, most, lab) if of.nodes else ()
    if of.sited:
        if not dict(topology.net).get("bridge"):
            members["topologies"].wrong("the cluster's file has no such network", hint="its site has networks")
        _addressed(of, most, given.get("addresses", lab))
    return OnNodes(of, topology, places)


def _path(members: Mapping[str, Node], root: Node) -> Topology:
    if "topologies" not in members:
        root.wrong("it does not say how the VMs are connected", hint=_HINT)
    node = members["topologies"]
    found = reading.topologies(node)
    if len(found) != 1:
        node.wrong("pairs have one path; another one is another run, and --beside shows both", hint=_HINT)
    if found[0].kind != PVE:
        node.wrong(f"VMs of a Proxmox VE have no {found[0].kind} between them", hint=_HINT)
    (item,) = node.items()
    for key in _OF_TWO:
        if key in item.mapping():
            item.mapping()[key].wrong(f"{key!r} is of a path between two VMs, and here are pairs of them", hint=_HINT)
    return found[0]


def _places(members: Mapping[str, Node], layout: str, nodes: Sequence[str], most: int, lab: Node) -> tuple[Place, ...]:
    """By the plan's own list, which begins anew when it is over; or by its layout."""
    if "places" in members:
        node = members["places"]
        if "layout" in members:
            node.wrong("'places' says of each pair where it stands, and 'layout' of all", hint="leave one out")
        found = [_place(each, nodes) for each in node.items()]
        if not found:
            node.wrong("it names no node", hint="places: [pve1, pve1>pve2]")
        return tuple(itertools.islice(itertools.cycle(found), most))
    if layout != "same" and len(nodes) < 2:
        lab.wrong(f"layout {layout} takes two nodes, and there is {nodes[0]}", hint="nodes: [pve1, pve2]; layout: same")
    same, across = (nodes[0], nodes[0]), (nodes[0], nodes[-1])
    turns = {"same": (same,), "across": (across,), "mixed": (same, across)}[layout]
    return tuple(itertools.islice(itertools.cycle(turns), most))


def _place(node: Node, nodes: Sequence[str]) -> Place:
    match = _PLACE.fullmatch(node.text())
    if match is None:
        node.wrong(
            f"{node.text()!r} names no place of a pair", hint="pve1, or pve1>pve2: its client's and its server's"
        )
    place = (match[1], match[2] or match[1])
    if unknown := [each for each in place if each not in nodes]:
        node.wrong(f"{unknown[0]} is none of the lab's nodes: {', '.join(nodes)}", hint="nodes: names all of them")
    return place


def _addressed(of: Deployment, most: int, node: Node) -> None:
    """Enough addresses, and a subnet for both of a pair, where they meet by them."""
    if of.leased:
        node.wrong("pairs of VMs have planned addresses, not DHCP's", hint="addresses: [192.0.2.10-192.0.2.41/24]")
    if len(of.addresses) < 2 * most:
        node.wrong(f"{most} pairs take {2 * most} addresses, and there are {len(of.addresses)}",
                   hint=f"a row of them: addresses: [192.0.2.10-192.0.2.{9 + 2 * most}/24], or fewer pairs"
                   if 9 + 2 * most < 255 else "a larger subnet: 10.0.0.10-10.0.3.250/22")  # fmt: skip
    used = [ip_interface(each) for each in of.addresses[: 2 * most]]
    if not of.management:
        for first, second in zip(used[::2], used[1::2], strict=True):
            if first.network != second.network:
                node.wrong(f"{first} and {second} of one pair are of two subnets", hint="a pair has one")
