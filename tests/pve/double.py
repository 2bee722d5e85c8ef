"""A Proxmox VE that is none: fakepve in a process of its own, told by its input what it has and how it fails.

    python -m tests.pve.double FOLDER

Prints the port once it listens; FOLDER gets fakepve.crt. Each line of input is ["name", [arguments], {named}]: a
method of fakepve's, or one of ours; each answer is a line of JSON. What fakepve lets pass and Proxmox VE does not:
strict.py.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from fakepve.certs import make_cert  # type: ignore[import-untyped]

from tests.pve.network_double import NetworkApi, NodeNetwork
from tests.pve.sdn_double import SdnApi
from tests.pve.strict import Strict

MAKING = {"qmclone", "qmcreate", "vzclone", "vzcreate"}


class Followed(Strict):
    """Takes net0 of a VM that runs at once, as qemu-server does where `hotplug` has network in it.

    Where somebody stands behind its VMs (tests.pve.guests), one that was stopped is started once that is gone.
    """

    followed = False

    async def _do_stop(self, vm: Any, user: str, p: Any) -> Any:  # Any: as in told
        vm.closing = self.followed
        return await super()._do_stop(vm, user, p)

    async def _do_start(self, vm: Any, user: str, p: Any) -> Any:  # Any: as in told
        for _ in range(500):
            if not getattr(vm, "closing", False):
                break
            await asyncio.sleep(0.02)
        return await super()._do_start(vm, user, p)

    async def _apply_config(self, vm: Any, user: str, p: Any) -> None:  # Any: as in told
        await super()._apply_config(vm, user, p)
        if "net0" in vm.pending and "network" in vm.config.get("hotplug", "network,disk,usb").split(","):
            vm.config["net0"] = vm.pending.pop("net0")


class Stalled(Followed):
    """What makes a guest does not end while `stalled`: its configuration is empty but for the lock until then.

    As qemu-server and pve-container write it first (create_and_lock_config). `time_scale` must not be 0: tasks are then
    over when their request is answered.
    """

    stalled = False

    async def task(self, node: str, ttype: str, tid: Any, user: str, body: Callable[[], Awaitable[Any]],
                   **given: Any) -> Any:  # fmt: skip  # Any: as in told
        """See Strict.task."""

        async def stalling() -> Any:
            if ttype in MAKING:
                guest = given["vm"]
                whole = guest.config
                while self.stalled:
                    guest.config = {"lock": whole["lock"]}
                    await asyncio.sleep(0.02)
                guest.config = whole
            return await body()

        return await super().task(node, ttype, tid, user, stalling, **given)


class Pve(NetworkApi, SdnApi, Stalled):
    """The strict one with networks of its nodes, and SDN."""

    def __init__(self, **given: Any) -> None:  # Any: as Strict
        super().__init__(**given)
        self.sdn = {"zones": {}, "vnets": {}}
        self.sdn_running = {"zones": {}, "vnets": {}}


def told(pve: Any, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:  # Any: JSON, and an untyped library
    """What a line of input asks for."""
    if name in OURS:
        return OURS[name](pve, *arguments)
    result = getattr(pve, name)(*arguments, **named)
    return result if isinstance(result, str | int | float | list | dict | None) else repr(result)


def _set(pve: Any, vmid: int, attribute: str, value: Any) -> None:  # Any: as in told, here and below
    """An attribute of it, or of one of its guests."""
    setattr(pve.guest(int(vmid)) if vmid else pve, attribute, value)


def _configure(pve: Any, vmid: int, key: str, value: str) -> None:
    """What Proxmox VE adds to a configuration by itself."""
    pve.guest(int(vmid)).config[key] = value


def _store(pve: Any, name: str, key: str, value: Any) -> None:
    """A key of a storage: its content, what is free, the volumes in it."""
    pve.storages[name][key] = value


def _acl(pve: Any, who: str, rights: list[Any]) -> None:
    """Who may do what: [path, [privileges]] each; nobody else anything."""
    pve.acl = {who: [(path, set(privileges)) for path, privileges in rights]}


def _add_pool(pve: Any, name: str) -> None:
    pve.pools[name] = set()


def _configure_firewall(pve: Any, enable: int) -> None:
    """The cluster's, on or off."""
    pve.firewall_config("cluster")["options"]["enable"] = enable


def _guests(pve: Any) -> dict[str, Any]:
    found = [("qemu", each) for each in pve.vms] + [("lxc", each) for each in pve.cts]
    return {
        str(each.vmid): {
            "name": each.name,
            "node": each.node,
            "status": each.status,
            "since": getattr(each, "started_at", 0),
            "kind": kind,
            "config": dict(each.config),
            "ssh-public-keys": pve.keys.get(each.vmid, ""),
        }
        for kind, each in found
    }


def _volumes(pve: Any, storage: str) -> list[str]:
    return sorted(pve.storages[storage].get("volumes", {}))


def _held(pve: Any) -> dict[str, Any]:
    """All that a run could leave there: guests, volumes of each storage, members of pools, tasks that run."""
    return {
        "guests": _guests(pve),
        "volumes": {name: sorted(pve._volumes(name)) for name in pve.storages},
        "pools": {name: sorted(members) for name, members in pve.pools.items()},
        "tasks": [upid for upid, each in pve.tasks.items() if each["status"] == "running"],
    }


def _requests(pve: Any) -> list[Any]:
    return [list(each[:2]) for each in pve.requests]


def _network(pve: Any, node: str, enter: list[str]) -> None:
    """A node that a line of shell is run on behind those words."""
    pve.networks[node] = NodeNetwork(enter)


def _sdn(pve: Any) -> dict[str, Any]:
    return {"written": pve.sdn, "running": pve.sdn_running}


def _after_reload(pve: Any, node: str, words: list[str]) -> None:
    """What goes wrong with a node's reload."""
    pve.networks[node].after = words


OURS: dict[str, Callable[..., Any]] = {
    "set": _set, "configure": _configure, "configure_firewall": _configure_firewall, "store": _store, "acl": _acl,
    "add_pool": _add_pool, "guests": _guests, "held": _held, "requests": _requests, "volumes": _volumes,
    "network": _network, "sdn": _sdn, "after_reload": _after_reload,
}  # fmt: skip


def said(line: object) -> None:
    """A line of output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> None:
    """Serve until standard input ends."""
    pve = Pve(user="root@pam", password="secret", host="127.0.0.1", port=0)  # noqa: S106 - of a double
    pve.time_scale = 0
    cert, key, _ = make_cert(sys.argv[1], hosts=("127.0.0.1",))
    await pve.start(cert, key)
    said(pve.port)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            answer = {"data": told(pve, *json.loads(line))}
        except Exception as error:
            answer = {"error": repr(error)}
        said(json.dumps(answer))
    await pve.stop()


if __name__ == "__main__":
    asyncio.run(main())
