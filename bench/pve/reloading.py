"""A reload of nodes' networks, as safe as it can be: what may be reloaded, the guard behind it, if all is well after.

`PUT /nodes/N/network` applies everybody's edits and reloads every device there (pve-manager, PVE/API2/Network.pm).
"""

import contextlib
import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.facts import riding
from bench.hosts.command import Command, HostFault
from bench.hosts.login import Login
from bench.hosts.ssh import Ssh, connected
from bench.pve import interfaces, shells
from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.guarding import Guarded, Guards
from bench.pve.interfaces import FILE, PENDING, Nic, Seen
from bench.shield import carried_through
from results.errors import NotAble

APPLY_S = 90.0  # for a task that reloads a node; ifreload of 30 guests' ports takes seconds
SETTLE_S = 3.0
GUARD_S = 150.0  # that task, the checks after it, and a connection that is made anew
_NODE_S = 30.0  # more, for each further node: SDN reloads one after the other
_PING = 'for to do ping -n -c 1 -w 1 "$to" >/dev/null 2>&1 && echo "$to"; done; true'


class Meddled(NotAble):
    """Somebody else has written a file of the node right before an apply, so nothing was applied."""


class NotWell(NotAble):
    """A node is not after a reload as it was before, so it was put back."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node: by the API under its name, and by SSH as root."""

    name: str
    client: Client
    host: Ssh
    login: Login
    guards: Guards

    @property
    def path(self) -> str:
        """Of its network, in the API."""
        return f"/nodes/{self.name}/network"


@dataclass(frozen=True, slots=True)
class Held:
    """A node that is about to be reloaded: as it was, and NICs that were nobody's."""

    node: Node
    was: Seen
    free: Mapping[str, Nic]


@contextlib.contextmanager
def opened(name: str, client: Client, logins: Mapping[str, Login], guards: Guards) -> Iterator[Node]:
    """A node by its SSH. Raises NotAble where the cluster's file has none, or where it is not root's; HostFault."""
    login = shells.login(logins, name, f"a network of {name} is made under a guard on {name} itself")
    with connected(name, login) as host:
        riding.able(host)
        yield Node(name, client, host, login, guards)


def ready(host: Ssh) -> Seen:
    """The node as it is, where a reload applies nobody else's work. Raises NotAble naming all that is in the way."""
    return alone(host.name, interfaces.seen(host))


def alone(name: str, was: Seen, ours: Collection[str] = ()) -> Seen:
    """A node that was read, where a reload applies nobody else's work, as `ready` has it."""
    in_way = [f"{PENDING} is there: edits that somebody made wait to be applied"] if was.pending else []
    in_way += adrift(was, ours)
    if in_way:
        raise NotAble(
            f"on {name}: a reload would touch what is not ours: {'; '.join(in_way)}",
            hint="apply or discard those edits, and set right what `ifquery --check -a` shows",
        )
    return was


def adrift(of: Seen, ours: Collection[str]) -> list[str]:
    """The devices, but for ours, that are not as the file has them."""
    return [f"{name} is not as {FILE} has it ({what})" for name, what in of.drift.items() if name not in ours]


@contextlib.contextmanager
def guarded(held: Sequence[Held], about: str) -> Iterator[Callable[[], None]]:
    """A block in which each node puts itself back unless the block ends well; it is put back at once where it does not.

    After Meddled it is left alone: nothing was applied, and the file that was read before would go over somebody's.

    What is yielded belongs right before an apply: it gives every guard its whole time, and raises where one has fired.
    Raises HostFault where a guard cannot be armed: the block is not entered then.
    """
    armed: list[tuple[Node, Guarded]] = []
    try:
        for each in held:
            lines = interfaces.putting_back(each.was, each.free)
            armed.append((each.node, each.node.guards.arm(each.node.host, about, lines, _looks(each.node), GUARD_S)))
        yield lambda: _renewed(armed)
        for _, guard in armed:
            guard.disarm()
    except BaseException as error:
        carried_through(functools.partial(_back, armed, error))
        raise


def _renewed(armed: Sequence[tuple[Node, Guarded]]) -> None:
    for _, guard in armed:
        guard.renew(GUARD_S + _NODE_S * (len(armed) - 1))


def _back(armed: Sequence[tuple[Node, Guarded]], error: BaseException) -> None:
    """Every node, though another failed; the error is told of those that must do it alone."""
    for node, guard in armed:
        try:
            guard.disarm() if isinstance(error, Meddled) else guard.put_back()
        except HostFault as lost:
            error.add_note(f"{lost}; {node.name} puts its network back by itself within {GUARD_S:g} s")


def settled(node: Node, about: str) -> None:
    """What guards of a dead run had left on a node is put back. Raises HostFault."""
    for guard in node.guards.left(node.host, about):
        guard.put_back()


def same(node: Node, was: Seen, digest_of_pending: str = "") -> None:
    """Right before it is applied: nobody has touched either file since they were read. Raises Meddled."""
    now, pending = node.host.run_all((_sum(FILE), _sum(PENDING)))
    for path, wanted, got in ((FILE, was.digest, now.stdout), (PENDING, digest_of_pending, pending.stdout)):
        if got.split()[:1] != ([wanted] if wanted else []):
            raise Meddled(f"on {node.name}: somebody else has changed {path} meanwhile, so nothing was applied")


