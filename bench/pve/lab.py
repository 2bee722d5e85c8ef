"""A Lab of two guests that Proxmox VE makes for it, VMs or containers: deployed, reached over SSH, seen to be up."""

import contextlib
import functools
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from bench.hosts.command import Command, HostFault
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.labs import keys, sharing
from bench.labs.guests import BACKEND
from bench.labs.lab import ENDS, Endpoint, Lab, PathDevice
from bench.labs.standing import LabBroken, check
from bench.labs.topology import Topology
from bench.pve import containers, deploying, images, link_check, networks, nodes, preflight, room, shells
from bench.pve.client import Client
from bench.pve.deploying import KINDS, deployed
from bench.pve.deployment import DHCP, Cluster, Deployment, load, net
from bench.pve.errors import PveFault
from bench.pve.guarding import Guards
from bench.pve.machines import Made
from bench.pve.ownership import WORDS
from bench.pve.reached import Nic, apart, free, inner, leased, nic, reached, tells, unshared
from bench.pve.shells import NodeShells
from bench.pve.vnics import Vnics
from bench.pve.wanted import Wanted
from bench.pve.wire import Https
from results.errors import NotAble

_UP_S = 30.0  # for addresses, once the guest answers
_SETTLED_S = 300.0
# cloud-init may go on long after sshd answers, and would be measured too.
_SETTLED = "command -v cloud-init >/dev/null || exit 0; cloud-init status --wait >/dev/null; true"
_End = tuple[Endpoint, Nic]
_THROUGH = "the guests are reached through their node (jump: on)"
_NOTE = "Measured between test VMs that Proxmox VE made for it and removed again."


def notes(of: Deployment, share_pct: float = 0.0) -> tuple[str, ...]:
    """What a result from here says of other machines, and what it cannot."""
    held = (sharing.note(share_pct),) if share_pct else ()
    cluster = load(of.cluster)
    return (_NOTE, *nodes.notes(of.placed, cluster), *link_check.notes([of.placed], cluster), *held)


def fit(of: Deployment, paths: int) -> None:
    """The nodes have memory for so many paths, which stand at the same time. Raises NotAble, PveFault, WrongInput."""
    room.check(Client(Https(load(of.cluster).access)), of, [of.placed] * paths, "paths")


def reap(kind: str, line: str, guards: Guards) -> bool | str:
    """Remove what a line of a dead run's lease names; False where nothing of ours is there. `guards`: for networks.

    Raises PveFault, HostFault, WrongInput; NotAble for a kind that this version does not make.
    """

    def cluster_at(path: Path) -> Client:
        return Client(Https(load(path).access))

    if kind in KINDS:
        return deploying.reap(kind, line, cluster_at)
    if kind in images.KINDS:
        return images.reap(kind, line, cluster_at, lambda path: shells.opened(load(path).nodes))
    if kind == networks.KIND:
        return networks.reap(line, lambda path: way_of(path, guards))
    raise NotAble(f"{line} is a {kind}, which this nettune does not make", hint="reap with the newer one")


def way_of(path: Path, guards: Guards) -> networks.Way:
    """The way to the cluster in a file. Raises WrongInput."""
    cluster = load(path)
    return networks.Way(Client(Https(cluster.access)), cluster.nodes, guards)


