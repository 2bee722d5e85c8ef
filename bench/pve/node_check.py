"""What a plan asks of the nodes themselves: an SSH that really opens, for what the API has no call for; a bond."""

from collections.abc import Iterator, Mapping, Sequence

from bench.facts import riding
from bench.hosts.command import HostFault
from bench.hosts.login import Login
from bench.hosts.ssh import connected
from bench.labs.topology import Topology
from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.network_check import Asked
from results.errors import NotAble

_BOND = "pve-bond"  # the name of a path on what the site's `bond` is (bench.pve.site)
_BONDS = {"bond", "OVSBond"}


def shells(nodes: Sequence[str], logins: Mapping[str, Login], turned: Sequence[str]) -> Iterator[Asked]:
    """The SSH of each: root's, with the tools that a run takes there. `turned`: treatments that turn a node itself."""
    for node in dict.fromkeys(nodes):
        what = f"SSH of {node}"
        if node in logins:
            try:
                with connected(node, logins[node]) as host:
                    riding.able(host)
            except (HostFault, NotAble) as error:
                yield what, "missing", f"{error}" + (f"; {error.hint}" if error.hint else ""), ""
            else:
                yield what, "there", "", ""
        elif turned:
            why = f"{', '.join(turned)} of the plan would be left out, since the API turns nothing of a node itself"
            yield what, "missing", f"{why}; in the cluster's file: nodes: {{{node}: {{ssh: ssh://root@{node}}}}}", ""


def bonds(client: Client, node: str, topologies: Sequence[Topology]) -> Iterator[Asked]:
    """Below each bridge of which the plan says that it stands on a bond."""
    named = dict.fromkeys(dict(each.net)["bridge"] for each in topologies if each.name == _BOND and not each.create)
    for bridge in named:
        what = f"bond of {bridge} on {node}"
        try:
            rows = {str(row.get("iface")): row for row in client.get(f"/nodes/{node}/network")}
        except PveFault as error:
            yield what, "not seen", error.said, ""
            continue
        row = rows.get(bridge, {})
        ports = f"{row.get('bridge_ports') or ''} {row.get('ovs_ports') or ''}".split()
        if any(rows.get(port.partition(".")[0], {}).get("type") in _BONDS for port in ports):
            yield what, "there", "", ""
        elif bridge not in rows or any(port.partition(".")[0] not in rows for port in ports):
            yield what, "not seen", f"its port {', '.join(ports) or '(none is told)'} may not be seen", ""
        else:
            yield what, "missing", f"its port is {', '.join(ports) or 'none'}, and the plan measures a bond", ""
