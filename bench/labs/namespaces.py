"""Stands a Topology in network namespaces of this machine; nothing of the machine's own namespace is touched.

Every link is made inside the lab's namespaces. Addresses are of 198.18.0.0/15 (RFC 2544, for benchmarks) and MAC
addresses are fixed, so that two labs of one Topology have equal facts.
"""

import contextlib
import functools
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.hosts.command import Command, HostFault
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.hosts.namespace import entered
from bench.labs import lease as leases
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.topology import Topology
from bench.shield import carried_through
from results.errors import NotAble

_READY_S = 3.0
_MAC = {
    "a": "02:00:5e:00:00:0a",
    "b": "02:00:5e:00:00:0b",
    "port-a": "02:00:5e:00:01:0a",
    "port-b": "02:00:5e:00:01:0b",
    "br0": "02:00:5e:00:01:01",
}
# What a result from here says of other machines, and what it cannot.
TRANSFER = (
    (
        "Measured between network namespaces of one machine: every packet is CPU work. There is no NIC, no DMA, no "
        "interrupt and no driver, so nothing here about offloads, rings, interrupt moderation or packet rates "
        "transfers to hardware; it shows what the kernel's own software path does."
    ),
    (
        "Both ends share the machine's CPUs, so the generator competes with the path; a trial whose iperf3 used 95 % "
        "of a core or more is marked generator-bound."
    ),
    (
        "TCP settings act where the sockets are. On a hypervisor that only bridges its guests, the host's tcp_* have "
        "no effect on guest traffic: set them in the guests."
    ),
)


class LabBroken(NotAble):
    """The lab could not be stood, or is not what it should be."""


@contextlib.contextmanager
def standing(topology: Topology, *, leases_folder: Path) -> Iterator[Lab]:
    """The Lab, removed on leaving; what a SIGKILL leaves is in the lease."""
    local = Local()
    names = ("a", "b") if topology.kind == "direct" else ("a", "b", "node")
    with leases.held(leases_folder) as lease:
        netns = {name: f"nt-{lease.lease_id}-{name}" for name in names}
        try:
            for name in names:
                lease.note("netns", netns[name])
            _batch(local, [f"netns add {netns[name]}" for name in names])
            with contextlib.ExitStack() as stack:
                hosts: dict[str, Host] = {name: stack.enter_context(entered(name, netns[name])) for name in names}
                yield _built(topology, hosts, netns)
        finally:
            carried_through(functools.partial(_remove, local, netns.values(), lease))


def _remove(local: Host, names: Iterable[str], lease: leases.Lease) -> None:
    """Every one is tried though another fails; the first failure is raised, and the lease stays."""
    failed: HostFault | None = None
    for name in names:
        try:
            leases.remove_namespace(local, name)
        except HostFault as error:
            failed = failed or error
    if failed is not None:
        raise failed
    lease.release()


def _built(topology: Topology, hosts: dict[str, Host], netns: dict[str, str]) -> Lab:
    for host in hosts.values():
        # No duplicate address detection in a lab whose addresses are ours: it would hold each back for a second.
        host.run_all([_set("net.ipv6.conf.default.accept_dad", "0"), _set("net.ipv6.conf.all.accept_dad", "0")])
    addresses = _addresses(topology)
    for name, lines in _link_lines(topology, netns).items():
        _batch(hosts[name], lines)
    for end in ("a", "b"):
        _batch(hosts[end], _end_lines(topology, end))
    a, b = (Endpoint(hosts[end], "eth0", addresses[end]) for end in ("a", "b"))
    path = [PathDevice(hosts["a"], "eth0", serves="a"), PathDevice(hosts["b"], "eth0", serves="b")]
    if "node" in hosts:
        between = [PathDevice(hosts["node"], f"port-{end}", serves=end) for end in ("a", "b")]
        if topology.kind == "bridge":
            between.insert(1, PathDevice(hosts["node"], "br0", counts=False))
        path[1:1] = between
    lab = Lab(topology, (a, b), (hosts["node"],) if "node" in hosts else (), tuple(path))
    _check(lab)
    return lab


def _end_lines(topology: Topology, end: str) -> list[str]:
    addresses = _addresses(topology)
    lines = ["link set lo up", f"address add {addresses[end]}/24 dev eth0", "link set eth0 up"]
    if topology.kind == "routed":
        peer = addresses["b" if end == "a" else "a"]
        lines.append(f"route add {peer}/32 via {addresses['via-' + end]} dev eth0")
    return lines


