"""A bridge of one node, made for a test and removed: by the API, under a guard on the node, its file as it was after.

A bridge is ours where its name stands in our lease and its own comment carries that lease, as with VMs. What the node
keeps of it until then lies in a folder there: the file as it was, and what ours made of it.
"""

import base64
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.facts import riding
from bench.facts.riding import Riding
from bench.hosts.command import Command
from bench.pve import interfaces, reloading
from bench.pve.interfaces import Nic, Seen
from bench.pve.new_network import NewNetwork
from bench.pve.ownership import MARK
from bench.pve.reloading import Expected, Held, Node
from bench.pve.wire import Value
from results.errors import NotAble

ROOT = "/var/lib/nettune/networks"  # on the node
_BONDS = range(90, 1000)
Rows = Mapping[str, Mapping[str, object]]
_KEEP = """\
umask 077
mkdir -p "$1" && cat >"$1/$2.part" && sync "$1/$2.part" && mv -f "$1/$2.part" "$1/$2" && sync "$1" "${1%/*}"
"""
# cidr and gateway first: what a PUT does not name of an address is gone (a stanza becomes `manual`).
_KEPT_KEYS = ("cidr", "cidr6", "gateway", "gateway6", "comments", "comments6", "autostart", "mtu")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bridge as it is to be."""

    node: str
    name: str
    new: NewNetwork
    mtu: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the node keeps: its file's bytes and digest before, the API's rows then, NICs; digests that are ours."""

    text: bytes
    rows: Rows
    free: Mapping[str, Nic]
    left: str
    cleared: str


def make(node: Node, wanted: Wanted, lease_id: str, note: Callable[[Sequence[str]], None],
         say: Callable[[str], None]) -> str:  # fmt: skip
    """The bridge, up; the diff that was applied, which `say` is told before. `note` puts its names on disk here.

    Raises NotAble; what was begun `remove` takes away.
    """
    was = reloading.ready(node.host)
    rows, _ = reloading.config(node.client, node.path)
    bond = _free_bond(rows, was) if wanted.new.bond else ""
    ours = [each for each in (wanted.name, bond) if each]
    for each in ours:
        if each in rows or each in was.nics:
            raise NotAble(f"on {node.name}: there is a device {each} already, and it is not ours",
                          hint="choose another name for the bridge")  # fmt: skip
    _nobodys(node, wanted.new.ports, rows, was)
    free = {each: was.nics[each] for each in wanted.new.ports}
    note(ours)
    _keep(node, lease_id, was, rows, free)
    with reloading.guarded([Held(node, was, free)], lease_id) as renewed:
        for method, path, parameters in requests(node.path, wanted, bond, rows, f"{MARK}{lease_id}"):
            node.client.whole(method, path, parameters)
        waiting = reloading.pending_digest(node)  # before it is looked at: what comes later is another one
        now, changes = reloading.config(node.client, node.path)
        _alone(node, reloading.others(rows, now, ours, free))
        _write(node, lease_id, "left", waiting)
        say(f"on {node.name}, to be applied now:\n{changes}")
        renewed()
        _apply(Held(node, was, free), waiting, Expected([*ours, *free], there=[*ours, *free]))
    return changes


def requests(path: str, wanted: Wanted, bond: str, rows: Rows, mark: str) -> list[tuple[str, str, dict[str, Value]]]:
    """The calls that write it, in the order that the API wants: an MTU from the ports upwards. Pure."""
    new = wanted.new
    mtu: dict[str, Value] = {"mtu": wanted.mtu} if wanted.mtu != 1500 else {}
    calls: list[tuple[str, str, dict[str, Value]]] = [
        ("PUT", f"{path}/{port}", {**unchanged(rows[port]), **mtu})
        for port in new.ports
        if wanted.mtu > _whole(rows[port].get("mtu"), 1500)
    ]
    own: dict[str, Value] = {"autostart": True, "comments": mark, **mtu}
    if bond:
        hashed: dict[str, Value] = (
            {"bond_xmit_hash_policy": "layer3+4"} if new.bond in {"802.3ad", "balance-xor"} else {}
        )
        given: dict[str, Value] = {"iface": bond, "type": "bond", "slaves": " ".join(new.ports), "bond_mode": new.bond}
        calls.append(("POST", path, {**given, **hashed, **own}))
    ports = bond or " ".join(new.ports)
    bridge: dict[str, Value] = {"iface": wanted.name, "type": "bridge", **({"bridge_ports": ports} if ports else {})}
    calls.append(("POST", path, {**bridge, **({"bridge_vlan_aware": True} if new.vlan_aware else {}), **own}))
    return calls