def pending_digest(node: Node) -> str:
    """Of the edits that wait. Raises NotAble where the machine behind SSH has none: it is not the API's node."""
    outcome = node.host.run(_sum(PENDING))
    if not outcome.ok:
        raise NotAble(
            f"the API has written edits of {node.name}'s network, and {node.login} has no {PENDING}",
            hint="is that the same machine? nodes: in the cluster's file",
        )
    return outcome.stdout.split()[0]


def _sum(path: str) -> Command:
    return Command(("sha256sum", path))


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reload may do: `ours` may be adrift, `there` must be there afterwards and `gone` must not."""

    ours: Collection[str] = ()
    there: Collection[str] = ()
    gone: Collection[str] = ()


def reloaded(held: Sequence[Held], begin: Callable[[], object], expected: Expected, settle_s: float = SETTLE_S
             ) -> tuple[Seen, ...]:  # fmt: skip
    """Apply, and see that all is well on each node; each as it is then. `begin` is the call that starts the task.

    Raises PveFault of the task, or NotWell where a node is not well within `settle_s` after it.
    """
    client = held[0].node.client
    names = ", ".join(each.node.name for each in held)
    client.done(f"apply the network of {names}", begin(), APPLY_S + _NODE_S * (len(held) - 1))
    until, found = time.monotonic() + settle_s, []
    for each in held:
        with connected(each.node.name, each.node.login) as fresh:  # the way in still opens
            while problems := _problems(each.was, now := interfaces.seen(fresh), expected):
                if time.monotonic() > until:
                    raise NotWell(f"on {each.node.name}: after the reload {'; '.join(problems)}")
                time.sleep(1.0)
        found.append(now)
    return tuple(found)


def _problems(was: Seen, now: Seen, expected: Expected) -> list[str]:
    found = [
        f"{device} is in {now.ports.get(device, 'no bridge')} and was in {master}"
        for device, master in was.masters.items()
        if device in now.nics and now.ports.get(device) != master
    ]
    found += [f"there is no {name}" for name in expected.there if name not in now.nics]
    found += [f"{name} is still there" for name in expected.gone if name in now.nics]
    # What SDN adds below a vnet (VLAN and VXLAN devices, pairs between bridges) is made by it, and its to set right.
    added = interfaces.stanzas(now.sdn) - interfaces.stanzas(was.sdn)
    return [*found, *adrift(now, {*expected.ours, *added})]


def _looks(node: Node) -> tuple[str, ...]:
    """What the node watches by itself: gateways that answer now, and that its sshd listens."""
    told = riding.asked(node.host)
    answering = node.host.run(Command(("sh", "-c", _PING, "sh", *told.gateways), deadline_s=30.0)).stdout.split()
    return (*(f"ping:{each}" for each in answering), *([f"listen:{told.ssh_port}"] if told.ssh_port else []))


def config(client: Client, path: str) -> tuple[dict[str, Mapping[str, object]], str]:
    """Device -> its row, with edits that wait; and those edits as a unified diff, "" where there are none."""
    reply = client.whole("GET", path)
    if not isinstance(reply.data, list):
        raise PveFault(f"GET {path}", 200, "its answer is no list")
    rows: dict[str, Mapping[str, object]] = {
        str(row["iface"]): row for row in reply.data if isinstance(row, dict) and "iface" in row
    }
    return rows, str(reply.more.get("changes") or "")


# Of a row: how it runs, where in the file it stands, and what `cidr` says as well.
_PASSING = frozenset({"active", "exists", "priority", "altnames", "address", "netmask", "address6", "netmask6"})
# What writing a file anew puts in where nothing stood (pve-common, PVE::INotify).
_FILLED_IN = {"bridge_ports": "", "bridge_stp": "off", "bridge_fd": "0", "bridge_vids": "2-4094", "slaves": "",
              "bond_miimon": "100", "bond_mode": "balance-rr"}  # fmt: skip


def others(was: Mapping[str, Mapping[str, object]], now: Mapping[str, Mapping[str, object]],
           ours: Collection[str], free: Collection[str] = ()) -> list[str]:  # fmt: skip
    """Devices that are not ours and that edits change, with what; of `free` NICs MTU and autostart may change. Pure."""
    found = []
    for name in sorted((was.keys() | now.keys()) - set(ours)):
        passing = _PASSING | ({"mtu", "autostart"} if name in free else set())
        before, after = was.get(name), now.get(name)
        if before is None or after is None:
            found.append(f"{name} ({'new' if before is None else 'removed'})")
            continue
        keys = (before.keys() | after.keys()) - passing
        differ = sorted(key for key in keys if _plain(before, key) != _plain(after, key))
        found += [f"{name} ({', '.join(differ)})"] if differ else []
    return found


def _plain(row: Mapping[str, object], key: str) -> str:
    value = row.get(key)
    return _FILLED_IN.get(key, "") if value is None else str(value)