def _addresses(topology: Topology) -> dict[str, str]:
    if topology.kind == "routed":
        return {"a": "198.18.0.1", "b": "198.19.0.1", "via-a": "198.18.0.254", "via-b": "198.19.0.254"}
    return {"a": "198.18.0.1", "b": "198.18.0.2"}


def _link_lines(topology: Topology, netns: dict[str, str]) -> dict[str, list[str]]:
    """`ip -batch` lines by host, in the order in which they must run."""
    mtu = topology.mtu
    end = "type veth peer name eth0"
    if topology.kind == "direct":
        return {"a": [(f"link add eth0 address {_MAC['a']} mtu {mtu} {end} address {_MAC['b']} mtu {mtu} "
                      f"netns {netns['b']}")]}  # fmt: skip
    lines = ["link set lo up"]
    if topology.kind == "bridge":
        lines.append(f"link add br0 address {_MAC['br0']} mtu {mtu} type bridge")
    for name in ("a", "b"):
        port = f"port-{name}"
        lines.append(
            f"link add {port} address {_MAC[port]} mtu {mtu} {end} address {_MAC[name]} mtu {mtu} netns {netns[name]}"
        )
        if topology.kind == "bridge":
            lines.append(f"link set {port} master br0")
        else:
            lines.append(f"address add {_addresses(topology)['via-' + name]}/24 dev {port}")
        lines.append(f"link set {port} up")
    if topology.kind == "bridge":
        lines.append("link set br0 up")
    return {"node": lines}


def imagined(topology: Topology) -> Lab:
    """The Lab as it would be, on hosts that do not stand: for `--dry-run`."""
    addresses = _addresses(topology)
    return Lab(topology, tuple(Endpoint(Local(end), "eth0", addresses[end]) for end in ("a", "b")), (), ())


def commands(topology: Topology) -> dict[str, list[str]]:
    """The `ip` commands that make a Topology, by namespace, for `--dry-run`; namespaces are named a, b and node."""
    found = {
        host: [f"ip {line}" for line in lines] for host, lines in _link_lines(topology, {"a": "a", "b": "b"}).items()
    }
    for end in ("a", "b"):
        found.setdefault(end, []).extend(f"ip {line}" for line in _end_lines(topology, end))
    if topology.kind == "routed":
        found["node"].append("sysctl -w net.ipv4.ip_forward=1")
    return found


def _check(lab: Lab) -> None:
    """Forwarding on where it is needed, every device up, and netlink and sysfs of one namespace."""
    if lab.topology.kind == "routed":
        lab.nodes[0].run(_set("net.ipv4.ip_forward", "1")).require()
    deadline = time.monotonic() + _READY_S
    while True:
        sheets = lab.read()
        waiting = [
            f"{each.host.name}/{each.device} is {sheets[each.host.name].facts.get(f'link/{each.device}/operstate')}"
            for each in lab.path
            if sheets[each.host.name].facts.get(f"link/{each.device}/operstate") != "UP"
        ]
        if not waiting:
            break
        if time.monotonic() > deadline:
            raise LabBroken(f"lab {lab.topology.name} did not come up in {_READY_S:g} s: {', '.join(waiting)}")
        time.sleep(0.01)
    for each in lab.path:
        index = each.host.run(Command(("cat", f"/sys/class/net/{each.device}/ifindex"))).require().stdout.strip()
        shown = each.host.run(Command(("ip", "-o", "link", "show", each.device))).require().stdout.partition(":")[0]
        if index != shown:
            raise LabBroken(
                f"on {each.host.name}: {each.device} is {shown} by netlink and {index} by sysfs: "
                "its sysfs is another namespace's"
            )


def _set(sysctl: str, value: str) -> Command:
    return Command(("tee", "/proc/sys/" + sysctl.replace(".", "/")), stdin=value)


def _batch(host: Host, lines: Sequence[str]) -> None:
    hint = "namespaces need root (CAP_NET_ADMIN and CAP_SYS_ADMIN)"
    host.run(Command(("ip", "-batch", "-"), stdin="\n".join(lines) + "\n")).require(hint)