@contextlib.contextmanager
def standing(
    topology: Topology, of: Deployment, *, leases_folder: Path, trial_s: float, guards: Guards | None = None,
    say: Callable[[str], None] = lambda _: None, share_pct: float = 0.0,
) -> Iterator[Lab]:  # fmt: skip
    """The Lab; its guests are gone when the block ends, and networks that were made for them. `guards`: for those.

    `say` is told what is about to be applied for them.
    `trial_s` is the longest that one trial may take: a node puts itself back later than that. With `share_pct` load
    may pass links that others use, at most at that share of the slowest.
    Raises PveFault, LabBroken, HostFault, NotAble.
    """
    cluster = load(of.cluster)
    client = Client(Https(cluster.access))
    with keys.leased(leases_folder) as folder, contextlib.ExitStack() as stack:
        pair, key = keys.client(folder), folder / keys.CLIENT
        by = stack.enter_context(shells.opened(cluster.nodes))
        links = _allowed(client, topology, of, cluster, by, say)
        sources = dict.fromkeys(of.nodes, of.source)
        if of.source.startswith("/"):
            brought = images.brought(client, by, Path(of.source), of.image_storage, of.nodes,
                                     leases_folder=leases_folder, cluster=of.cluster)  # fmt: skip
            sources = dict(stack.enter_context(brought))
        nets = stack.enter_context(_networks(topology, of, client, cluster, guards, leases_folder, say))
        made = stack.enter_context(
            deployed(client, wanted(topology, of, sources, pair.public), leases_folder=leases_folder,
                     cluster=of.cluster, by=by)
        )  # fmt: skip
        told = {"Proxmox VE": str(client.get("/version").get("version", "")), **networks.told(nets), **links}
        found: list[_End] = []
        taken: list[str] = []
        for end, vm, address in zip(ENDS, made, _reached_by(topology), strict=False):
            host = _entered(stack, client, by, of, key, (end, vm, address), taken)
            config = client.get(f"{vm.path}/config")
            found.append(measured(topology, host, vm, config, len(found)))
            told |= told_of(vm, config, found[-1][1])
            told |= {f"firewall of {vm.node}": _backend(client, vm.node)} if "firewall" in dict(topology.net) else {}
        ends = tuple(each for each, _ in found)
        several = bool(of.management or topology.device)
        if several:
            apart([each.host for each in ends])
        _routed(topology, ends)
        lab = Lab(
            topology=topology,
            endpoints=ends,
            nodes=(),
            path=tuple(PathDevice(each.host, each.device) for each in ends),
            machine=ends[0].host,
            told=told,
        )
        check(lab, within_s=_UP_S)
        _mtu_is(lab)
        for mine, other in ((0, 1), (1, 0)):
            unshared(ends[mine].host, ends[mine].device, ends[other].address, found[other][1].mac, str(made[other]))
        if of.settings and (of.settings != (BACKEND,) or all(vm.kind == "qemu" for vm in made)):
            settle = functools.partial(_settled, lab, of.ready_s, several=several)
            lab = replace(lab, restarting=Vnics(client, dict(zip(ENDS, made, strict=False)), settle))
        yield stack.enter_context(
            nodes.seen(lab, made, cluster, trial_s=trial_s, settings=of.settings, share_pct=share_pct)
        )


def _allowed(
    client: Client, topology: Topology, of: Deployment, cluster: Cluster, by: NodeShells, say: Callable[[str], None]
) -> Mapping[str, str]:
    """Asked before anything is made; what is to be kept of links that nobody sees. Raises as `standing`."""
    preflight.refuse(client, of, topology, cluster.nodes)
    links = link_check.told(client, [of.placed], [topology], cluster)
    for what, why in links.items():
        say(f"{what}: {why}")
    evaluated(client, topology)
    _free(topology, of, by)
    return links


def _entered(
    stack: contextlib.ExitStack, client: Client, by: NodeShells, of: Deployment, key: Path,
    guest: tuple[str, Made, str], taken: list[str],
) -> Host:  # fmt: skip
    """A guest over SSH, at its address or its lease's; `taken` are those of the guests before, and then this one's."""
    end, vm, address = guest
    lease = functools.partial(leased, client, vm, of.ready_s) if address == DHCP else None
    at = lease() if lease else str(ip_interface(address).ip)
    if at in taken:
        hint = "one machine id, one lease: /etc/machine-id of the template is to be empty"
        raise LabBroken(f"{vm} and the other VM have one lease, {at}", hint=hint)
    taken.append(at)
    login = Login(at, keys=(key,), jump=jump(of, by, vm.node))
    return stack.enter_context(reached(end, vm, login, tells(client, by, vm, of.ready_s), of.ready_s, lease))


