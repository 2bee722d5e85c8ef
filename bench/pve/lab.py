"""A Lab of two VMs that Proxmox VE makes for it: deployed, reached by SSH with the host key that its agent told."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_interface
from pathlib import Path

from bench.hosts.command import Command, HostFault
from bench.hosts.login import Login
from bench.hosts.ssh import Ssh, connected
from bench.labs.keys import KeyPair
from bench.labs.lab import ENDS, Endpoint, Lab, PathDevice
from bench.labs.standing import LabBroken, check
from bench.labs.topology import Topology
from bench.pve.client import Client
from bench.pve.deploying import deployed
from bench.pve.deployment import Cluster, Deployment, load, net
from bench.pve.errors import PveFault
from bench.pve.machines import Made, Wanted
from bench.pve.wire import Https, Value
from results.errors import NotAble

_HOST_KEY = ("cat", "/etc/ssh/ssh_host_ed25519_key.pub")
_READY_S, _UP_S = 300.0, 30.0  # a first boot with cloud-init, a minute on a busy node; then its addresses
# cloud-init may go on long after sshd answers, and would be measured too.
_SETTLED = "command -v cloud-init >/dev/null || exit 0; cloud-init status --wait >/dev/null; true"
NOTE = (
    "Measured between test VMs that Proxmox VE made for it and removed again. Of the node and of what else it carries "
    "only the VMs' own view is in the numbers: its settings were neither read nor turned."
)


def client_of(path: Path) -> Client:
    """A Client of the cluster in a file. Raises WrongInput."""
    return Client(Https(load(path).access))


@contextlib.contextmanager
def standing(topology: Topology, of: Deployment, *, leases_folder: Path) -> Iterator[Lab]:
    """The Lab; its VMs are gone when the block ends. Raises PveFault, LabBroken, HostFault."""
    cluster = load(of.cluster)
    client = Client(Https(cluster.access))
    addresses = topology.addresses or of.addresses
    pair = KeyPair.made()
    with tempfile.TemporaryDirectory(prefix="nettune-pve-") as folder, contextlib.ExitStack() as stack:
        key = Path(folder, "key")
        key.touch(mode=0o600)
        key.write_bytes(pair.private)
        wanted = [
            Wanted(f"nettune-{end}", node, of.source, of.storage, net(topology), pair.public, address, of.gateway,
                   of.cores, of.memory_mb, of.pool)
            for end, node, address in zip(ENDS, of.placed, addresses, strict=False)
        ]  # fmt: skip
        made = stack.enter_context(deployed(client, wanted, leases_folder=leases_folder, cluster=of.cluster))
        ends = []
        for end, vm, address in zip(ENDS, made, addresses, strict=False):
            plain = str(ip_interface(address).ip)
            login = Login(plain, keys=(key,), pinned=_host_key(client, vm), jump=_jump(of, cluster, vm.node))
            host = stack.enter_context(_reached(end, login, vm))
            host.run(Command(("sh", "-c", _SETTLED), deadline_s=_READY_S))
            ends.append(Endpoint(host, _device(client, vm, host), plain))
        lab = Lab(
            topology=topology,
            endpoints=tuple(ends),
            nodes=(),
            path=tuple(PathDevice(each.host, each.device) for each in ends),
            machine=ends[0].host,
            told=_told(client, made),
        )
        check(lab, within_s=_UP_S)
        _mtu_is(lab)
        yield lab


def _host_key(client: Client, vm: Made) -> str:
    """The VM's public host key, by its agent: a way that nobody on the VM's network is on. Raises LabBroken."""
    path, until = f"/nodes/{vm.node}/qemu/{vm.vmid}/agent", time.monotonic() + _READY_S
    said = ""
    while time.monotonic() < until:
        try:
            text = _run(client, path, _HOST_KEY, until)
        except PveFault as error:
            said = error.said
            if "No QEMU guest agent configured" in said:
                break
            time.sleep(1.0)
            continue
        if words := text.split():
            return " ".join(words[:2])
        said = f"{' '.join(_HOST_KEY)} printed nothing"
        time.sleep(1.0)
    raise LabBroken(
        f"VM {vm.vmid} ({vm.name}) on {vm.node} does not tell its host key by its agent in {_READY_S:g} s: {said}",
        hint="is qemu-guest-agent in the template, and is guest-exec allowed there? "
             f"The VM's console: qm terminal {vm.vmid}",
    )  # fmt: skip


def _run(client: Client, path: str, argv: tuple[str, ...], until: float) -> str:
    """What a command prints in a VM. Raises PveFault."""
    command: Value = argv
    try:
        started = client.post(f"{path}/exec", {"command": command})
    except PveFault as error:
        if error.status != 400:
            raise
        started = client.post(f"{path}/exec", {"command": " ".join(argv)})  # Proxmox VE 7 takes one word
    while True:
        status = client.get(f"{path}/exec-status", {"pid": int(started["pid"])})
        if status.get("exited") or time.monotonic() > until:
            return str(status.get("out-data", "")) if not status.get("exitcode") else ""
        time.sleep(0.2)


def _jump(of: Deployment, cluster: Cluster, node: str) -> Login | None:
    if not of.jump:
        return None
    if node not in cluster.nodes:
        raise NotAble(f"the VMs are reached through {node}, and the cluster's file has no SSH of it",
                      hint=f"nodes: {{{node}: {{ssh: ssh://root@{node}}}}}")  # fmt: skip
    return cluster.nodes[node]


@contextlib.contextmanager
def _reached(end: str, login: Login, vm: Made) -> Iterator[Ssh]:
    """A Host over SSH, once it answers. Raises LabBroken naming VM and address."""
    until = time.monotonic() + _READY_S
    with contextlib.ExitStack() as stack:
        while True:
            try:
                host = stack.enter_context(connected(end, login))
                break
            except HostFault as error:
                if time.monotonic() > until:
                    raise LabBroken(
                        f"VM {vm.vmid} ({vm.name}) on {vm.node} is not reached at {login.address}: {error}",
                        hint="is that address free and routed from here? `jump: on` goes through the node",
                    ) from error
            time.sleep(1.0)
        yield host


def _device(client: Client, vm: Made, host: Ssh) -> str:
    """The device that is the VM's net0, by its MAC. Raises LabBroken."""
    config = client.get(f"/nodes/{vm.node}/qemu/{vm.vmid}/config")
    words = dict(word.partition("=")[::2] for word in str(config.get("net0", "")).split(","))
    macs = {value.lower() for value in words.values() if value.count(":") == 5}
    rows = json.loads(host.run(Command(("ip", "-j", "link", "show"))).require().stdout or "[]")
    found = [str(row["ifname"]) for row in rows if str(row.get("address", "")).lower() in macs]
    if len(found) != 1:
        said = f"in VM {vm.vmid} is no device with the MAC of its net0 ({', '.join(macs) or 'none'})"
        raise LabBroken(said, hint="does a bond or bridge in the template take it over? net0 itself is measured")
    return found[0]


