"""The nodes under test VMs, over root SSH where the cluster's file gives it: their devices, and who rides there.

The API tells nothing of sysctls, offloads and queues of a node, nor of its CPUs: without SSH they are not seen. With it
a node is a machine that stands (bench.labs.hosts): its changes are guarded, and devices on which others ride refused.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from bench.facts import irqs, pve_firewall, riding
from bench.facts.riding import Riding
from bench.facts.roles import GUEST_KINDS, Stack
from bench.hosts.host import Host
from bench.hosts.ssh import connected
from bench.labs.guests import BACKEND
from bench.labs.hosts import devices_fit, kept, near
from bench.labs.inventory import Machine
from bench.labs.lab import ENDS, Lab, PathDevice
from bench.labs.standing import LabBroken
from bench.pve import shared_links
from bench.pve.deployment import Cluster
from bench.pve.machines import Made
from bench.pve.shared_links import Leaving

_GRACE_S = 30.0  # beyond a trial's own time, as for machines of an inventory
_OTHERS = ("corosync", "storage", "migration")  # what a VM's traffic may hurt on a link that it shares by design
_UNSEEN = (
    "Of {nodes} and of what else it carries only the VMs' own view is in the numbers: its softirq, the threads that "
    "carry the VMs' packets (vhost), drops at its taps and what it took from the VMs (steal) were not seen, and its "
    "settings were neither read nor turned. `nodes:` in the cluster's file gives SSH to it."
)
_SEEN = (
    "{nodes} was read over SSH: CPU figures are those of the whole of {machine}, with all else that it carried; every "
    "change there was guarded by itself."
)


def notes(nodes: Sequence[str], cluster: Cluster) -> tuple[str, ...]:
    """What of the nodes is in the results, and what is not."""
    seen = [each for each in dict.fromkeys(nodes) if each in cluster.nodes]
    unseen = [each for each in dict.fromkeys(nodes) if each not in cluster.nodes]
    said = [_SEEN.format(nodes=" and ".join(seen), machine=seen[0])] if seen else []
    return (*said, *([_UNSEEN.format(nodes=" and ".join(unseen))] if unseen else []))


def host_name(node: str) -> str:
    """What a node is called in a lab: as Proxmox VE calls it, unless an end has that name."""
    return f"node-{node}" if node in ENDS else node


def owned(of: Made) -> tuple[str, ...]:
    """The devices of its measured NIC, from it outwards, as PVE::Network names them; the firewall's may be absent."""
    at, tap = f"{of.vmid}i{of.nic}", "veth" if of.kind == "lxc" else "tap"
    return f"{tap}{at}", f"fwbr{at}", f"fwln{at}", f"fwpr{of.vmid}p{of.nic}"


def passed(stack: Stack, of: Made) -> tuple[str, ...]:
    """What its traffic passes on its node, the bridge last; () where it has no tap there. Open vSwitch hides its.

    Without the firewall's own bridge the tap is a port of the bridge itself.
    """
    found = [each for each in owned(of) if each in stack.links]
    if not found or found[0] != owned(of)[0]:
        return ()
    master = stack.links[found[-1]].master
    known = master in stack.links and stack.links[master].kind == "bridge"
    return (*found, master) if known else tuple(found)


def uplink(stack: Stack, bridge: str) -> str:
    """The one port by which a bridge leads out of its node; "" where there is none, or where there are several."""
    ports = [each for each in sorted(stack.ports(bridge)) if stack.links[each].kind not in GUEST_KINDS]
    return ports[0] if len(ports) == 1 else ""