def _settled(lab: Lab, ready_s: float, *, several: bool) -> None:
    """The VMs are up again, and what they do at their start is over; `several`: NICs. Raises LabBroken, NotAble."""
    until = time.monotonic() + ready_s
    for end in lab.endpoints:
        while True:
            try:
                end.host.run(Command(("sh", "-c", _SETTLED), deadline_s=_SETTLED_S)).require()
                break
            except HostFault as error:
                if time.monotonic() > until:
                    raise LabBroken(f"VM {end.host.name} was started anew, and is not reached: {error}") from error
            time.sleep(1.0)
    if several:
        apart([end.host for end in lab.endpoints])
    check(lab, within_s=_UP_S)


def measured(topology: Topology, host: Host, vm: Made, config: Mapping[str, Any], number: int) -> _End:
    """An endpoint once its first boot is over, and the NIC that it is measured by. Raises LabBroken, HostFault."""
    host.run(Command(("sh", "-c", _SETTLED), deadline_s=_SETTLED_S))
    address = topology.addresses[number]
    found = nic(host, vm, config, f"net{vm.nic}")
    if topology.inner:
        address = topology.inner[number]
        found = inner(host, vm, config, found, topology, address)
    return Endpoint(host, found.device, str(ip_interface(address).ip)), found


def _networks(
    topology: Topology,
    of: Deployment,
    client: Client,
    cluster: Cluster,
    guards: Guards | None,
    leases_folder: Path,
    say: Callable[[str], None],
) -> AbstractContextManager[tuple[networks.Made, ...]]:
    asked = networks.wanted(topology, of.placed)
    if not asked:
        return contextlib.nullcontext(())
    if guards is None:
        raise LabBroken(f"{topology.name} makes a network, and whoever stands it gives no guards for the nodes")
    way = networks.Way(client, cluster.nodes, guards, say)
    return networks.standing(way, asked, leases_folder=leases_folder, cluster=of.cluster)


def wanted(topology: Topology, of: Deployment, sources: Mapping[str, str], key: str) -> list[Wanted]:
    """The guests a and b of a path; `sources`: by node, what they are made of; `key`: public, of whoever logs in."""
    return [
        Wanted(f"nettune-{end}", node, sources[node], of.storage, _nics(topology, of, number), key, of.gateway,
               of.cores, of.memory_mb, of.pool, cpus, of.ready_s, topology.rules)
        for number, (end, node, cpus) in enumerate(zip(ENDS, of.placed, of.pinned, strict=False))
    ]  # fmt: skip


def _nics(topology: Topology, of: Deployment, number: int) -> tuple[tuple[str, str], ...]:
    """Of the guest with that number: the one by which it is reached, where it has one for that; the measured one."""
    measured = (net(topology, ENDS[number]), topology.addresses[number])
    if not of.management:
        return (measured,)
    tag = f",tag={of.management_tag}" if of.management_tag else ""
    return (f"virtio,bridge={of.management}{tag}", topology.reached[number]), measured


def _reached_by(topology: Topology) -> tuple[str, ...]:
    return topology.reached or topology.addresses


def evaluated(client: Client, topology: Topology) -> None:
    """Raises NotAble where the rules of a guest's firewall would be none: the cluster's is off."""
    if topology.rules and not int(client.get("/cluster/firewall/options").get("enable") or 0):
        raise NotAble("the cluster's firewall is off: a VM's rules would not be evaluated",
                      hint="Datacenter, Firewall, Options; see first that it lets you in; or no rules")  # fmt: skip


def _routed(topology: Topology, ends: Sequence[Endpoint]) -> None:
    """A's way to b where that is on another network; b answers whoever stands there for a. Raises HostFault."""
    if topology.peer:
        a, b = ends
        a.host.run(Command(("ip", "route", "replace", b.address, "via", topology.gateway, "dev", a.device))).require()


