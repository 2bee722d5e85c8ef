"""What a plan asks of a cluster, and whether it is there: privileges, node, storage, bridge, template, pool, agent.

The privileges, and the commands that give them: privileges.py.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, cast

from bench.hosts.login import Login
from bench.labs.topology import Topology
from bench.pve import (
    containers,
    errors,
    link_check,
    network_check,
    node_check,
    privileges,
    room,
    storage_check,
    strangers,
)
from bench.pve.client import Client
from bench.pve.deployment import Cluster, Deployment
from bench.pve.errors import PveFault
from bench.pve.ownership import WORDS, Kind
from results.errors import NotAble

Word = Literal["there", "missing", "not seen"]
_USUAL_MTU = 1500
_NOBODY: Mapping[str, Login] = MappingProxyType({})
_Nodes = Mapping[str, Mapping[str, Any]]  # Any: JSON


@dataclass(frozen=True, slots=True)
class _Asked:
    """Of a bridge: the largest MTU in bytes, and the tags and trunks, each "tag 100"; `apart`: of VMs on two nodes."""

    mtu: int
    tagged: tuple[str, ...]
    apart: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is asked for. `command` mends it, by root on a node."""

    what: str
    word: Word
    why: str = ""
    command: str = ""


def checked(
    client: Client, of: Deployment, topologies: Sequence[Topology], who: str, logins: Mapping[str, Login] = _NOBODY,
    turned: Sequence[str] = (),
) -> tuple[Row, ...]:  # fmt: skip
    """All of it, in the order in which an administrator sets it up; `logins` are those of nodes with their own SSH.

    `turned`: the treatments that turn a node itself.

    Raises PveFault where the API does not answer.
    """
    version = str(client.get("/version").get("version", ""))
    rows = [Row(f"Proxmox VE {version}", "there"), *_privileges(client, of, topologies, who, _major(version))]
    rows += _quorum(client)
    ground = _ground(client, of, topologies, logins)
    rows += [row for row in ground if row != Row(row.what, "there") or not row.what.startswith("SSH of ")]
    asked = [*node_check.shells(of.nodes, logins, turned)]
    asked += [each for node in dict.fromkeys(of.nodes) for each in node_check.bonds(client, node, topologies)]
    rows += [_row(each) for each in asked]
    rows += _source(client, of)
    rows += [_firewall(client)] if any(each.rules for each in topologies) else []
    rows += [_pool(client, of.pool)] if of.pool else []
    if any(each.create for each in topologies):
        rows += [_row(each) for each in network_check.asked(client, topologies, of.placed, logins)]
    return tuple(dict.fromkeys(rows))


def _row(asked: network_check.Asked) -> Row:
    what, word, why, command = asked
    return Row(what, cast("Word", word), why, command)


def of_paths(client: Client, of: Deployment, count: int) -> tuple[Row, ...]:
    """What paths that stand at the same time ask for beside: room. Raises PveFault."""
    return _rows((f"room for {count} paths", lambda: room.check(client, of, [of.placed] * count, "paths"), ""))


def of_pairs(client: Client, of: Deployment, places: Sequence[tuple[str, str]]) -> tuple[Row, ...]:
    """What many pairs ask for beside: room, and nodes without guests of others. Raises PveFault."""
    names = tuple(dict.fromkeys(node for place in places for node in place))
    return _rows(
        (f"room for {len(places)} pairs", lambda: room.check(client, of, places), ""),
        (f"{', '.join(names)} without guests of others",
         lambda: strangers.checked(client, names, shared_host=False), "nettune capacity … --shared-host"),
    )  # fmt: skip


def of_links(
    client: Client, places: Sequence[tuple[str, str]], topologies: Sequence[Topology], cluster: Cluster
) -> tuple[Row, ...]:  # fmt: skip
    """What VMs on two nodes ask for beside: a link that carries nothing that load may hurt. Raises PveFault."""
    found = link_check.asked(client, places, topologies, cluster)
    return tuple(Row(what, cast("Word", word), f"{why}; {hint}" if hint else why) for what, word, why, hint in found)


