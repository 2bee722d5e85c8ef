"""What Proxmox VE refuses and fakepve lets pass: every call by the schema, starts that fail, tasks that are ended.

Sources: qemu-server (PVE/QemuServer.pm: vcpus, MTU; PVE/API2/Qemu.pm: root-only keys), pve-common (PVE/Network.pm:
bridges, tags), pve-storage (content 'import').
"""

import asyncio
import contextvars
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from fakepve import FakePve  # type: ignore[import-untyped]
from fakepve import schema as pve_schema
from fakepve.model import PveError, TaskError  # type: ignore[import-untyped]
from fakepve.qemu import with_mac  # type: ignore[import-untyped]
from fakepve.server import API, USER, params  # type: ignore[import-untyped]

CPUS = 4  # that fakepve says each node has
_GIB = 1 << 30
BRIDGES = [
    {"iface": "vmbr0", "type": "bridge", "active": 1, "bridge_ports": "eno1", "mtu": "1500", "bridge_vlan_aware": 1},
    {"iface": "vmbr1", "type": "bridge", "active": 1, "bridge_ports": "eno2"},
    {"iface": "vmbr2", "type": "OVSBridge", "active": 1, "mtu": "9000"},
]
_stopping: contextvars.ContextVar[asyncio.Event | None] = contextvars.ContextVar("stopping", default=None)


