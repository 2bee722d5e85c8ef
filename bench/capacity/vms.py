"""Pairs of VMs or containers on the nodes of a Proxmox VE: all made, reached and seen to meet, or none left."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from pathlib import Path

from bench.capacity import ceiling
from bench.capacity.ceiling import Busy, Ceiling, Reading
from bench.capacity.dense import Dense
from bench.capacity.on_nodes import OnNodes
from bench.capacity.safety import Safety
from bench.capacity.watching import looks
from bench.facts import carriers
from bench.hosts.command import Command
from bench.hosts.host import Host, ask_everywhere
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.labs import keys
from bench.labs.lab import Endpoint
from bench.labs.standing import LabBroken
from bench.pve import images, link_check, nodes, preflight, room, shells, strangers
from bench.pve import lab as two
from bench.pve.client import Client
from bench.pve.deploying import deployed
from bench.pve.deployment import Cluster, load
from bench.pve.errors import PveFault
from bench.pve.machines import Made
from bench.pve.reached import Nic, all_free, apart, reached, tells, unshared
from bench.pve.shells import NodeShells
from bench.pve.wanted import Wanted
from bench.pve.wire import Https
from results.errors import NotAble

_AT_ONCE = 8  # logins; guests are made as many at a time
_LOOK_S = 1.0  # Proxmox VE counts a node's CPU anew once a second at most, and guests of others come in bursts
_UP_S = 30.0  # for addresses, once the guests answer
_THROUGH = "the guests are reached through their node (jump: on)"
_NOTE = "Measured between test VMs that Proxmox VE made for it and removed again; pairs {places}."
_COUNTED = "CPU is that of {nodes}, with all else they carried: in cores of all together, as a share of the fullest."
_UNCOUNTED = (
    "CPU was not seen, nor its split in softirq, vhost, guests and steal: no node of the pairs is reached by SSH."
)


@dataclass(frozen=True, slots=True)
class _End:
    host: Host
    endpoint: Endpoint
    nic: Nic
    told: Mapping[str, str]


def notes(of: OnNodes) -> tuple[str, ...]:
    """What a result from here says of other machines, and what it cannot."""
    cluster = load(of.of.cluster)
    told = [f"{k}: {c if c == s else f'{c} to {s}'}" for k, (c, s) in enumerate(of.places, 1)]
    seen = [each for each in of.nodes if each in cluster.nodes]
    unseen = [each for each in of.nodes if each not in cluster.nodes]
    counted = _COUNTED.format(nodes=" and ".join(seen)) if seen else _UNCOUNTED
    links = link_check.notes(of.places, cluster)
    return (_NOTE.format(places=", ".join(told)), counted, *nodes.notes(unseen, cluster), *links)


@contextlib.contextmanager
def standing(
    of: OnNodes, windows_s: tuple[float, ...], *, leases_folder: Path, safety: Safety,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Dense]:  # fmt: skip
    """All pairs, gone when the block ends. `say`: what is to be known before the first is made.

    `windows_s`: for how long a step's load is watched, one window after another.

    Raises PveFault, LabBroken, HostFault, NotAble: none is left then either.
    """
    cluster = load(of.of.cluster)
    client = Client(Https(cluster.access))
    count = len(of.places)
    paths = [of.pair(number) for number in range(1, count + 1)]
    with keys.leased(leases_folder) as folder, contextlib.ExitStack() as stack:
        pair, key = keys.client(folder), folder / keys.CLIENT
        by = stack.enter_context(shells.opened(cluster.nodes))
        watch = _looked_at(client, of, cluster, safety, say, looks(windows_s, _LOOK_S))
        _all_free(of, by)
        sources = dict.fromkeys(of.nodes, of.of.source)
        if of.of.source.startswith("/"):
            brought = images.brought(client, by, Path(of.of.source), of.of.image_storage, of.nodes,
                                     leases_folder=leases_folder, cluster=of.of.cluster)  # fmt: skip
            sources = dict(stack.enter_context(brought))
        asked = [each for number, (path, own) in enumerate(paths, 1)
                 for each in _named(two.wanted(path, own, sources, pair.public), number)]  # fmt: skip
        made = stack.enter_context(deployed(client, asked, leases_folder=leases_folder, cluster=of.of.cluster, by=by))
        watch.ours = frozenset(each.vmid for each in made)

        def end(number: int) -> tuple[contextlib.ExitStack, _End]:
            return _end(client, by, of, made[number], number, key)

        ends = _side_by_side(stack, end, range(len(made)))
        if of.of.management:
            apart([each.host for each in ends])
        clients, servers = (tuple(each.endpoint for each in ends[side::2]) for side in (0, 1))
        _meet(clients, servers, of.topology.mtu)
        for at, each in enumerate(ends):
            peer = ends[at ^ 1]
            unshared(each.host, each.endpoint.device, peer.endpoint.address, peer.nic.mac, str(made[at ^ 1]))
        seen = stack.enter_context(nodes.counted(list(zip(made[::2], made[1::2], strict=True)), cluster))
        hosts = tuple(seen.values())
        yield Dense(
            clients, servers, hosts,
            machines=hosts,
            devices={host: _devices(made, node) for node, host in seen.items()},
            beside={host: (carriers.question(_pid_files(made, node)),) for node, host in seen.items()},
            trouble=_trouble(client, of, seen, safety, watch),
            look_s=_LOOK_S,
            told={"Proxmox VE": str(client.get("/version").get("version", "")),
                  "guests of others": ", ".join(map(str, watch.found)) or "none seen",
                  **{name: words for each in ends for name, words in each.told.items()}},
        )  # fmt: skip


def commands(of: OnNodes) -> list[tuple[str, str]]:
    """(node, line) of what would be asked of the API, for `--dry-run`."""
    found = []
    for number in range(1, len(of.places) + 1):
        for line, side in zip(two.commands(*of.pair(number)), "cs", strict=True):
            end = "a" if side == "c" else "b"
            found.append((line[0], line[1].replace(f": nettune-{end},", f": {_name(side, number)},")))
    return found


def _name(side: str, number: int) -> str:
    return f"nettune-{side}{number}"


def _named(of_pair: Sequence[Wanted], number: int) -> list[Wanted]:
    return [replace(each, name=_name(side, number)) for each, side in zip(of_pair, "cs", strict=True)]


def _looked_at(
    client: Client, of: OnNodes, cluster: Cluster, safety: Safety, say: Callable[[str], None], looked: int
) -> strangers.Watch:
    """Everything that can be asked before anything is made; `looked`: how often in a step. Raises NotAble, PveFault."""
    preflight.refuse(client, replace(of.of, nodes=of.nodes), of.topology, cluster.nodes)
    two.evaluated(client, of.topology)
    if unseen := [node for node in of.nodes if safety.cpu_most and node not in cluster.nodes]:
        _by_api(client, unseen)
    found = strangers.checked(client, of.nodes, shared_host=safety.shared_host)
    _often(looked, strangers.LOOKS if found else ceiling.LOOKS if safety.cpu_most else 0)
    links = link_check.told(client, of.places, [of.topology], cluster)
    told = (*(f"{what}: {why}" for what, why in links.items()), *room.check(client, of.of, of.places))
    if safety.shared_host:
        told += strangers.notes(found, seen=strangers.all_seen(client))
    for line in told:
        say(line)
    watch = strangers.Watch(client, of.nodes, safety.shared_host, found=found)
    watch.begin()
    return watch


def _often(looked: int, least: int) -> None:
    """Raise NotAble where a step is over before its guard could say anything."""
    if looked < least:
        raise NotAble(
            f"in a step's load there is time for {looked} looks at the nodes, and it takes {least} to end it",
            hint=f"duration_s: {least + 1} or more",
        )


def _trouble(
    client: Client, of: OnNodes, seen: Mapping[str, Host], safety: Safety, watch: strangers.Watch
) -> Callable[[], str]:
    """What ends the load of a step: a node above the ceiling, by its own counters or by the API; others that suffer."""
    unseen = [node for node in of.nodes if node not in seen]
    readings: list[Reading] = [*([Busy(tuple(seen.values()))] if seen else [])]
    if unseen:
        readings.append(functools.partial(_by_api, client, unseen))
    above = Ceiling(safety.cpu_most, readings) if safety.cpu_most else str

    def trouble() -> str:
        try:
            return above() or watch()
        except NotAble as error:  # one that does not answer under load has enough
            return f"the nodes cannot be watched any more: {error}"

    return trouble


def _by_api(client: Client, of: Sequence[str]) -> Mapping[str, float]:
    """As Proxmox VE itself counts it, between two questions or so. Raises PveFault where it does not tell."""
    found = {}
    for node in of:
        told = client.get(f"/nodes/{node}/status")
        if "cpu" not in told:
            raise PveFault(f"GET /nodes/{node}/status", 0, "it tells no CPU", hint="Sys.Audit on the node; or its SSH")
        found[node] = float(told["cpu"])
    return found


def _all_free(of: OnNodes, by: NodeShells) -> None:
    """Nobody has the guests' addresses, as far as it answers a ping. Raises LabBroken."""
    addresses = [str(ip_interface(each).ip) for each in of.of.addresses[: 2 * len(of.places)]]
    jump = functools.partial(by.run, of.nodes[0], why=_THROUGH)
    all_free(addresses, jump if of.of.jump else Local().run)


