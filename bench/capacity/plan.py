"""The plan of a density run: how many pairs at once, over which path, for how long. Validated here, frozen after."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, cast

from bench import document, options
from bench.capacity import guests, on_nodes
from bench.capacity.dense import PAIRS_MOST, Layout
from bench.capacity.on_nodes import OnNodes
from bench.document import Node
from bench.labs.guests import Guests
from bench.options import Options
from bench.probes import irtt
from bench.probes.trips import P99_SAMPLES
from bench.pve import site
from results.errors import WrongInput
from results.scaling.arms import KIND

_PROVIDERS = ("netns", "qemu", "proxmox")
# Probes of all pairs together: each costs two programs four wake-ups, and 25,600 a second (128 pairs, one every 5 ms)
# left two CPUs no time for the pairs, some of which then sent one probe or none in two seconds.
PROBES_PER_S = 2000.0
SETTLING_S = 1.0  # from a leg's end to the second window: TCP has found what is left (its least timeout is 0.2 s)
_CONNECTED_S = 0.5  # of starting what takes connections
_TRIAL_FIXED_S, _TRIAL_PAIR_S = 0.7, 0.05  # of starting, arming and reading, beside the traffic (measured at 6 pairs)


@dataclass(frozen=True, slots=True)
class DensityPlan:
    """A validated plan; `document` is the plain tree that it was read from, kept with the run."""

    name: str
    about: str
    layout: Layout
    uplink_mbit: float  # 0: as fast as the kernel moves it
    pairs: tuple[int, ...]  # ascending
    rate_mbit: float  # that each pair's TCP stream is paced to; 0: as fast as it can
    congestion_control: str
    duration_s: float
    warmup_s: float
    interval_s: float  # between a pair's latency probes, at least
    repeats: int
    document: Mapping[str, object]
    connections: int = 0  # that each pair opens at a time, over and over, after its stream; 0: not measured
    connections_s: float = 0.0
    legs: int = 1  # links between the two nodes, each of `uplink_mbit`; pairs are dealt to them in turn
    leg_down: bool = False  # after the window one is taken away while all send, and a second window is measured
    vms: OnNodes | None = None  # on nodes of a Proxmox VE
    guests: Guests | None = None  # of QEMU on this machine; neither: its network namespaces

    @property
    def estimate_s(self) -> float:
        """Seconds that all of its trials take, about."""
        traffic = self.traffic_s + (self.connections_s + _CONNECTED_S) * bool(self.connections)
        one = [traffic + _TRIAL_FIXED_S + _TRIAL_PAIR_S * n for n in self.pairs]
        return self.repeats * sum(one)

    @property
    def traffic_s(self) -> float:
        """Seconds for which a trial's streams send."""
        second = SETTLING_S + self.duration_s if self.leg_down else 0.0
        return self.warmup_s + self.duration_s + second

    def probing_s(self, n: int) -> float:
        """Seconds between the probes of each of `n` pairs: all of them together send PROBES_PER_S at most."""
        return max(self.interval_s, n / PROBES_PER_S)


OPTIONS: Options = {
    "layout": options.word(
        ("across", "same", "mixed"),
        "across",
        "clients and servers on two nodes or on one; mixed: of VMs, one pair so, the next the other way",
    ),
    "uplink_mbit": options.number(1, 400_000, "Mbit/s", 0.0, "rate of the link between two nodes; unlimited if absent"),
    "rate_mbit": options.number(0.1, 400_000, "Mbit/s", 0.0, "of each pair; as fast as it can when not given"),
    "congestion_control": options.Option({"type": "string"}, lambda node: node.name(), ""),
    "duration_s": options.number(0.5, 3600, "seconds", 8.0, "seconds that are measured"),
    "warmup_s": options.number(0, 60, "seconds", 2.0, "seconds before them that are cut off"),
    "latency_interval_s": options.number(
        0.001,
        1,
        "seconds",
        0.005,
        "seconds between a pair's latency probes, at least: all pairs together send 2000 a second at most",
    ),
    "repeats": options.whole(1, 1000, "trials", 3, "trials at each number of pairs"),
    "connections": options.whole(
        1, 1000, "connections", 0, "new ones of each pair at a time, after the streams; not measured when not given"
    ),
    "connections_s": options.whole(1, 3600, "seconds", 2, "whole seconds in which they are opened"),
    "legs": options.whole(1, 8, "links", 1, "links between two nodes, each of uplink_mbit; pairs take them in turn"),
    "leg_down": options.switch("one of them is taken away while all send, and a second window is measured"),
}
_OTHERS = ("name", "about", "lab", "pairs", *on_nodes.KEYS)


