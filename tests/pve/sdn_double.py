"""SDN, of which fakepve has a stub: zones and vnets as they are written and as they run, and the apply between them.

What an apply writes: sdn_file.py. Zones that are not simple need devices that not every kernel has.
"""

import copy
import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fakepve.model import PveError, TaskError  # type: ignore[import-untyped]

from bench.pve.interfaces import SDN
from tests.pve import sdn_file
from tests.pve.network_double import NodeNetwork

Rows = dict[str, dict[str, Any]]  # Any: JSON, here and below
Values = dict[str, Any]
_KEYS = {"zones": "zone", "vnets": "vnet"}
OTHERS = ("controllers", "fabrics/fabric", "fabrics/node", "prefix-lists", "route-maps/entries")  # are only listed
# Of a node, a line each: "port BRIDGE [PORT]", "aware BRIDGE 0|1", "own ADDRESS".
_ASKED = """\
for bridge in /sys/class/net/*/bridge; do
  name=${bridge%/bridge}; name=${name##*/}
  echo "port $name $(ls "${bridge%/bridge}/brif" | tr '\\n' ' ')"
  echo "aware $name $(cat "$bridge/vlan_filtering" 2>/dev/null)"
done
ip -o address show | sed -n 's,.*inet6* \\([^/ ]*\\).*,own \\1,p'
"""


class SdnApi:
    """Mixin for FakePve: zones and vnets of /cluster/sdn, applied on the nodes in `networks`."""

    networks: dict[str, NodeNetwork]
    sdn: dict[str, Rows]
    sdn_running: dict[str, Rows]
    sdn_waiting: Mapping[str, list[Any]] = MappingProxyType({})
    sdn_older = False
    task: Any  # Any: fakepve's own, untyped, here and below
    reload: Any
    allowed: Any

    def _routes_sdn(self) -> list[tuple[str, str, Any]]:
        base = "/cluster/sdn"
        return [
            ("GET", f"{base}/zones", self._zones), ("POST", f"{base}/zones", self._zone_create),
            ("DELETE", f"{base}/zones/{{zone}}", self._zone_delete), ("GET", f"{base}/vnets", self._vnets),
            ("POST", f"{base}/vnets", self._vnet_create), ("DELETE", f"{base}/vnets/{{vnet}}", self._vnet_delete),
            ("PUT", base, self._sdn_apply), ("GET", f"{base}/vnets/{{vnet}}/subnets", self._subnets),
            *(("GET", f"{base}/{kind}", functools.partial(self._waits, kind)) for kind in OTHERS),
        ]  # fmt: skip

    async def _waits(self, kind: str, v: Values, user: str) -> list[Any]:
        """What a test says that waits of a kind; those of version 9 an older one does not know."""
        del v, user
        if self.sdn_older and kind != "controllers":
            raise PveError(501, f"Method 'GET /cluster/sdn/{kind}' not implemented")
        return self.sdn_waiting.get(kind, [])

    async def _subnets(self, v: Values, user: str) -> list[Any]:
        del user
        return [row for row in self.sdn_waiting.get("subnets", []) if row["vnet"] == v["vnet"]]

    async def _zones(self, v: Values, user: str) -> list[Any]:
        return [row for row in self._listed("zones", v) if self._seen(user, f"/sdn/zones/{row['zone']}")]

    async def _vnets(self, v: Values, user: str) -> list[Any]:
        rows = self._listed("vnets", v)
        return [row for row in rows if self._seen(user, f"/sdn/zones/{row['zone']}/{row['vnet']}")]

    def _seen(self, user: str, path: str) -> bool:
        """Use alone lists nothing (PVE::API2::Network::SDN::Vnets and ::Zones)."""
        return any(self.allowed(user, path, each) for each in ("SDN.Audit", "SDN.Allocate"))

    def _listed(self, kind: str, v: Values) -> list[Any]:
        """With `pending` what is removed too, and how each differs from what runs."""
        written, runs, key = self.sdn[kind], self.sdn_running[kind], _KEYS[kind]
        if str(v.get("running")) in {"1", "True"}:
            return [{key: name, **row} for name, row in runs.items()]
        if str(v.get("pending")) not in {"1", "True"}:
            return [{key: name, **row} for name, row in written.items()]
        found = []
        for name in sorted(written.keys() | runs.keys()):
            row = {key: name, **(runs.get(name) or written[name])}
            if name not in written:
                row["state"] = "deleted"
            elif written[name] != runs.get(name):
                row |= {"state": "changed" if name in runs else "new", "pending": written[name]}
            found.append(row)
        return found

    async def _zone_create(self, v: Values, user: str) -> None:
        del user
        self._create("zones", v)

    async def _vnet_create(self, v: Values, user: str) -> None:
        del user
        if v["zone"] not in self.sdn["zones"]:
            raise PveError(500, f"create sdn vnet object failed: sdn '{v['zone']}' does not exist")
        self._create("vnets", v)

    def _create(self, kind: str, v: Values) -> None:
        name = v[_KEYS[kind]]
        if name in self.sdn[kind]:
            raise PveError(500, f"create sdn {_KEYS[kind]} object failed: sdn {_KEYS[kind]} object ID '{name}' "
                                "already defined")  # fmt: skip
        self.sdn[kind][name] = {key: value for key, value in v.items() if key != _KEYS[kind]}

    async def _vnet_delete(self, v: Values, user: str) -> None:
        del user
        self._delete("vnets", v["vnet"])

    async def _zone_delete(self, v: Values, user: str) -> None:
        del user
        for name, row in self.sdn["vnets"].items():
            if row["zone"] == v["zone"]:
                raise PveError(500, f"delete sdn zone object failed: zone {v['zone']} is used by vnet {name}")
        self._delete("zones", v["zone"])

    def _delete(self, kind: str, name: str) -> None:
        if name not in self.sdn[kind]:
            raise PveError(500, f"delete sdn object failed: sdn '{name}' does not exist")
        del self.sdn[kind][name]

    async def _sdn_apply(self, v: Values, user: str) -> str:
        del v
        self.sdn_running = copy.deepcopy(self.sdn)

        async def every() -> None:
            for node in self.networks.values():
                await node.put(SDN, await self._written(node))
                try:
                    await self.reload(node)
                except TaskError:
                    continue  # the task of the cluster ends well though a node's did not

        upid: str = await self.task(min(self.networks), "reloadnetworkall", "", user, every)
        return upid

    async def _written(self, node: NodeNetwork) -> str:
        """The file of that node."""
        _, told = await node.run(_ASKED)
        bridges: dict[str, list[str]] = {}
        aware, own = set(), set()
        for what, name, *more in (line.split() for line in told.splitlines()):
            if what == "port":
                bridges.setdefault(name, []).extend(more)
            elif what == "aware" and more == ["1"]:
                aware.add(name)
            elif what == "own":
                own.add(name)
        return sdn_file.written(self.sdn_running["zones"], self.sdn_running["vnets"], bridges, aware, own)