def _rows(*checks: tuple[str, Callable[[], object], str]) -> tuple[Row, ...]:
    """(what, what raises NotAble where it is not there, a command that mends it), as rows. Raises PveFault."""
    rows = []
    for what, check, command in checks:
        try:
            check()
        except PveFault:
            raise
        except NotAble as error:
            rows.append(Row(what, "missing", str(error), command))
        else:
            rows.append(Row(what, "there"))
    return tuple(rows)


def setup(client: Client, of: Deployment, topologies: Sequence[Topology], who: str) -> tuple[str, ...]:
    """As privileges.setup, by what the cluster says of itself. Raises PveFault."""
    version = _major(str(client.get("/version").get("version", "")))
    _, config = storage_check.template(client, of)
    return privileges.setup(of, topologies, who, version, zones(client), config)


def refuse(client: Client, of: Deployment, topology: Topology, shells: Collection[str]) -> None:
    """Before anything is made: raises NotAble for the first thing that is not there. What is not seen may be there."""
    for row in _ground(client, of, (topology,), shells):
        if row.word == "missing":
            raise NotAble(f"{row.what}: {row.why}", hint=row.command or "nettune pve check says all that is missing")


def _ground(client: Client, of: Deployment, topologies: Sequence[Topology], shells: Collection[str]) -> list[Row]:
    """What the guests stand on: nodes, their CPUs, storage, bridges and SSH."""
    kind, rows, (home, config) = _kind(client, of), [], storage_check.template(client, of)
    disks = storage_check.disks(of, config)
    known: _Nodes = {str(row.get("node")): row for row in client.get("/nodes")}
    made = {dict(each.net)["bridge"] for each in topologies if each.create}
    bridges = {name: asked for name, asked in _bridges(of, topologies) if name not in made}
    if of.leased and kind == "lxc":
        rows.append(Row("addresses of containers", "missing", "they are planned, not DHCP's: no agent tells them",
                        "addresses: two for each path"))  # fmt: skip
    for node in dict.fromkeys(of.nodes):
        found = _node(known, node)
        rows.append(found)
        if found.word == "there":
            rows += _cpus(known, node, of, kind)
            rows += [_row(each) for each in storage_check.room(client, node, disks, kind)]
            rows += _shell(node, of, kind, shells)
            rows += _on(client, node, bridges)
    return [*rows, *(_row(each) for each in storage_check.shared(client, of, home, config))]


def _kind(client: Client, of: Deployment) -> Kind:
    """What the source makes; VMs where that cannot be seen."""
    if not of.source.isdigit():
        return "lxc" if containers.archive(of.source) else "qemu"
    row = storage_check.resource(client, of.source) or {}
    return "lxc" if row.get("type") == "lxc" else "qemu"


def zones(client: Client) -> Mapping[str, str]:
    """The zone of each SDN vnet that may be seen; none where there is no SDN."""
    try:
        return {str(row["vnet"]): str(row["zone"]) for row in client.get("/cluster/sdn/vnets")}
    except (PveFault, KeyError):
        return {}


def _bridges(of: Deployment, topologies: Sequence[Topology]) -> tuple[tuple[str, _Asked], ...]:
    """Each with what NICs on it ask of it."""
    tag = (f"tag {of.management_tag}",) if of.management_tag else ()
    apart = len(set(of.nodes)) > 1
    asked = {of.management: _Asked(0, tag, apart)} if of.management else {}
    for each in topologies:
        given = dict(each.net)
        words = tuple(f"{key} {given[key]}" for key in ("tag", "trunks") if key in given)
        mtu = 0 if each.device else each.mtu  # net0 is then the way in alone
        for name in (given["bridge"], each.peer):
            if name:
                known = asked.get(name, _Asked(0, (), apart))
                asked[name] = _Asked(max(known.mtu, mtu), (*known.tagged, *words), apart)
    return tuple(asked.items())


