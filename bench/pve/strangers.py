"""The guests of a node that are not ours: who they are, whether they may be seen, and whether they suffer.

The API counts each guest's traffic (netin, netout) and its CPU; since Proxmox VE 9 it also has its pressure: the share
of time in which some of it waited for a CPU.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from bench.pve import ownership
from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.ownership import WORDS, Kind
from results.errors import NotAble, first_of

_AT_ONCE = 8
BASELINE_S = 3.0
LOOKS = 3  # under load that a guest must suffer in a row
_APART_S = 5.0  # looks further apart are of two steps
_LEFT = 0.5  # of what it had at least: below it, it suffers
_RATE_LEAST, _CPU_LEAST = 125_000.0, 0.05  # bytes/s and share of its CPUs: what is less is noise
_PRESSURE_PCT, _PRESSURE_MORE_PCT = 20.0, 10.0  # of the last 10 s, as the kernel's pressure files have it
_NAMED = 4


@dataclass(frozen=True, slots=True)
class Stranger:
    """A guest that runs and is somebody else's."""

    kind: Kind
    node: str
    vmid: int
    name: str

    def __str__(self) -> str:
        return f"{WORDS[self.kind]} {self.vmid} ({self.name}) on {self.node}"


@dataclass(frozen=True, slots=True)
class Look:
    """A guest at one moment: bytes that passed its NICs, its CPU as a share of its own, pressure in per cent."""

    at_s: float
    moved: int
    cpu: float
    pressure_pct: float
    runs: bool = True


@dataclass(frozen=True, slots=True)
class Usual:
    """The least that it had in any second before all load: bytes/s, CPU; and its most pressure."""

    rate: float
    cpu: float
    pressure_pct: float


def running(client: Client, nodes: Collection[str], ours: Collection[int] = ()) -> tuple[Stranger, ...]:
    """Those on these nodes, as far as they may be seen. Raises PveFault."""
    rows = client.get("/cluster/resources", {"type": "vm"})
    return tuple(
        Stranger("lxc" if row.get("type") == "lxc" else "qemu", str(row["node"]), int(row["vmid"]),
                 str(row.get("name", "")))
        for row in sorted(rows, key=lambda row: int(row.get("vmid", 0)))
        if row.get("status") == "running" and row.get("node") in nodes and int(row["vmid"]) not in ours
    )  # fmt: skip


def all_seen(client: Client) -> bool:
    """Whether every guest of the cluster may be seen. Raises PveFault."""
    held: Any = client.get("/access/permissions", {"path": "/vms"})  # Any: JSON
    return isinstance(held, dict) and any("VM.Audit" in held.get(path, ()) for path in ("/", "/vms"))


def checked(client: Client, nodes: Sequence[str], *, shared_host: bool) -> tuple[Stranger, ...]:
    """The strangers on these nodes. Raises NotAble where there are, or may be, some, unless that is known; PveFault."""
    found, seen = running(client, nodes), all_seen(client)
    if shared_host or (seen and not found):
        return found
    if found:
        raise NotAble(
            f"guests that are not ours run there, and would have what the load leaves: {first_of(found, _NAMED)}",
            hint="another node; or --shared-host: they are watched, and the load ends where they suffer",
        )
    raise NotAble(
        f"whether guests of others run on {', '.join(nodes)} may not be seen",
        hint="pveum acl modify /vms with VM.Audit shows them; or --shared-host, where you know that there is nobody",
    )


def notes(found: Sequence[Stranger], *, seen: bool) -> tuple[str, ...]:
    """What a run on a shared node says of it."""
    said = []
    if found:
        named = ", ".join(map(str, found))
        said.append(f"Guests of others ran there and were watched by their CPU, traffic and pressure: {named}.")
    if not seen:
        said.append("Guests that the token may not see (VM.Audit on /vms) may have run there, and were not watched.")
    return tuple(said)


