"""A node's network, of which fakepve has a stub: edits that wait, their diff, the rules of writing, a real reload.

The node is a tree with ifupdown2 in it and a namespace that it is entered in, or a guest: what is applied changes that.
"""

import asyncio
import base64
import difflib
import re
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from fakepve import schema as pve_schema  # type: ignore[import-untyped]
from fakepve.model import PveError, TaskError  # type: ignore[import-untyped]
from fakepve.server import USER, params  # type: ignore[import-untyped]

from bench.pve.interfaces import FILE, PENDING
from tests.pve import interfaces_file
from tests.pve.interfaces_file import Row

_BRIDGES = {"any_bridge", "any_local_bridge", "bridge", "include_sdn"}
_OF_PORTS = ("bridge_ports", "slaves")
Values = dict[str, Any]
_MARK = "|"  # no letter of base64, nor of a device's name here
_READ = (
    f"ls /sys/class/net; echo '{_MARK}'; base64 -w 0 {FILE}; echo '{_MARK}'; "
    f"[ ! -e {PENDING} ] || base64 -w 0 {PENDING}"
)


@dataclass
class NodeNetwork:
    """The words before a line of shell that is run on a node; `after` runs once a reload is done."""

    enter: list[str]
    after: list[str] = field(default_factory=list)

    async def run(self, line: str, stdin: str = "") -> tuple[int, str]:
        """Exit code and output of a line there."""
        process = await asyncio.create_subprocess_exec(
            *self.enter, line, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate(stdin.encode())
        return process.returncode or 0, out.decode(errors="replace")

    async def read(self) -> tuple[str, str | None, list[str]]:
        """What is applied, what waits (None where nothing does), and the names of all devices."""
        code, told = await self.run(_READ)
        assert code == 0, told
        names, *files = [each.strip() for each in told.split(_MARK)]
        applied, waits = (base64.b64decode(each).decode() if each else None for each in files)
        return applied or "", waits, names.split()

    async def rows(self) -> tuple[dict[str, Row], list[str]]:
        """What waits, or what is applied where nothing waits."""
        applied, waits, names = await self.read()
        nics = {name for name in names if interfaces_file.kind(name, {}) == "eth"}
        return interfaces_file.read(applied if waits is None else waits, nics)

    async def write(self, rows: dict[str, Row], rest: list[str]) -> None:
        """Edits that wait. Raises PveError as a `die` does."""
        try:
            text = interfaces_file.written(rows, rest)
        except ValueError as error:
            raise PveError(500, str(error)) from error
        await self.put(PENDING, text)

    async def put(self, path: str, text: str) -> None:
        """A file of the node."""
        code, told = await self.run(f"cat >{path}", text)
        assert code == 0, told

    async def changes(self) -> str:
        """As `diff -u` prints it; "" where nothing waits."""
        applied, waits, _ = await self.read()
        was, now = (text.splitlines(keepends=True) for text in (applied, applied if waits is None else waits))
        return "".join(difflib.unified_diff(was, now, "interfaces", "interfaces.new"))


@dataclass(frozen=True)
class Beside:
    """An answer with what stands beside its data."""

    data: Any  # Any: JSON
    more: dict[str, Any]


def refused(**fields: str) -> Exception:
    """A 400 with a message for each field."""
    error: Exception = PveError(400, "Parameter verification failed.", fields)
    return error


class NetworkApi:
    """Mixin for FakePve: /nodes/{node}/network, of the nodes in `networks`."""

    networks: dict[str, NodeNetwork]
    task: Any  # Any: fakepve's own, untyped, here and below
    answer: Any

    def _routes_network(self) -> list[tuple[str, str, Any]]:
        base = "/nodes/{node}/network"
        return [
            ("GET", base, self._network_list), ("POST", base, self._network_create), ("PUT", base, self._network_apply),
            ("DELETE", base, self._network_discard), ("GET", f"{base}/{{iface}}", self._network_get),
            ("PUT", f"{base}/{{iface}}", self._network_update), ("DELETE", f"{base}/{{iface}}", self._network_delete),
        ]  # fmt: skip

    def _stateful_handler(self, template: str, handler: Any) -> Callable[[web.Request], Awaitable[web.Response]]:
        """As fakepve's, for answers with more than data; a node that is not ours here has the stub."""

        async def serve(request: web.Request) -> web.Response:
            match = pve_schema.Match(template, dict(request.match_info), pve_schema.load().paths[template])
            user = request[USER]

            async def call(_: Any, values: Values) -> Any:  # Any: JSON
                return await handler(values, user)

            stub = "network" in template and match.params.get("node") not in self.networks
            data = await self.answer(request, match, await params(request), user, None if stub else call)
            more = data.more if isinstance(data, Beside) else {}
            return web.json_response({"data": data.data if isinstance(data, Beside) else data, **more})

        return serve

    async def _network_list(self, v: Values, user: str) -> Any:  # Any: JSON
        del user
        node = self.networks[v["node"]]
        rows, _ = await node.rows()
        listed = [{"iface": name, **row} for name, row in rows.items() if name != "lo"]
        changes = await node.changes()
        if v.get("type") in _BRIDGES:
            listed = [row for row in listed if row["type"] == "bridge"]
        return Beside(listed, {"changes": changes} if changes else {})

    async def _network_get(self, v: Values, user: str) -> Any:  # Any: JSON
        del user
        rows, _ = await self.networks[v["node"]].rows()
        return _there(rows, v)

    async def _network_create(self, v: Values, user: str) -> None:
        del user
        node, name, given = _taken(self.networks, v)
        rows, rest = await node.rows()
        if name in rows:
            raise refused(iface="interface already exists")
        _fits(rows, name, given)
        row: Row = {**given, "priority": len(rows) + 2, "families": []}
        _addressed(row)
        rows[name] = row
        await node.write(rows, rest)

    async def _network_update(self, v: Values, user: str) -> None:
        """What is not given of an address is gone: the stanza becomes `manual`, though its lines stay."""
        del user
        node, name, given = _taken(self.networks, v)
        rows, rest = await node.rows()
        row = _there(rows, v)
        for key in re.split(r"[,\s]+", str(given.pop("delete", ""))):
            row.pop(key, None)
            if key in {"cidr", "cidr6"}:
                for each in ("address", "netmask"):
                    row.pop(f"{each}{key.removeprefix('cidr')}", None)
        _fits(rows, name, given)
        state: Row = {**given, "families": []}
        _addressed(state)
        row.update(state)
        await node.write(rows, rest)

    async def _network_delete(self, v: Values, user: str) -> None:
        del user
        node = self.networks[v["node"]]
        rows, rest = await node.rows()
        _there(rows, v)
        del rows[v["iface"]]
        await node.write(rows, rest)

    async def _network_discard(self, v: Values, user: str) -> None:
        del user
        await self.networks[v["node"]].run(f"rm -f {PENDING}")

    async def _network_apply(self, v: Values, user: str) -> str:
        node = self.networks[v["node"]]
        upid: str = await self.task(v["node"], "srvreload", "networking", user, lambda: self.reload(node))
        return upid

    async def reload(self, node: NodeNetwork) -> str:
        """The task: what waits becomes the file, and the node's devices follow it."""
        code, said = await node.run(f"[ ! -e {PENDING} ] || mv {PENDING} {FILE}; ifreload -a")
        if node.after:
            await node.run(shlex.join(node.after))
        if code:
            raise TaskError(f"command 'ifreload -a' failed: exit code {code}: {said[-300:]}")
        return said


def _there(rows: dict[str, Row], v: Values) -> Row:
    if v["iface"] not in rows:
        raise refused(iface="interface does not exist")
    return rows[v["iface"]]


def _taken(networks: dict[str, NodeNetwork], v: Values) -> tuple[NodeNetwork, str, Row]:
    given = {key: value for key, value in v.items() if key not in {"node", "iface"}}
    for key in ("autostart", "bridge_vlan_aware"):
        if key in given:
            given[key] = 1 if str(given[key]) in {"1", "True", "true"} else 0
    return networks[v["node"]], v["iface"], given


def _fits(rows: dict[str, Row], name: str, given: Row) -> None:
    """Ports that another has, and a second default gateway."""
    for key in _OF_PORTS:
        for port in str(given.get(key, "")).replace(",", " ").split():
            for other, row in rows.items():
                if other != name and port in f"{row.get('bridge_ports', '')} {row.get('slaves', '')}".split():
                    raise refused(**{key: f"{port} is already used on interface '{other}'."})
    if given.get("gateway"):
        for other, row in rows.items():
            if other != name and row.get("gateway"):
                raise refused(gateway=f"Default gateway already exists on interface '{other}'.")


def _addressed(row: Row) -> None:
    for suffix, family in (("", "inet"), ("6", "inet6")):
        if row.get(f"cidr{suffix}"):
            if row.get(f"address{suffix}") not in (None, str(row[f"cidr{suffix}"]).partition("/")[0]):
                raise refused(**{f"address{suffix}": "address conflicts with cidr"})
            row[f"address{suffix}"] = row[f"cidr{suffix}"]
        interfaces_file.addressed(row, suffix)
        row[f"method{suffix}"] = "static" if row.get(f"address{suffix}") else "manual"
        row["families"] += [family] if row.get(f"address{suffix}") else []
    row["families"] = row["families"] or ["inet"]
