"""A Proxmox VE that is none: fakepve in a process of its own, told by its input what it has and how it fails.

    python -m tests.pve.double FOLDER

Prints the port once it listens; FOLDER gets fakepve.crt. Each line of input is ["name", [arguments], {named}]: a
method of fakepve's, or one of ours; each answer is a line of JSON.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from fakepve import FakePve  # type: ignore[import-untyped]
from fakepve.certs import make_cert  # type: ignore[import-untyped]


def told(pve: Any, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:  # Any: JSON, and an untyped library
    """What a line of input asks for."""
    if name in OURS:
        return OURS[name](pve, *arguments)
    result = getattr(pve, name)(*arguments, **named)
    return result if isinstance(result, str | int | float | list | dict | None) else repr(result)


def _set(pve: Any, vmid: int, attribute: str, value: Any) -> None:  # Any: as in told, here and below
    """An attribute of it, or of one of its guests."""
    setattr(pve.vm(int(vmid)) if vmid else pve, attribute, value)


def _configure(pve: Any, vmid: int, key: str, value: str) -> None:
    """What Proxmox VE adds to a configuration by itself."""
    pve.vm(int(vmid)).config[key] = value


def _acl(pve: Any, who: str, rights: list[Any]) -> None:
    """Who may do what: [path, [privileges]] each; nobody else anything."""
    pve.acl = {who: [(path, set(privileges)) for path, privileges in rights]}


def _add_pool(pve: Any, name: str) -> None:
    pve.pools[name] = set()


def _guests(pve: Any) -> dict[str, Any]:
    return {str(vm.vmid): {"name": vm.name, "status": vm.status, "config": dict(vm.config)} for vm in pve.vms}


def _requests(pve: Any) -> list[Any]:
    return [list(each[:2]) for each in pve.requests]


OURS: dict[str, Callable[..., Any]] = {
    "set": _set, "configure": _configure, "acl": _acl, "add_pool": _add_pool, "guests": _guests, "requests": _requests,
}  # fmt: skip


def said(line: object) -> None:
    """A line of output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> None:
    """Serve until standard input ends."""
    pve = FakePve(user="root@pam", password="secret", host="127.0.0.1", port=0)  # noqa: S106 - of a double
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
