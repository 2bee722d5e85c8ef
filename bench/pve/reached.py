"""A test guest that runs, reached: by SSH with the host key that it told another way, and the device in it.

A VM tells its host key by its agent, a container through its node: ways that nobody on the guests' network is on.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from bench.hosts.command import Command, HostFault, OtherHostKey, Outcome
from bench.hosts.host import Host, ask_everywhere
from bench.hosts.login import Login
from bench.hosts.ssh import Ssh, connected
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology
from bench.pve import containers
from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.machines import Made
from bench.pve.shells import NodeShells

# Linux answers for an address by whichever NIC hears the question, and asks in the name of any of them (ip-sysctl,
# arp_ignore, arp_announce): two NICs on one network would stand for each other. IPv6 asks for a NIC's own alone
# (ndisc_recv_ns). What a peer heard before is forgotten.
_OWN = Command(("sh", "-c", "cd /proc/sys/net/ipv4/conf/all && echo 1 >arp_ignore && echo 2 >arp_announce"))
_FORGET = Command(("ip", "neigh", "flush", "all"))
_HOST_KEY = ("cat", containers.HOST_KEY)
_GONE_S = 3.0
_STEADY_S = 10.0  # cloud-init makes new host keys at a first boot, with sshd and agent up already
Tells = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Nic:
    """The measured device of a guest: its name there, its MAC, and what it is in Proxmox VE's words."""

    device: str
    mac: str
    told: str


def tells(client: Client, by: NodeShells, of: Made, ready_s: float) -> Tells:
    """What asks for a guest's public host key, waiting for it that long. It raises LabBroken, and NotAble."""
    until = time.monotonic() + ready_s

    def asked() -> str:
        said = "nothing"
        while True:
            if of.kind == "lxc":
                key, said = containers.host_key(by, of.node, of.vmid)
                if key:
                    return key
            else:
                try:
                    if words := _run(client, of.path, _HOST_KEY, until).split():
                        return " ".join(words[:2])
                    said = f"{' '.join(_HOST_KEY)} printed nothing"
                except PveFault as error:
                    said = error.said
            if "No QEMU guest agent configured" in said or time.monotonic() > until:
                break
            time.sleep(0.2)
        way = "its agent" if of.kind == "qemu" else "pct exec on its node"
        hint = (
            "is qemu-guest-agent in the template, and is guest-exec allowed there? "
            f"The VM's console: qm terminal {of.vmid}"
            if of.kind == "qemu"
            else f"is sshd in the template? On {of.node}: pct exec {of.vmid} -- ssh-keygen -A"
        )
        raise LabBroken(f"{of} does not tell its host key by {way} in {ready_s:g} s: {said}", hint=hint)

    return asked


def leased(client: Client, of: Made, ready_s: float) -> str:
    """The IPv4 address that a VM's net0 has from DHCP, as its agent tells. Raises LabBroken."""
    if of.kind == "lxc":
        raise LabBroken(f"{of} has no agent to tell its address", hint="addresses: two for each path")
    macs, said = macs_of(client.get(f"{of.path}/config"), "net0"), "nothing"
    until = time.monotonic() + ready_s
    while True:
        try:
            for row in client.get(f"{of.path}/agent/network-get-interfaces").get("result") or ():
                if str(row.get("hardware-address", "")).lower() in macs:
                    said = f"{row.get('name')} without an IPv4 address"
                    for each in row.get("ip-addresses") or ():
                        if each.get("ip-address-type") == "ipv4" and not ip_address(each["ip-address"]).is_link_local:
                            return str(each["ip-address"])
        except PveFault as error:
            said = error.said
        if "No QEMU guest agent configured" in said or time.monotonic() > until:
            break
        time.sleep(0.5)
    raise LabBroken(
        f"{of} has no address from DHCP that its agent tells in {ready_s:g} s: {said}",
        hint="does a DHCP server answer on the management bridge, and is qemu-guest-agent in the template? "
        "Else addresses: two for each path",
    )


@contextlib.contextmanager
def reached(
    end: str, of: Made, login: Login, asked: Tells, ready_s: float, moved: Tells | None = None
) -> Iterator[Ssh]:
    """A Host over SSH, once it answers with the key that it told. Raises LabBroken naming guest and address.

    `moved` tells the address once more, where that may be another by now.
    """
    key, other_since = asked(), 0.0
    until = time.monotonic() + ready_s
    with contextlib.ExitStack() as stack:
        while True:
            try:
                host = stack.enter_context(connected(end, replace(login, pinned=key)))
                break
            except OtherHostKey as error:
                now, told = time.monotonic(), asked()
                if told != key:
                    key, other_since = told, 0.0
                other_since = other_since or now
                if now - other_since > _STEADY_S or now > until:
                    raise LabBroken(
                        f"at {login.address} another machine answers than {of}: {error}",
                        hint="the address is in use: addresses: two that are free",
                    ) from error
            except HostFault as error:
                login = replace(login, address=moved()) if moved else login
                if time.monotonic() > until:
                    raise LabBroken(
                        f"{of} is not reached at {login.address} in {ready_s:g} s: {error}",
                        hint="is that address free and routed from here? `jump: on` goes through the node",
                    ) from error
            time.sleep(0.5)
        yield host


def free(addresses: Mapping[str, str], run: Callable[[Command], Any]) -> None:
    """Nobody answers at a guest's address yet; `run` pings from where it will be reached. Raises LabBroken.

    A guest that was removed a moment ago, as of a search's stage before, may answer once more.
    """
    until = time.monotonic() + _GONE_S
    for name, address in addresses.items():
        while run(Command(("ping", "-n", "-c", "1", "-W", "1", address))).ok:
            if time.monotonic() < until:
                time.sleep(0.5)
                continue
            raise LabBroken(f"{address} is in use: it answers, and {name} does not stand yet",
                            hint="addresses: two that are free")  # fmt: skip