def _backend(client: Client, node: str) -> str:
    """What evaluates its rules."""
    try:
        options = client.get(f"/nodes/{node}/firewall/options")
    except PveFault as error:
        return f"not seen: {error.said}"
    return "nftables" if int(options.get("nftables") or 0) else "iptables"


def _free(topology: Topology, of: Deployment, by: NodeShells) -> None:
    """Nobody has the guests' addresses, as far as it answers a ping. Raises LabBroken."""
    local = Local()
    if of.leased:  # its server sees to that
        return
    for end, node, address in zip(ENDS, of.placed, _reached_by(topology), strict=False):
        run = local.run if not of.jump else functools.partial(by.run, node, why=_THROUGH)
        free({f"nettune-{end}": str(ip_interface(address).ip)}, run)


def jump(of: Deployment, by: NodeShells, node: str) -> Login | None:
    """The node by which a guest on it is reached. Raises NotAble where its SSH is not known."""
    return by.login(node, _THROUGH) if of.jump else None


def _mtu_is(lab: Lab) -> None:
    """The guests' NICs have the plan's MTU. Raises LabBroken."""
    sheets = lab.read()
    for each in lab.path:
        actual = sheets[each.host.name].facts.get(f"link/{each.device}/mtu")
        if actual != str(lab.topology.mtu):
            said = f"{each.host.name}/{each.device} has an MTU of {actual}, the plan's path {lab.topology.mtu}"
            raise LabBroken(said, hint="does cloud-init or the template set another one?")


def told_of(vm: Made, config: Mapping[str, Any], measured: Nic) -> Mapping[str, str]:  # Any: JSON
    """What the run keeps of a guest: its place, its CPUs and NIC, what of it is measured, and what is not."""
    word = WORDS[vm.kind]
    cpus = f"{config.get('cores')} CPUs" + (f" on CPUs {config['affinity']}" if config.get("affinity") else "")
    nics = "; ".join(f"{key} {value}" for key, value in sorted(config.items()) if re.fullmatch(r"net\d+", key))
    facts = {f"{word} {vm.name}": f"{vm.vmid} on {vm.node}, {cpus}, {nics}"}
    passed = ", ".join(f"{key}={value}" for key, value in sorted(config.items()) if key.startswith("hostpci"))
    if measured.told not in nics:
        facts[f"{word} {vm.name} measured"] = f"{measured.device}: {measured.told}"
    elif passed:
        facts[f"{word} {vm.name} not measured"] = f"what is passed through to it ({passed}): name it as `device`"
    return facts | ({f"{word} {vm.name} warned": "; ".join(vm.notes)} if vm.notes else {})


def commands(topology: Topology, of: Deployment) -> list[tuple[str, str]]:
    """(node, line) of what would be asked of the API, for `--dry-run`."""
    said = f"import {of.source} to {of.storage}"
    if of.source.isdigit():
        said = f"clone template {of.source}"
    elif containers.archive(of.source):
        said = f"unpack {of.source} to {of.storage}"
    elif of.source.startswith("/"):
        said = f"bring {of.source} to {of.image_storage} or the node, import it to {of.storage}"
    found = networks.commands(topology, of.placed)
    for number, each in enumerate(wanted(topology, of, dict.fromkeys(of.nodes, of.source), "")):
        nics = {f"net{n}": f"{nic}, address {address}" for n, (nic, address) in enumerate(each.nics)}
        nics = containers.nics(each) if containers.archive(of.source) else nics
        pinned = f" on CPUs {each.affinity}" if each.affinity else ""
        sized = f"{of.cores} CPUs{pinned}, {of.memory_mb} MB"
        told = ", ".join(f"{key} {nic}" for key, nic in nics.items())
        found.append((each.node, f"{said}: {each.name}, {sized}, {told}"))
        if topology.inner:
            what = f"VLAN {topology.vlan_id} on net0" if topology.vlan_id else f"{topology.device}, passed through"
            found.append((each.name, f"{what}: address {topology.inner[number]}"))
    return found