def outward(stack: Stack, bridge: str) -> tuple[str, ...]:
    """Every device that load may pass which leaves its node by a bridge: all its ways out, and what they lie on.

    SDN leads one bridge into another by a pair of its own: ln_NAME and pr_NAME (PVE::Network::SDN::Zones).
    """
    found: dict[str, None] = {}
    bridges = [bridge]
    for at in bridges:
        for port in sorted(stack.ports(at)):
            pair = {"ln_": "pr_", "pr_": "ln_"}.get(port[:3], "") + port[3:]
            if pair != port[3:] and pair in stack.links:
                bridges += [master for master in (stack.links[pair].master,) if master and master not in bridges]
            ours = [each for each in (port, *sorted(stack.below(port))) if stack.links[each].kind not in GUEST_KINDS]
            found |= dict.fromkeys(ours if port in ours else ())
    return tuple(found)


@contextlib.contextmanager
def seen(
    lab: Lab, made: Sequence[Made], cluster: Cluster, *, trial_s: float, settings: Collection[str] = (),
    share_pct: float = 0.0,
) -> Iterator[Lab]:  # fmt: skip
    """The lab with those nodes that are reached by SSH. Raises LabBroken, HostFault, NotAble; as it is without any.

    With `share_pct` load may pass links that others use (shared_links).

    `settings`: what a plan changes of the VMs' NICs. Where that is the firewall its own devices come and go.
    """
    with contextlib.ExitStack() as stack:
        bare, told = _reached(stack, made, cluster)
        if share_pct and (silent := [vm.node for vm in made if vm.node not in bare]):
            raise LabBroken(f"{', '.join(silent)} is not reached by SSH: nobody would watch the link that is shared")
        found = _devices(made, bare, told, settings)
        yield _with(lab, found, made, cluster, bare, told, trial_s, share_pct) if bare else lab


@contextlib.contextmanager
def counted(pairs: Sequence[tuple[Made, Made]], cluster: Cluster) -> Iterator[Mapping[str, Host]]:
    """Of the nodes under pairs of guests those that are reached by SSH, by name: they are read, and not turned.

    Raises LabBroken where load between two nodes would pass a link that carries what a cluster lives on, HostFault,
    NotAble.
    """
    with contextlib.ExitStack() as stack:
        bare, told = _reached(stack, [vm for pair in pairs for vm in pair], cluster)
        for pair in pairs:
            _devices(pair, bare, told)  # raises for a VM without a tap
        for node, host in bare.items():
            loaded = [device for pair in pairs for device in _leaving(node, pair, told[node].stack)]
            machine = replace(cluster.machines[node], name=host.name)
            _not_needed_by_others(machine, told[node], loaded)
        yield bare


def _reached(
    stack: contextlib.ExitStack, made: Sequence[Made], cluster: Cluster
) -> tuple[dict[str, Host], dict[str, Riding]]:
    """The nodes by SSH, until `stack` closes, and what rides there. Raises HostFault, NotAble."""
    bare: dict[str, Host] = {}
    told: dict[str, Riding] = {}
    for node in dict.fromkeys(vm.node for vm in made if vm.node in cluster.nodes):
        bare[node] = stack.enter_context(connected(host_name(node), cluster.nodes[node]))
        riding.able(bare[node])
        ours = [device for vm in made if vm.node == node for device in owned(vm)]
        told[node] = riding.asked(bare[node], ours)
    return bare, told