def shipped() -> Mapping[str, Path]:
    """The plans that come with nettune, by name."""
    folder = Path(str(resources.files("bench") / "capacity" / "plans"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def is_one(name: str) -> bool:
    """True for the name or file of such a plan; what else is wrong with it is said by its reader."""
    try:
        return name in shipped() or "pairs" in document.load(Path(name), name).mapping()
    except WrongInput:
        return False


def load(name: str, overrides: Sequence[str] = (), *, sited: bool = True) -> DensityPlan:
    """The plan of that name or file, `key=value` overrides applied. Raises WrongInput naming file, line and key.

    `sited`: also where it asks for a Proxmox VE, and no cluster's file says which.
    """
    known = shipped()
    path = known.get(name, Path(name))
    hint = document.nearest(name, known) or f"plans that ship: {', '.join(known)}; or give a file"
    root = site.filled(_overridden(document.load(path, f"plan {name!r}", hint=hint), overrides))
    plan = parse(root)
    if sited and plan.vms is not None and not plan.vms.of.sited:
        root.mapping()["lab"].wrong(f"it names no cluster's file, and there is none of {', '.join(site.FILES)}",
                                    hint=f"docs/proxmox.md has one; ${site.VARIABLE} names it too")  # fmt: skip
    return plan


def parse(root: Node, overrides: Sequence[str] = ()) -> DensityPlan:
    """A document as a plan. Raises WrongInput."""
    root = _overridden(root, overrides)
    members = root.mapping((*OPTIONS, *_OTHERS, "kind"))
    for key in ("name", "pairs"):
        if key not in members:
            root.wrong(f"it has no {key!r}", hint=f"{key}: {'my-host' if key == 'name' else '[1, 2, 3, 4, 5, 6]'}")
    provider = members["lab"].mapping().get("provider") if "lab" in members else None
    kind = provider.choice(_PROVIDERS) if provider else "netns"
    if "lab" in members and kind == "netns":
        members["lab"].mapping(("provider",))
    given = options.taken(members, OPTIONS)
    if kind == "qemu" and "layout" not in members:
        given = {**given, "layout": "same"}
    plan = _plan(members, given, root)
    _consistent(plan, members, root)
    if kind == "proxmox":
        for key in ("legs", "leg_down"):
            if key in members:
                members[key].wrong("links are taken away between namespaces alone", hint="lab: {provider: netns}")
        vms = on_nodes.read(members, plan.layout, max(plan.pairs), root)
        return replace(plan, vms=vms, layout="mixed" if "places" in members else plan.layout)
    if kind == "qemu":
        plan = replace(plan, guests=guests.read(members, plan.layout, max(plan.pairs)))
    for key in (*on_nodes.KEYS, *(("layout",) if plan.layout == "mixed" else ())):
        if key in members:
            members[key].wrong("this is for VMs on the nodes of a Proxmox VE", hint="lab: {provider: proxmox, …}")
    return plan


def _overridden(root: Node, overrides: Sequence[str]) -> Node:
    for each in overrides:
        key, _, value = each.partition("=")
        if not value or not key:
            raise WrongInput(f"--set {each!r} is no key=value", hint="--set repeats=5")
        root = document.replaced(root, key.split("."), value, f"--set {each}")
    return root


def _plan(members: Mapping[str, Node], given: Mapping[str, Any], root: Node) -> DensityPlan:  # Any: as in Options
    return DensityPlan(
        name=members["name"].name(),
        about=members["about"].text() if "about" in members else "",
        layout=cast("Layout", given["layout"]),
        uplink_mbit=given["uplink_mbit"],
        pairs=_pairs(members["pairs"]),
        rate_mbit=given["rate_mbit"],
        congestion_control=given["congestion_control"],
        duration_s=given["duration_s"],
        warmup_s=given["warmup_s"],
        interval_s=given["latency_interval_s"],
        repeats=given["repeats"],
        connections=given["connections"],
        connections_s=float(given["connections_s"]),
        legs=given["legs"],
        leg_down=given["leg_down"],
        document={**cast("dict[str, object]", root.plain()), "kind": KIND},
    )


def _pairs(node: Node) -> tuple[int, ...]:
    """A list of numbers, or every number (or power of two) up to one."""
    if isinstance(node.value, dict):
        members = node.mapping(("up_to", "doubling"))
        if "up_to" not in members:
            node.wrong("it has no 'up_to'", hint="pairs: {up_to: 16, doubling: on}")
        most = members["up_to"].integer(1, PAIRS_MOST, "pairs")
        doubling = "doubling" in members and members["doubling"].setting() == "on"
        if not doubling:
            return tuple(range(1, most + 1))
        powers = [1 << power for power in range(most.bit_length()) if 1 << power < most]
        return (*powers, most)
    listed = [each.integer(1, PAIRS_MOST, "pairs") for each in node.items()]
    if not listed:
        node.wrong("it names no number of pairs", hint="pairs: [1, 2, 3, 4, 5, 6]")
    if len(set(listed)) != len(listed):
        node.wrong(f"a number of pairs stands there twice: {listed}")
    return tuple(sorted(listed))


def _consistent(plan: DensityPlan, members: Mapping[str, Node], root: Node) -> None:
    if plan.uplink_mbit and plan.layout == "same":
        members["uplink_mbit"].wrong("pairs on one bridge have no uplink", hint="layout: across")
    if plan.legs > 1 and plan.layout == "same":
        members["legs"].wrong("pairs on one bridge have no uplink", hint="layout: across")
    if plan.leg_down and plan.legs < 2:
        members["leg_down"].wrong("the only link cannot be taken away", hint="legs: 2")
    # What irtt is certain to send of what it is asked for (bench.probes.irtt).
    probes = irtt.TOOL.sends * plan.pairs[0] * plan.duration_s / plan.interval_s
    if probes < P99_SAMPLES:
        fine = plan.interval_s * probes / P99_SAMPLES
        root.wrong(
            f"p99 takes {P99_SAMPLES} probes; {plan.pairs[0]} pairs send about {probes:.0f} in {plan.duration_s:g} s",
            hint=f"a longer duration_s, or latency_interval_s: {math.floor(1e4 * fine) / 1e4:g}",
        )