def unchanged(row: Mapping[str, object]) -> dict[str, Value]:
    """A row as a PUT of it that changes nothing: its address is named, since it would go otherwise. Pure."""
    found: dict[str, Value] = {"type": str(row["type"])}
    for key in _KEPT_KEYS:
        if row.get(key):
            found[key] = bool(int(str(row[key]))) if key == "autostart" else str(row[key])
    return found


def remove(node: Node, names: Sequence[str], lease_id: str) -> bool:
    """The bridge and its bond are gone, and the node's file is as it was; False where nothing of ours was there.

    Raises NotAble where it cannot be told apart from somebody's edits, or where a guest is plugged into it.
    """
    reloading.settled(node, lease_id)
    was = interfaces.seen(node.host)
    kept = _read(node, lease_id)
    rows, _ = reloading.config(node.client, node.path)
    mine = [each for each in names if each in rows and marked(rows[each], lease_id)]
    free = kept.free if kept else {}
    if was.pending:
        theirs = reloading.others(kept.rows, rows, names, free) if kept else ["nothing is kept of the node as it was"]
        if kept and was.digest == interfaces.digest(kept.text):  # none of it was applied
            _edits_away(node, kept, mine, rows, alone=not theirs)
            _forget(node, lease_id)
            return True
        if kept and was.digest != kept.left:
            theirs = theirs or [f"{interfaces.FILE} was changed since"]
        _alone(node, theirs)
    elif not mine:
        _finish(node, was, kept, free)
        _forget(node, lease_id)
        return False
    _taken_away(node, was, kept, (names, mine, rows), lease_id)
    return True


def _edits_away(node: Node, kept: _Kept, mine: Sequence[str], rows: Rows, *, alone: bool) -> None:
    """Nothing of ours waits any more; what somebody else has written there goes on waiting."""
    if alone:
        node.client.delete(node.path)
        return
    for each in mine:
        node.client.delete(f"{node.path}/{each}")
    _mtus_back(node, kept, rows)


def _taken_away(node: Node, was: Seen, kept: _Kept | None, of: tuple[Sequence[str], Sequence[str], Rows],
                lease_id: str) -> None:  # fmt: skip
    names, mine, rows = of
    free = kept.free if kept else {}
    plugged = [
        device for device, master in was.ports.items() if master in (mine or names) and device not in {*names, *free}
    ]
    if plugged:
        raise NotAble(f"on {node.name}: {', '.join(plugged)} is plugged into {names[0]}, and it is not ours to unplug",
                      hint="move that guest to another bridge, then: nettune lab reap")  # fmt: skip
    if in_way := reloading.adrift(was, {*names, *free}):
        raise NotAble(f"on {node.name}: a reload would touch what is not ours: {'; '.join(in_way)}",
                      hint="set that right, then: nettune lab reap")  # fmt: skip
    with reloading.guarded([Held(node, was, {})], lease_id) as renewed:
        for each in mine:  # the bridge first: a bond that is its port cannot go
            if marked(node.client.get(f"{node.path}/{each}"), lease_id):  # asked once more: names are used again
                node.client.delete(f"{node.path}/{each}")
        if kept:
            _mtus_back(node, kept, rows)
        waiting = reloading.pending_digest(node)
        now, _ = reloading.config(node.client, node.path)
        _alone(node, reloading.others(rows, now, names, free))
        if kept and was.digest == kept.left:
            _write(node, lease_id, "cleared", waiting)
        renewed()
        after = _apply(Held(node, was, free), waiting, Expected([*names, *free], gone=mine or names))
    _finish(node, after, _read(node, lease_id), free)
    _forget(node, lease_id)


def marked(row: object, lease_id: str) -> bool:
    """A line of its comment is ours, with that lease; somebody may have written another one below it."""
    return isinstance(row, dict) and f"{MARK}{lease_id}" in map(str.strip, str(row.get("comments", "")).splitlines())


def _mtus_back(node: Node, kept: _Kept, rows: Rows) -> None:
    """The MTU of each NIC that was raised for us, in the edits that wait."""
    for port in kept.free:
        mtu, now = kept.rows.get(port, {}).get("mtu"), rows.get(port, {})
        if now and now.get("mtu") != mtu:
            given = {key: value for key, value in unchanged(now).items() if key != "mtu"}
            more: dict[str, Value] = {"mtu": str(mtu)} if mtu else {"delete": "mtu"}
            node.client.put(f"{node.path}/{port}", {**given, **more})