def _privileges(client: Client, of: Deployment, topologies: Sequence[Topology], who: str, version: int) -> list[Row]:
    rows = []
    _, config = storage_check.template(client, of)
    asked = privileges.wanted(of, topologies, version, zones(client), config)
    for path, names in asked.items():
        held: Any = client.get("/access/permissions", {"path": path})  # Any: JSON
        above = held if isinstance(held, dict) else {}
        mine = {name for at, held in above.items() if at == "/" or f"{path}/".startswith(f"{at}/") for name in held}
        missing = [each for each in names if each not in mine]
        what = f"privileges on {path}"
        if missing:
            command = "\n".join(privileges.given(path, names, who, version))
            rows.append(Row(what, "missing", ", ".join(missing), command))
        else:
            rows.append(Row(what, "there"))
    return rows


def _firewall(client: Client) -> Row:
    """The cluster's, without which no rule of a VM is evaluated."""
    what = "the cluster's firewall"
    try:
        options = client.get("/cluster/firewall/options")
    except PveFault as error:
        return Row(what, "not seen", error.said)
    if int(options.get("enable") or 0):
        return Row(what, "there")
    return Row(what, "missing", "it is off, so that a VM's rules would not be evaluated: Datacenter, Firewall, "
               "Options; see first that it lets you in")  # fmt: skip


def _node(known: _Nodes, node: str) -> Row:
    if node not in known:
        return Row(f"node {node}", "missing", f"the cluster has {', '.join(sorted(known))}")
    state = known[node].get("status")
    online = state == "online"
    return Row(f"node {node}", "there" if online else "missing", "" if online else f"it is {state}")


def _cpus(known: _Nodes, node: str, of: Deployment, kind: Kind) -> list[Row]:
    """More than the node has, and the VM does not start; [] where they are fine, or not seen."""
    count = int(known[node].get("maxcpu") or 0)
    named = [int(each) for cpus in of.affinity for each in re.split("[,-]", cpus)]
    what = f"CPUs of {node}"
    if kind == "lxc" and named:
        return [Row(what, "missing", "Proxmox VE pins no container to CPUs of a choice: leave `affinity` out")]
    if count and kind == "qemu" and of.cores > count:
        return [Row(what, "missing", f"it has {count}, and a VM is to have {of.cores} (cores)")]
    if count and named and max(named) >= count:
        return [Row(what, "missing", f"it has 0 to {count - 1}, and a VM is to be pinned to {max(named)} (affinity)")]
    return []


def _shell(node: str, of: Deployment, kind: Kind, shells: Collection[str]) -> list[Row]:
    """Its SSH, where something goes over it."""
    whys = (
        (of.jump, "the guests are reached through it (jump: on)"),
        (bool(of.affinity), "only root there may pin a VM to CPUs (affinity)"),
        (kind == "lxc", "a container tells its host key through its node (pct exec)"),
    )
    why = next((words for wanted, words in whys if wanted), "")
    if not why:
        return []
    what = f"SSH of {node}"
    if node in shells:
        return [Row(what, "there")]
    return [Row(what, "missing", f"{why}; in the cluster's file: nodes: {{{node}: {{ssh: ssh://root@{node}}}}}")]


def _on(client: Client, node: str, bridges: Mapping[str, _Asked]) -> list[Row]:
    """The bridges of a node."""
    if not bridges:
        return []
    try:
        rows = client.get(f"/nodes/{node}/network", {"type": "any_bridge"})
    except PveFault as error:
        return [Row(f"bridge {name} on {node}", "not seen", error.said) for name in bridges]
    return [_bridge(rows, node, name, asked) for name, asked in bridges.items()]