def _end(
    client: Client, by: NodeShells, of: OnNodes, vm: Made, number: int, key: Path
) -> tuple[contextlib.ExitStack, _End]:
    """A guest that is reached, until the stack closes. Raises LabBroken, HostFault, NotAble."""
    topology, own = of.pair(number // 2 + 1)
    side = number % 2
    address = (topology.reached or topology.addresses)[side]
    login = Login(str(ip_interface(address).ip), keys=(key,), jump=two.jump(own, by, vm.node))
    name = f"{'cs'[side]}{number // 2 + 1}"
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(reached(name, vm, login, tells(client, by, vm, own.ready_s), own.ready_s))
        config = client.get(f"{vm.path}/config")
        endpoint, nic = two.measured(topology, host, vm, config, side)
        return stack.pop_all(), _End(host, endpoint, nic, two.told_of(vm, config, nic))


def _side_by_side(
    stack: contextlib.ExitStack, end: Callable[[int], tuple[contextlib.ExitStack, _End]], numbers: Sequence[int]
) -> list[_End]:
    """All ends, some at a time; `stack` closes each that came up, also where another did not. Raises as the first."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        jobs = [pool.submit(end, number) for number in numbers]
        wait(jobs)
    for job in jobs:
        if job.exception() is None:
            stack.callback(job.result()[0].close)
    return [job.result()[1] for job in jobs]


def _meet(clients: Sequence[Endpoint], servers: Sequence[Endpoint], mtu: int) -> None:
    """Every client reaches its server, and all NICs have the plan's MTU. Raises LabBroken naming those that don't."""
    until = time.monotonic() + _UP_S
    waiting = list(zip(clients, servers, strict=True))
    while waiting:
        asked = {a.host: (Command(("ping", "-n", "-c", "1", "-W", "1", b.address)),) for a, b in waiting}
        told = ask_everywhere(asked)
        waiting = [(a, b) for a, b in waiting if not told[a.host][0].ok]
        if waiting and time.monotonic() > until:
            ways = ", ".join(f"{a.host.name} does not reach {b.host.name} at {b.address}" for a, b in waiting[:4])
            raise LabBroken(f"in {_UP_S:g} s {ways}", hint="do the nodes' bridges, tags and firewalls let it pass?")
    told = ask_everywhere(
        {each.host: (Command(("cat", f"/sys/class/net/{each.device}/mtu")),) for each in (*clients, *servers)}
    )
    for host, (outcome,) in told.items():
        if outcome.stdout.strip() != str(mtu):
            raise LabBroken(f"{host.name} has an MTU of {outcome.stdout.strip()}, the plan's path {mtu}",
                            hint="does cloud-init or the template set another one?")  # fmt: skip


def _pid_files(made: Sequence[Made], node: str) -> tuple[str, ...]:
    return tuple(f"/run/qemu-server/{vm.vmid}.pid" for vm in made if vm.node == node and vm.kind == "qemu")


def _devices(made: Sequence[Made], node: str) -> str:
    """As QEMU's and pct's hooks name the ends of the guests' NICs on their node: tap100i0, veth100i0."""
    ids = "|".join(str(vm.vmid) for vm in made if vm.node == node)
    return rf"(tap|veth)({ids})i\d+"