def _apply(held: Held, waiting: str, expected: Expected) -> Seen:
    """Apply what waits with that digest; the node after it. It was noted there before: it is the file's right after."""
    reloading.same(held.node, held.was, waiting)
    (now,) = reloading.reloaded([held], lambda: held.node.client.put(held.node.path), expected)
    return now


def _finish(node: Node, now: Seen, kept: _Kept | None, free: Mapping[str, Nic]) -> None:
    """Its file has the bytes that it had, where nobody has edited it since; NICs are as they were."""
    if kept is None:
        return
    if now.digest == kept.cleared:
        interfaces.restore_text(node.host, kept.text, kept.cleared)
    for nic, state in free.items():
        is_now = now.nics.get(nic)
        if is_now and is_now != state and nic not in now.ports:
            words = ("ip", "link", "set", nic, "mtu", str(state.mtu), "up" if state.up else "down")
            node.host.run(Command(words)).require()


def _alone(node: Node, theirs: Sequence[str]) -> None:
    if theirs:
        raise NotAble(
            f"on {node.name}: somebody else edits the node's network too ({'; '.join(theirs)}), so nothing was applied",
            hint=f"their edits wait in {interfaces.PENDING}: apply or discard them, then: nettune lab reap",
        )


def _free_bond(rows: Rows, was: Seen) -> str:
    return next(f"bond{number}" for number in _BONDS if f"bond{number}" not in {*rows, *was.nics})


def _nobodys(node: Node, ports: Sequence[str], rows: Rows, was: Seen) -> None:
    """Each of the NICs carries nothing. Raises NotAble naming it and what it carries."""
    if not ports:
        return
    told = riding.asked(node.host)
    for port in ports:
        if port not in rows or port not in told.stack.links or port not in was.nics:
            raise NotAble(f"on {node.name}: there is no NIC {port}",
                          hint=f"there are {', '.join(sorted(told.stack.links))}")  # fmt: skip
        if carries := carried(port, rows, told):
            raise NotAble(f"on {node.name}: {port} is no free NIC: {'; '.join(carries)}")


def carried(port: str, rows: Rows, told: Riding) -> list[str]:
    """What a NIC of both carries, as the API has it and as the node itself: [] where it is free. Pure."""
    row, link = rows[port], told.stack.links[port]
    found = [role.why for role in told.ridden if role.device == port and role.role != "guests"]
    found += [f"it is in {link.master}"] if link.master else []
    found += [f"{each} lies on it" for each in sorted(told.stack.above(port)) if each != link.master]
    found += [f"it has {each}" for each in link.addresses if not each.lower().startswith("fe80:")]
    found += [f"it is configured ({key} {row[key]})" for key in ("cidr", "cidr6") if row.get(key)]
    found += [f"it is a port of {name}" for name, each in rows.items()
              if port in f"{each.get('bridge_ports', '')} {each.get('slaves', '')}".split()]  # fmt: skip
    found += [f"it is of type {row.get('type')}"] if row.get("type") != "eth" else []
    return list(dict.fromkeys(found))


def _whole(value: object, default: int) -> int:
    return int(str(value)) if value else default


def _keep(node: Node, lease_id: str, was: Seen, rows: Rows, free: Mapping[str, Nic]) -> None:
    kept = {"text": base64.b64encode(was.text).decode(), "rows": rows,
            "free": {name: asdict(nic) for name, nic in free.items()}}  # fmt: skip
    _write(node, lease_id, "before", json.dumps(kept))


def _write(node: Node, lease_id: str, name: str, text: str) -> None:
    node.host.run(Command(("sh", "-c", _KEEP, "sh", f"{ROOT}/{lease_id}", name), stdin=text)).require(
        "is the node's disk full?"
    )


def _read(node: Node, lease_id: str) -> _Kept | None:
    """None where the node keeps nothing: it was never begun there, or is over."""
    folder = shlex.quote(f"{ROOT}/{lease_id}")
    commands = [Command(("sh", "-c", f"cat {folder}/{name} 2>/dev/null")) for name in ("before", "left", "cleared")]
    before, left, cleared = (outcome.stdout for outcome in node.host.run_all(commands))
    if not before.strip():
        return None
    told = json.loads(before)
    free = {name: Nic(**each) for name, each in told["free"].items()}
    return _Kept(base64.b64decode(told["text"]), told["rows"], free, left.strip(), cleared.strip())


def _forget(node: Node, lease_id: str) -> None:
    node.host.run(Command(("rm", "-rf", f"{ROOT}/{lease_id}"))).require()
