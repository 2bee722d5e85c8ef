"""What networks that a plan makes ask of a cluster: root's SSH to its nodes, nobody's edits, free NICs and names."""

from collections.abc import Iterator, Mapping, Sequence

from bench.facts import riding
from bench.facts.riding import Riding
from bench.hosts.command import HostFault
from bench.hosts.login import Login
from bench.hosts.ssh import connected
from bench.labs.topology import Topology
from bench.pve import bridges, networks, reloading, vnets
from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.interfaces import Seen
from bench.pve.vnets import Vnet
from results.errors import NotAble

Asked = tuple[str, str, str, str]  # what, "there" or "missing" or "not seen", why, a command that mends it


def privileges(topologies: Sequence[Topology], placed: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Path -> privileges, beside those that VMs take. Pure; from the `permissions` of each call in the API's schema."""
    found: dict[str, tuple[str, ...]] = {}
    for each in topologies:
        for of in networks.wanted(each, placed):
            if isinstance(of, Vnet):
                found["/sdn"] = ("SDN.Allocate", "SDN.Audit", "SDN.Use")
                found["/nodes"] = ("Sys.Audit",)  # a node of a fabric is listed only so, and its edits would be unseen
            else:
                found[f"/nodes/{of.node}"] = ("Sys.Audit", "Sys.Modify")
    return found


def asked(client: Client, topologies: Sequence[Topology], placed: Sequence[str], logins: Mapping[str, Login]
          ) -> Iterator[Asked]:  # fmt: skip
    """All of it, node by node; nothing is written. Raises PveFault where the API does not answer."""
    wanted = [of for each in topologies for of in networks.wanted(each, placed)]
    nodes = [of.node for of in wanted if not isinstance(of, Vnet)]
    if any(isinstance(of, Vnet) for of in wanted):
        nodes += vnets.online(client)
    for node in dict.fromkeys(nodes):
        what = f"root's SSH to {node}, for its guard"
        if node not in logins:
            yield what, "missing", f"add nodes: {{{node}: {{ssh: ssh://root@{node}}}}} to the cluster's file", ""
            continue
        try:
            with connected(node, logins[node]) as host:
                riding.able(host)
                yield what, "there", "", ""
                was = reloading.ready(host)
                told = riding.asked(host)
        except (HostFault, NotAble) as error:
            yield f"network of {node} that may be reloaded", "missing", str(error), ""
            continue
        yield f"network of {node} that may be reloaded", "there", "", ""
        for of in wanted:
            if isinstance(of, Vnet) or of.node == node:
                yield _free(client, node, of, was, told)


def _free(client: Client, node: str, of: networks.Wanted, was: Seen, told: Riding) -> Asked:
    """Its name is nobody's, and its NICs carry nothing."""
    what = f"{of.name} on {node}, to be made"
    if isinstance(of, bridges.Wanted):
        try:
            rows, _ = reloading.config(client, f"/nodes/{node}/network")
        except PveFault as error:
            return what, "not seen", error.said, ""
        for port in of.new.ports:
            if port not in rows or port not in told.stack.links:
                return what, "missing", f"there is no NIC {port}", ""
            if carries := bridges.carried(port, rows, told):
                return what, "missing", f"{port} is no free NIC: {'; '.join(carries)}", ""
        if of.name in rows:
            return what, "missing", "there is one of that name already", ""
    if of.name in was.nics:
        return what, "missing", "there is a device of that name already", ""
    return what, "there", "", ""