def _bridge(rows: Sequence[Mapping[str, Any]], node: str, bridge: str, asked: _Asked) -> Row:
    what = f"bridge {bridge} on {node}"
    found = next((row for row in rows if row.get("iface") == bridge), None)
    if found is None:
        known = ", ".join(str(row.get("iface")) for row in rows)
        return Row(what, "missing", f"there are {known or 'none that may be seen'}")
    mtu = int(found.get("mtu") or 0)  # none is its ports', or an SDN zone's: not in this answer
    if 0 < mtu < asked.mtu:
        return Row(what, "missing", f"its MTU of {mtu} is below the plan's {asked.mtu}: a VM would not start")
    plain = found.get("type") == "bridge" and not found.get("bridge_vlan_aware")
    if plain and asked.tagged:
        tagged = asked.tagged[0]
        why = f"it is not VLAN-aware, and the path has {tagged}"
        if tagged.startswith("tag"):  # PVE::Network::activate_bridge_vlan
            why += f": Proxmox VE would make a bridge {bridge}v{tagged.split()[1]} and a VLAN device there, which stay"
        return Row(what, "missing", f"{why}. In the node's network: bridge-vlan-aware yes")
    if not mtu and asked.mtu > _USUAL_MTU:
        return Row(what, "not seen", f"its configuration says no MTU, and the plan's is {asked.mtu}")
    vids = str(found.get("bridge_vids") or "")
    if outside := [each for each in asked.tagged if vids and not _vlans(each) <= _vlans(vids)]:
        why = f"its ports pass VLANs {vids} alone (bridge-vids), and the path has {', '.join(outside)}"
        return Row(what, "missing" if asked.apart else "there", f"{why}: no way out of the node")
    return Row(what, "there")


def _vlans(words: str) -> frozenset[int]:
    """Those of "tag 5", "trunks 10;20-30" or a bridge's "2 4 100-200"."""
    found = re.findall(r"(\d+)(?:-(\d+))?", words)
    return frozenset(vlan for first, last in found for vlan in range(int(first), int(last or first) + 1))


def _quorum(client: Client) -> list[Row]:
    """That the cluster has one, without which nothing is made; [] for a single node, and where that may not be seen."""
    try:
        rows = client.get("/cluster/status")
    except errors.Forbidden:
        return []
    found = next((row for row in rows if row.get("type") == "cluster"), None)
    if found is None:
        return []
    what = f"quorum of cluster {found.get('name')}"
    if int(found.get("quorate") or 0):
        return [Row(what, "there")]
    online = sum(int(row.get("online") or 0) for row in rows if row.get("type") == "node")
    why = f"{online} of {found.get('nodes')} nodes are online: nothing can be made or changed"
    return [Row(what, "missing", why, "pvecm status")]


def _source(client: Client, of: Deployment) -> list[Row]:
    if of.source.isdigit():
        return [_template(client, of)]
    return [_row(each) for each in storage_check.image(client, of)]


def _template(client: Client, of: Deployment) -> Row:
    what = f"template {of.source}"
    found = storage_check.resource(client, of.source)
    if found is None:
        return Row(what, "not seen", "there is none, or VM.Audit on it is missing")
    kind: Kind = "lxc" if found.get("type") == "lxc" else "qemu"
    if not found.get("template"):
        tool = "pct" if kind == "lxc" else "qm"
        return Row(what, "missing", f"{WORDS[kind]} {of.source} is no template", f"{tool} template {of.source}")
    if kind == "lxc":
        return Row(what, "there")
    try:
        config = client.get(f"/nodes/{found['node']}/qemu/{of.source}/config")
    except errors.Forbidden as error:
        return Row(what, "not seen", error.said)
    if "cloudinit" in " ".join(str(value) for value in config.values()):
        return Row(what, "there")
    return Row(what, "missing", "it has no cloud-init drive, by which a VM gets its key and address",
               f"qm set {of.source} --ide2 {of.storage}:cloudinit")  # fmt: skip


def _pool(client: Client, pool: str) -> Row:
    known = {str(row.get("poolid")) for row in client.get("/pools")}
    return (
        Row(f"pool {pool}", "there") if pool in known else Row(f"pool {pool}", "missing", "", f"pveum pool add {pool}")
    )


def _major(version: str) -> int:
    head = version.partition(".")[0]
    return int(head) if head.isdigit() else 8