def _with(
    lab: Lab, found: Sequence[tuple[str, str]], made: Sequence[Made], cluster: Cluster, bare: Mapping[str, Host],
    told: Mapping[str, Riding], trial_s: float, share_pct: float,
) -> Lab:  # fmt: skip
    machines = {
        node: replace(
            cluster.machines[node], name=bare[node].name,
            devices=tuple(dict.fromkeys(device for at, device in found if at == node)),
        )
        for node in bare
    }  # fmt: skip
    leaving = []
    for node, machine in machines.items():
        up = devices_fit(bare[node], machine, lab.topology)
        loaded = _leaving(node, made, told[node].stack, lab.topology.peer)
        leaving.append(Leaving(bare[node], machine, told[node], loaded, up))
        if not share_pct:
            _not_needed_by_others(
                machine, told[node], loaded, "`nettune run --shared-link`, which holds load to a share of it, "
            )
    lab = shared_links.held(lab, leaving, share_pct) if share_pct else lab
    a, b = lab.path[0], lab.path[-1]
    between = [
        PathDevice(bare[node], device, counts=told[node].stack.links[device].kind != "bridge") for node, device in found
    ]
    first = made[0].node
    ours = frozenset(device for vm in made for device in owned(vm))
    return replace(
        lab,
        nodes=tuple(bare.values()),
        path=(a, *between, b),
        machine=bare.get(first, lab.machine),
        pid_files=tuple(
            f"/run/qemu-server/{vm.vmid}.pid" for vm in made if vm.node == first and first in bare and vm.kind == "qemu"
        ),
        guard_s=trial_s + _GRACE_S,
        made=frozenset(end.host.name for end in lab.endpoints),
        remade=ours,
        # What a bridge carries does not come through the ports of VMs that were made a moment ago.
        roles={
            machines[node].name: [each for each in kept(machines[node], told[node].ridden) if each.device not in ours]
            for node in bare
        },
        scope={machines[node].name: near(machines[node].devices, told[node].stack) for node in bare},
        interrupts=frozenset(host.name for host in bare.values() if not host.run(irqs.BALANCER).ok),
        of_pve={host.name: () for host in bare.values() if host.run(pve_firewall.IS_NODE).ok},
        told={**lab.told, **{f"node {node}": ", ".join(machines[node].devices) for node in bare}},
    )


def _devices(
    made: Sequence[Made], bare: Mapping[str, Host], told: Mapping[str, Riding], settings: Collection[str] = ()
) -> tuple[tuple[str, str], ...]:
    """(node, device) from a to b, each once. Raises LabBroken for a VM without a tap."""
    sides: list[list[tuple[str, str]]] = []
    for vm in made:
        if vm.node not in bare:
            sides.append([])
            continue
        stack = told[vm.node].stack
        side = passed(stack, vm)
        if not side:
            raise LabBroken(
                f"on {vm.node}: there is no device {owned(vm)[0]}, which {vm} should have",
                hint="is the SSH of that node in the cluster's file another machine's?",
            )
        if {"vm-firewall", BACKEND} & set(settings):
            side = tuple(each for each in side if each not in owned(vm)[1:])
        out = uplink(stack, side[-1]) if len({each.node for each in made}) > 1 else ""
        sides.append([(vm.node, device) for device in (*side, *([out] if out else []))])
    ordered = [*sides[0], *(each for side in sides[1:] for each in reversed(side))]
    return tuple(dict.fromkeys(ordered))


def _leaving(node: str, made: Sequence[Made], stack: Stack, peer: str = "") -> tuple[str, ...]:
    """What load between those VMs passes on its way out of a node; () where none leaves it.

    `peer`: b's bridge, into which a's node leads what comes from another network.
    """
    if len({vm.node for vm in made}) == 1:
        return ()
    bridges = [side[-1] for vm in made if vm.node == node and (side := passed(stack, vm))]
    return tuple(dict.fromkeys(device for each in (*bridges, peer) for device in outward(stack, each)))


def _not_needed_by_others(machine: Machine, told: Riding, loaded: Collection[str], instead: str = "") -> None:
    """No load on a way out of a node that carries what a cluster lives on. Raises LabBroken naming it and who that is.

    Bridges are left out: what they carry besides does not come through the ports that load passes, or rides there too.
    `instead`: what else whoever asked may do.
    """
    for role in told.ridden:
        bridge = told.stack.links[role.device].kind == "bridge"
        if role.device in loaded and not bridge and role.role in _OTHERS and role.role not in machine.allow:
            raise LabBroken(
                f"on {machine.name}: {role.device} carries {role.role}, and load between the VMs would pass it: "
                f"{role.why}",
                hint=f"a bridge of its own, VMs on one node, {instead}or of {machine.name} in the cluster's file: "
                f"allow: [{role.role}]",
            )