def _mtu_is(lab: Lab) -> None:
    """The VMs' NICs have the plan's MTU. Raises LabBroken."""
    sheets = lab.read()
    for each in lab.path:
        actual = sheets[each.host.name].facts.get(f"link/{each.device}/mtu")
        if actual != str(lab.topology.mtu):
            said = f"{each.host.name}/{each.device} has an MTU of {actual}, the plan's path {lab.topology.mtu}"
            raise LabBroken(said, hint="does cloud-init or the template set another one?")


def _told(client: Client, made: tuple[Made, ...]) -> Mapping[str, str]:
    """What the run keeps of the cluster: versions, and each VM's place and NIC."""
    facts = {"Proxmox VE": str(client.get("/version").get("version", ""))}
    for vm in made:
        config = client.get(f"/nodes/{vm.node}/qemu/{vm.vmid}/config")
        facts[f"VM {vm.name}"] = f"{vm.vmid} on {vm.node}, {config.get('cores')} CPUs, {config.get('net0')}"
        facts |= {f"VM {vm.name} warned": "; ".join(vm.notes)} if vm.notes else {}
    return facts


def commands(topology: Topology, of: Deployment) -> list[tuple[str, str]]:
    """(node, line) of what would be asked of the API, for `--dry-run`."""
    said = f"clone template {of.source}" if of.source.isdigit() else f"import {of.source} to {of.storage}"
    return [
        (node, f"{said}: nettune-{end}, {of.cores} CPUs, {of.memory_mb} MB, net0 {net(topology)}, address {address}")
        for end, node, address in zip(ENDS, of.placed, topology.addresses or of.addresses, strict=False)
    ]