class Strict(FakePve):  # type: ignore[misc]  # an untyped library, from here on
    """FakePve with those; `bridges` are every node's, `starts_last_s` is how long a start takes."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.bridges: list[dict[str, Any]] = BRIDGES
        self.starts_last_s = 0.0
        self.memory_gib = 64  # of each node, two of them in use
        self.networks: dict[str, Any] = {}  # nodes that have more than those (tests.pve.network_double)
        self.sdn_running: dict[str, dict[str, Any]] = {"zones": {}, "vnets": {}}
        self.agents: dict[str, Any] | None = None  # of VMs that start
        self.keys: dict[int, str] = {}  # of containers, by id
        self._stops: dict[str, asyncio.Event] = {}

    async def _answer(self, request: web.Request, handler: Any, generic: Any, path_node: str) -> Any:
        """Parameters as the schema has them, whichever handler it is."""
        match = generic or self.resolve(request, API)
        if match is not None and request.method in match.methods and request.content_type != "multipart/form-data":
            declared = (match.methods[request.method].get("parameters") or {}).get("properties", {})
            given = dict(await params(request))
            own = {key: value for key, value in match.params.items() if key in declared}
            _, errors = pve_schema.validate(match.methods[request.method].get("parameters"), {**given, **own})
            if errors:
                return _refused(errors)
        return await super()._answer(request, handler, generic, path_node)

    async def answer(self, request: web.Request, match: Any, given: Any, user: str, call: Any = None) -> Any:
        """What it only makes up otherwise: bridges, the end of a task."""
        listed = match is not None and request.method == "GET" and match.template == "/nodes/{node}/network"
        if listed and match.params["node"] not in self.networks:
            return await super().answer(request, match, given, user, self._network)
        if match is not None and request.method == "DELETE" and match.template == "/nodes/{node}/tasks/{upid}":
            return await super().answer(request, match, given, user, self._ended)
        return await super().answer(request, match, given, user, call)

    def _node_stats(self, online: bool) -> dict[str, Any]:
        """With memory for the guests of every plan that ships."""
        stats: dict[str, Any] = super()._node_stats(online)
        return stats | ({"maxmem": self.memory_gib * _GIB} if stats else {})

    async def _network(self, _match: Any, _values: Any) -> Any:
        return self.bridges

    async def _ended(self, _match: Any, values: Any) -> None:
        if values["upid"] in self._stops:
            self._stops[values["upid"]].set()

    async def task(self, node: str, ttype: str, tid: Any, user: str, body: Callable[[], Awaitable[Any]],
                   **given: Any) -> Any:  # fmt: skip
        """One that a DELETE ends, as SIGTERM ends a worker: it undoes what it began."""
        stop = asyncio.Event()

        async def stoppable() -> Any:
            token = _stopping.set(stop)
            try:
                if ttype in {"qmstart", "vzstart"}:
                    await self.pause(self.starts_last_s)
                    self._starts(self.guest(int(tid)), ttype)
                return await body()
            finally:
                _stopping.reset(token)

        upid = await super().task(node, ttype, tid, user, stoppable, **given)
        self._stops[upid] = stop
        return upid

    async def pause(self, secs: float) -> None:
        """Raises TaskError where the task was ended meanwhile."""
        stop = _stopping.get()
        if stop is None or not secs or not self.time_scale:
            await super().pause(secs)
            return
        try:
            await asyncio.wait_for(stop.wait(), secs * self.time_scale)
        except TimeoutError:
            return
        raise TaskError("interrupted by signal")

    def _starts(self, guest: Any, ttype: str) -> None:
        """Raises TaskError for what a node cannot start."""
        given = dict(word.partition("=")[::2] for word in str(guest.config.get("net0", "")).split(","))
        bridge = next((each for each in self.bridges if each["iface"] == given.get("bridge")), None)
        if ttype == "qmstart":
            guest.agent = guest.agent or self.agents
        if ttype == "qmstart" and int(guest.config.get("cores", 1)) > CPUS:
            raise TaskError(f"MAX {CPUS} vcpus allowed per VM on this node")
        if "bridge" not in given:
            return
        if bridge is None and guest.node in self.networks:
            return  # its own network knows
        if bridge is None:
            raise TaskError(f"bridge '{given['bridge']}' does not exist")
        most = bridge.get("mtu", "1500")
        if int(given.get("mtu", 0)) > int(most):
            raise TaskError(f"net0: netdev MTU '{given['mtu']}' is bigger than the bridge MTU '{most}'")
        if "trunks" in given and bridge["type"] == "bridge" and not bridge.get("bridge_vlan_aware"):
            raise TaskError("vlan aware feature need to be enabled to use trunks")

    async def _apply_config(self, vm: Any, user: str, p: Any) -> Any:
        """A NIC without a MAC gets one."""
        given = {key: with_mac(value) if key.startswith("net") else value for key, value in p.items()}
        return await super()._apply_config(vm, user, given)

    async def _qm_clone(self, v: Any, user: str) -> Any:
        """By whoever may use what it has; to another node only with all of it on shared storage, CDs too."""
        target, config = v.get("target"), self.find(v["node"], int(v["vmid"])).config
        drives = [str(config[key]) for key in config if re.fullmatch(r"(ide|sata|scsi|virtio|efidisk)\d+", key)]
        used = {each.partition(":")[0] for each in drives if ":" in each.partition(",")[0]}
        local = [each for each in used if not self.storages.get(each, {}).get("shared")]
        if target in self.nodes and target != v["node"] and local:
            raise PveError(500, f"can't clone VM to node '{target}' (VM uses local storage)")
        words = [(key, word.partition("=")) for key in config for word in str(config[key]).split(",")]
        for key, (name, _, value) in words:  # check_bridge_access, check_mapping_access
            if re.fullmatch(r"net\d+", key) and name == "bridge":
                zone = self.sdn_running["vnets"].get(value, {}).get("zone", "localnetwork")
                self.require(user, f"/sdn/zones/{zone}/{value}", "SDN.Use")
            if re.fullmatch(r"hostpci\d+", key) and name == "mapping":
                self.require(user, f"/mapping/pci/{value}", "Mapping.Use")
        return await super()._qm_clone(v, user)

    def _config_priv(self, key: str) -> Any:
        return "root" if key in {"affinity", "args", "hookscript"} else super()._config_priv(key)

    async def _lxc_create(self, user: str, v: Any) -> Any:
        """Its key goes into the container and not into its configuration."""
        key = str(v.pop("ssh-public-keys", ""))
        upid = await super()._lxc_create(user, v)
        self.keys[int(v["vmid"])] = key
        return upid

    def _qm_new_drive(self, vmid: int, key: str, value: str, default: Any) -> Any:
        """An image that is imported must be there, and does not stay in the configuration."""
        words = [word for word in value.split(",") if not word.startswith("import-from=")]
        if source := value.partition("import-from=")[2].partition(",")[0]:
            storage, _, volume = source.partition(":")
            if volume not in self._volumes(storage):
                raise PveError(500, f"volume '{source}' does not exist")
            words[0] = f"{storage if not words[0] else words[0].partition(':')[0]}:2"  # GB
        return super()._qm_new_drive(vmid, key, ",".join(words), default)

    async def _upload(self, request: web.Request) -> Any:
        """Images too, which Proxmox VE takes since 8.4: whole, with the sum that was told before the file."""
        body = await request.read()
        if b'name="content"\r\n\r\nimport\r\n' not in body:
            return await super()._upload(request)
        name, node = request.match_info["storage"], request.match_info["node"]
        self.require(request[USER], f"/storage/{name}", "Datastore.AllocateTemplate")
        if "import" not in str(self.storages[name].get("content", "")).split(","):
            raise PveError(400, "Parameter verification failed.", {"content": "value not allowed"})
        boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
        if int(request.headers.get("Content-Length", -1)) != len(body) or not body.endswith(
            b"--" + boundary + b"--\r\n"
        ):
            raise PveError(400, "bad upload request")
        fields: dict[str, str] = {}
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, data = part[2:-2].partition(b"\r\n\r\n")
            said = head.decode()
            if 'filename="' not in said:
                fields[said.partition('name="')[2].partition('"')[0]] = data.decode()
                continue
            file, sum_of = said.partition('filename="')[2].partition('"')[0], hashlib.new(fields["checksum-algorithm"])
            sum_of.update(data)

            async def stored(file: str = file, size: int = len(data), actual: str = sum_of.hexdigest()) -> None:
                if actual != fields["checksum"]:
                    raise TaskError(f"checksum mismatch: got '{actual}' != expect '{fields['checksum']}'")
                self.store_file(name, file, size, "import")

            return web.json_response({"data": await self.task(node, "imgcopy", "", request[USER], stored)})
        raise PveError(400, "bad upload request")


def _refused(errors: dict[str, str]) -> web.Response:
    body = {"data": None, "message": "Parameter verification failed.\n", "errors": errors}
    return web.json_response(body, status=400, reason="Parameter verification failed.")