_ASK_ALL = 'for each; do ping -n -c 1 -W 1 "$each" >/dev/null && echo "$each" & done; wait'


def all_free(addresses: Sequence[str], run: Callable[[Command], Outcome]) -> None:
    """As `free`, for many addresses at once. Raises LabBroken naming those that answer."""
    if found := run(Command(("sh", "-c", _ASK_ALL, "sh", *addresses))).stdout.split():
        raise LabBroken(f"in use: {', '.join(found)}: they answer, and no guest of ours stands yet",
                        hint="addresses: those that are free, two for each pair")  # fmt: skip


def apart(guests: Sequence[Host]) -> None:
    """Each NIC of guests with several answers for its own addresses alone. Raises HostFault.

    The guests are ours: it is not put back, and it is in the state that is read of them. A start anew forgets it.
    """
    for command in (_OWN, _FORGET):
        for outcomes in ask_everywhere(dict.fromkeys(guests, (command,))).values():
            outcomes[0].require()


def unshared(host: Host, device: str, peer: str, mac: str, name: str) -> None:
    """To `host`, the peer's address is the peer's own NIC and no other machine's. Raises LabBroken."""
    host.run(Command(("ping", "-n", "-c", "1", "-W", "1", peer)))
    told = host.run(Command(("ip", "-j", "neigh", "show", peer, "dev", device)))
    rows = json.loads(told.stdout or "[]") if told.ok else []
    found = {str(row["lladdr"]).lower() for row in rows if row.get("lladdr")}
    if found and mac.lower() not in found:
        raise LabBroken(
            f"{peer} is in use: on {host.name}/{device} it is {', '.join(sorted(found))}, and {name}'s NIC is {mac}",
            hint="addresses: two that are free",
        )


def nic(host: Host, of: Made, config: Mapping[str, Any], name: str) -> Nic:
    """The device that is the guest's net0, or the one after it, by its MAC. Raises LabBroken."""
    macs = macs_of(config, name)
    rows = json.loads(host.run(Command(("ip", "-j", "link", "show"))).require().stdout or "[]")
    found = [row for row in rows if str(row.get("address", "")).lower() in macs]
    if len(found) != 1:
        said = f"in {of} is no device with the MAC of its {name} ({', '.join(macs) or 'none'})"
        raise LabBroken(said, hint="does a bond or bridge in the template take it over? The NIC itself is measured")
    return Nic(str(found[0]["ifname"]), str(found[0]["address"]), str(config[name]))


def macs_of(config: Mapping[str, Any], name: str) -> frozenset[str]:  # Any: JSON
    """The MAC of a guest's netN; none where it has no such NIC."""
    words = dict(word.partition("=")[::2] for word in str(config.get(name, "")).split(","))
    return frozenset(value.lower() for value in words.values() if value.count(":") == 5)


def inner(host: Host, of: Made, config: Mapping[str, Any], net0: Nic, topology: Topology, address: str) -> Nic:
    """The device that is measured in place of net0: the guest's own VLAN on it, or one that was passed through.

    It gets its address and MTU by us: the guest is ours. Raises LabBroken, HostFault.
    """
    if topology.vlan_id:
        device = f"{net0.device}.{topology.vlan_id}"
        told = f"VLAN {topology.vlan_id} that the guest tags itself, on net0"
        lines = f"link add link {net0.device} name {device} type vlan id {topology.vlan_id}\n"
    else:
        device, lines = topology.device, ""
        passed = [f"{key}={value}" for key, value in sorted(config.items()) if key.startswith("hostpci")]
        if not passed:
            raise LabBroken(f"{of} has no passed-through device (hostpci0), and the plan measures {device}",
                            hint="qm set TEMPLATE --hostpci0 mapping=NAME; without `device`: net0")  # fmt: skip
        driver = host.run(Command(("readlink", f"/sys/class/net/{device}/device/driver"))).stdout.strip()
        told = f"passed through: {', '.join(passed)}, driver {driver.rpartition('/')[2] or 'not told'}"
    rows = json.loads(host.run(Command(("ip", "-j", "link", "show"))).require().stdout or "[]")
    names = [str(row["ifname"]) for row in rows]
    if not lines and (device not in names or device == net0.device):
        raise LabBroken(f"{of} has no device {device} beside net0: there are {', '.join(names)}",
                        hint="device: as the guest's `ip link` calls the passed-through one")  # fmt: skip
    lines += f"link set {device} mtu {topology.mtu} up\naddr add {address} dev {device}\n"
    host.run(Command(("ip", "-batch", "-"), stdin=lines)).require("does the guest's kernel have VLANs?")
    rows = json.loads(host.run(Command(("ip", "-j", "link", "show", device))).require().stdout)
    return Nic(device, str(rows[0].get("address", "")), told)


def _run(client: Client, path: str, argv: tuple[str, ...], until: float) -> str:
    """What a command prints in a VM. Raises PveFault."""
    try:
        started = client.post(f"{path}/agent/exec", {"command": argv})
    except PveFault as error:
        if error.status != 400:
            raise
        started = client.post(f"{path}/agent/exec", {"command": " ".join(argv)})  # Proxmox VE 7 takes one word
    while True:
        status = client.get(f"{path}/agent/exec-status", {"pid": int(started["pid"])})
        if status.get("exited") or time.monotonic() > until:
            return str(status.get("out-data", "")) if not status.get("exitcode") else ""
        time.sleep(0.2)