@dataclass(slots=True)
class Watch:
    """Looks at strangers, now and then; `ours` are the ids of our own guests, which come later."""

    client: Client
    nodes: Sequence[str]
    shared_host: bool
    ours: Collection[int] = ()
    found: Sequence[Stranger] = ()  # before anything was made
    clock: Callable[[], float] = time.monotonic
    _usual: dict[Stranger, Usual] = field(default_factory=dict)
    _looks: dict[Stranger, deque[Look]] = field(default_factory=dict)
    _last_s: float = float("-inf")

    def begin(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """What they have before all load; takes BASELINE_S where there are any. Raises PveFault."""
        found = self.found
        if not found:
            return
        seen: dict[Stranger, list[Look]] = {each: [] for each in found}
        for number in range(int(BASELINE_S) + 1):
            if number:
                sleep(1.0)
            for stranger, look in self._asked(found).items():
                seen[stranger].append(look)
        self._usual = {stranger: usual(looks) for stranger, looks in seen.items()}

    def __call__(self) -> str:
        """Who suffers now, in words; "" nobody."""
        try:
            now = self.clock()
            if now - self._last_s > _APART_S and (said := self._anew()):
                return said
            self._last_s = now
            for stranger, look in self._asked(tuple(self._looks)).items():
                self._looks[stranger].append(look)
        except PveFault as error:
            return f"the guests of others cannot be watched any more: {error}"
        for stranger, looks in self._looks.items():
            if said := suffers(looks, self._usual.get(stranger)):
                return f"{stranger} {said}"
        return ""

    def _anew(self) -> str:
        """At the beginning of a step: who is there now."""
        found = running(self.client, self.nodes, self.ours)
        if not self.shared_host and found:
            return f"{found[0]} runs there now, and is not ours"
        self._looks = {each: deque(maxlen=LOOKS + 1) for each in found}
        return ""

    def _asked(self, found: Sequence[Stranger]) -> Mapping[Stranger, Look]:
        if not found:
            return {}
        with ThreadPoolExecutor(min(_AT_ONCE, len(found))) as pool:
            return dict(zip(found, pool.map(self._look, found), strict=True))

    def _look(self, of: Stranger) -> Look:
        row = self.client.get(f"{ownership.path(of.kind, of.node, of.vmid)}/status/current")
        moved = int(row.get("netin") or 0) + int(row.get("netout") or 0)
        pressure = float(row.get("pressurecpusome") or 0.0)
        return Look(self.clock(), moved, float(row.get("cpu") or 0.0), pressure, row.get("status") == "running")


def usual(looks: Sequence[Look]) -> Usual:
    """Of looks about a second apart."""
    return Usual(max(0.0, min(_rates(looks), default=0.0)), min((each.cpu for each in looks), default=0.0),
                 max((each.pressure_pct for each in looks), default=0.0))  # fmt: skip


def suffers(looks: Sequence[Look], was: Usual | None) -> str:
    """What it has too little of, in words; "" where it is well or nothing can be said.

    Everything must hold in every look of the last few: a single one tells of nothing.
    """
    listed = list(looks)[-LOOKS - 1 :]
    if listed and not listed[-1].runs:
        return "does not run any more"
    return _short_of(listed, was) if len(listed) > LOOKS else ""


def _short_of(listed: Sequence[Look], was: Usual | None) -> str:
    recent, rates = listed[1:], _rates(listed)
    before = was or Usual(0.0, 0.0, 0.0)
    if min(each.pressure_pct for each in recent) >= max(_PRESSURE_PCT, before.pressure_pct + _PRESSURE_MORE_PCT):
        return f"waits for a CPU in {recent[-1].pressure_pct:.0f} % of its time (before: {before.pressure_pct:.0f} %)"
    # A counter that runs backwards is one of a guest that was started anew.
    if before.rate >= _RATE_LEAST and min(rates) >= 0 and max(rates) < _LEFT * before.rate:
        return f"moves {8e-6 * max(rates):.1f} Mbit/s, and had {8e-6 * before.rate:.1f} at least before the load"
    if before.cpu >= _CPU_LEAST and max(each.cpu for each in recent) < _LEFT * before.cpu:
        return f"gets {100 * recent[-1].cpu:.0f} % of its CPUs, and had {100 * before.cpu:.0f} % at least before"
    return ""


def _rates(looks: Sequence[Look]) -> list[float]:
    """Bytes a second from each look to the next."""
    return [(b.moved - a.moved) / max(b.at_s - a.at_s, 1e-3) for a, b in itertools.pairwise(looks)]
