"""Plan: what to measure. Read from YAML, validated here and nowhere else; frozen from then on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import cast

from bench import document, restarts
from bench.document import Node
from bench.hosts.command import Command
from bench.labs import deploying, reading
from bench.labs.deploying import Deployed
from bench.labs.guests import Guests
from bench.labs.inventory import Inventory
from bench.labs.lab import ENDS, Target
from bench.labs.topology import STANDING, Topology
from bench.overrides import overridden
from bench.probes import table
from bench.probes.engine import ENGINES
from bench.probes.failover import MODES, Failover
from bench.probes.iperf3 import Tcp
from bench.probes.isolation import Isolation, companion, vlan_of
from bench.probes.latency import Latency
from bench.probes.path_mtu import PathMtu
from bench.probes.probe import Probe
from bench.probes.rate import Rate
from bench.probes.udp import HEADERS_BYTES, Udp
from bench.pve import site
from bench.pve.deployment import Deployment, reached
from results.errors import WrongInput
from results.metrics import METRICS
from results.records import CURRENT, CURRENT_ARMS, Design, Goal, Guard

# Longest that a probe takes beyond its traffic: its watchdog (probes/iperf3.py), and reading facts around it.
_WATCHDOG_S = 8.0
# Facts, journal, restore, trust checks: what the harness may take a trial (benchmarks/overhead.py).
TRIAL_OVERHEAD_S, WITH_GUESTS_S = 0.15, 1.0
_GUARD_LIMITS = {
    "rtt_p99": (0.10, False),
    "request_p99": (0.10, False),
    "cpu_per_10gbit": (0.10, False),
    "drops": (0.0001, True),
}
SettingCheck = Callable[[str, str], tuple[str, str]]  # (setting, value) -> (problem, hint), "" when fine


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """One setting as the plan has it: a knob's word, its value, and where ("" is the knob's own default)."""

    setting: str
    value: str
    target: Target | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A validated plan. `document` is the plain tree that it was read from, kept with the run."""

    name: str
    about: str
    topologies: tuple[Topology, ...]
    probes: tuple[Probe, ...]
    primary: str
    treatments: Mapping[str, tuple[SettingSpec, ...]]
    blocks: int
    sequential: bool
    margin_pct: float
    goal: Goal
    document: Mapping[str, object]
    guests: Guests | None = None  # the endpoints are virtual machines
    inventory: Inventory | None = None  # they are machines that already stand
    deployment: Deployment | None = None  # they are VMs of a Proxmox VE; all None: network namespaces

    @property
    def deployed(self) -> Deployed | None:
        """What the endpoints are; None: network namespaces."""
        if self.guests is not None:
            return replace(self.guests, settings=restarts.words(self.treatments))
        if self.deployment is not None:
            return replace(self.deployment, settings=restarts.words(self.treatments))
        return self.inventory

    @property
    def elsewhere(self) -> bool:
        """True where nothing of it stands on this machine."""
        away = self.inventory is not None or self.deployment is not None
        return away or (self.guests is not None and self.guests.node is not None)

    @property
    def changes_others(self) -> bool:
        """True where it may change machines that it did not make: what is to be undone there outlives its labs."""
        of = self.deployment
        return self.inventory is not None or (of is not None and bool(reached(of.cluster) & set(of.nodes)))

    @property
    def made_anew(self) -> tuple[str, ...]:
        """The hosts that are others each time it is measured: a Proxmox VE gives its VMs new MACs."""
        return ENDS if self.deployment is not None else ()

    @property
    def trial_most_s(self) -> float:
        """The longest that one trial may take, all its probes together."""
        return sum(probe.traffic_s + probe.tool_s + _WATCHDOG_S for probe in self.probes)

    @property
    def design(self) -> Design:
        """What the judgement needs of it."""
        metrics = tuple(metric for probe in self.probes for metric in probe.metrics)
        guards = tuple(
            Guard(metric, *_GUARD_LIMITS[metric.split(".")[1]])
            for metric in metrics
            if metric.split(".")[1] in _GUARD_LIMITS and metric != self.primary
        )
        trial_s = sum(probe.traffic_s + probe.tool_s for probe in self.probes)
        trial_s += TRIAL_OVERHEAD_S if self.deployed is None else WITH_GUESTS_S
        anew_s = restarts.block_s(self.treatments, trial_s) if self.guests or self.deployment else 0.0
        return Design(
            topologies=tuple(topology.name for topology in self.topologies),
            treatments=tuple(self.treatments),
            primary=self.primary,
            metrics=metrics,
            guards=guards,
            margin_pct=self.margin_pct,
            goal=self.goal,
            blocks=self.blocks,
            sequential=self.sequential,
            block_s=trial_s * (len(self.treatments) + len(CURRENT_ARMS)) + anew_s,
            definitions={
                f"{probe.name}.{metric}": words for probe in self.probes for metric, words in probe.definitions.items()
            },
        )

    def with_congestion_control(self, available: Sequence[str]) -> "Plan":
        """The plan with each tcp probe's first available preference; WrongInput when the kernel has none of them."""
        probes: list[Probe] = []
        for probe in self.probes:
            wanted = probe.preferred if isinstance(probe, Tcp) else ()
            chosen = next((word for word in wanted if word in available), "")
            if wanted and not chosen:
                raise WrongInput(
                    f"plan {self.name}: probe {probe.name} wants congestion control {' or '.join(wanted)}; "
                    f"this kernel offers {', '.join(available)}",
                    hint=f"--set {probe.name}.congestion_control={available[0] if available else 'reno'}",
                )
            probes.append(replace(probe, congestion_control=chosen) if isinstance(probe, Tcp) else probe)
        controls = {each.name: each.congestion_control for each in probes if isinstance(each, Tcp)}
        return replace(self, probes=tuple(_under_control(each, controls) for each in probes))

    def with_tools(
        self, told: Mapping[Command, str], by_end: Mapping[str, Mapping[Command, str]] | None = None
    ) -> "Plan":
        """The plan as the tools at its ends can run it; `told` has what those of their `tools` print that are there.

        `by_end` is the same for endpoints that have tools of their own. Raises NotAble for versions known to be bad.
        """
        probes: list[Probe] = []
        for each in self.probes:
            client, server = ((by_end or {}).get(end, told).get(each.tools[0], "") for end in each.ends)
            known = isinstance(each, Tcp | Udp) and client and server
            probes.append(each.settled(client, server) if known and isinstance(each, Tcp | Udp) else each)
        return replace(self, probes=tuple(probes))


def _under_control(probe: Probe, controls: Mapping[str, str]) -> Probe:
    """A load is made of the TCP that measured its capacity."""
    if not isinstance(probe, Latency) or probe.load is None:
        return probe
    control = controls.get(probe.load.of.partition(".")[0], "")
    return replace(probe, load=replace(probe.load, congestion_control=control))


def shipped() -> Mapping[str, Path]:
    """The plans that come with nettune, by name."""
    folder = Path(str(resources.files("bench") / "plans"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load(name: str, *, check: SettingCheck, overrides: Sequence[str] = (), sited: bool = True) -> Plan:
    """The plan of that name or file, `key=value` overrides applied. Raises WrongInput naming file, line and key.

    `sited`: also where it asks for a Proxmox VE, and no cluster's file says which.
    """
    known = shipped()
    path = known.get(name, Path(name))
    hint = document.nearest(name, known) or f"plans that ship: {', '.join(known)}; or give a file"
    root = overridden(document.load(path, f"plan {name!r}", hint=hint), overrides, _KEYS)
    plan = _read(site.filled(root), check)
    if sited and plan.deployment is not None and not plan.deployment.sited:
        root.mapping()["lab"].wrong(f"it names no cluster's file, and there is none of {', '.join(site.FILES)}",
                                    hint=f"docs/proxmox.md has one; ${site.VARIABLE} names it too")  # fmt: skip
    return plan


def parse(root: Node, *, check: SettingCheck, overrides: Sequence[str] = ()) -> Plan:
    """The plan in a document."""
    return _read(overridden(root, overrides, _KEYS), check)


def _read(root: Node, check: SettingCheck) -> Plan:
    top = root.mapping(_KEYS)
    deployed = deploying.deployed(top["lab"]) if "lab" in top else None
    guests = deployed if isinstance(deployed, Guests) else None
    topologies = deploying.fitting(reading.topologies(_required(root, "topologies")), top["topologies"], deployed)
    probes = table.probes(_required(root, "probes"), _defaults(top.get("engine")))
    if "engine" in top and not any(isinstance(each, Tcp) for each in probes):
        top["engine"].wrong("no probe has an engine: the plan has none of kind tcp", hint="leave it out")
    for probe, node in zip(probes, top["probes"].items(), strict=True):
        _on_every_path(probe, node, topologies)
        if isinstance(probe, Failover) and probe.how == "tap-removed" and not (guests and guests.nodes):
            node.mapping()["how"].wrong(
                "legs between network namespaces hang on no taps",
                hint="lab: {provider: qemu, nodes: on}, or how: silent",
            )
    blocks, sequential = _blocks(top["blocks"]) if "blocks" in top else (8, False)
    primary = _primary(_required(root, "primary"), probes)
    plan = Plan(
        name=_required(root, "name").name(),
        about=top["about"].text() if "about" in top else "",
        topologies=topologies,
        probes=probes,
        primary=primary,
        treatments=_treatments(
            top.get("treatments"), check, fixed=any(isinstance(each, Tcp) and each.preferred for each in probes)
        ),
        blocks=blocks,
        sequential=sequential,
        margin_pct=top["margin_pct"].number(0.1, 50, "percent") if "margin_pct" in top else 5.0,
        goal=cast("Goal", top["goal"].choice(("throughput", "balanced", "latency"))) if "goal" in top else "throughput",
        document=cast("Mapping[str, object]", root.plain()),
        guests=guests,
        inventory=deployed if isinstance(deployed, Inventory) else None,
        deployment=deployed if isinstance(deployed, Deployment) else None,
    )
    if not plan.treatments and plan.sequential:
        top["blocks"].wrong("up_to has nothing to stop early: the plan has no treatments")
    return plan


_KEYS = ("name", "about", "lab", "topologies", "probes", "engine", "primary", "treatments", "blocks", "margin_pct",
         "goal")  # fmt: skip
_TARGETS = ("guest", "node", "path")


def _required(root: Node, key: str) -> Node:
    members = root.mapping()
    if key not in members:
        root.wrong(f"the plan has no {key!r}")
    return members[key]


def _defaults(engine: Node | None) -> dict[str, str]:
    """What the plan says for every probe that does not say it itself."""
    return {} if engine is None else {"engine": engine.choice(tuple(ENGINES))}


def _primary(node: Node, probes: Sequence[Probe]) -> str:
    return node.choice([metric for probe in probes for metric in probe.metrics if metric.split(".")[1] in METRICS])


def _on_every_path(probe: Probe, node: Node, topologies: Sequence[Topology]) -> None:
    """What a probe asks of the paths, which each topology of the plan must have. Raises WrongInput."""
    members = node.mapping()
    for topology in topologies:
        _reachable(topology, probe.ends, node)
        if probe.load_ends is not None:
            _reachable(topology, probe.load_ends, members.get("load", node))
        if isinstance(probe, Latency) and probe.tool == "sockperf" and topology.ip == 6:
            node.wrong(f"sockperf (3.7) knows no IPv6, which {topology.name} is measured by", hint="tool: irtt")
        if isinstance(probe, PathMtu) and topology.kind == STANDING:
            node.wrong(
                "path-mtu makes its ends forget what they have learned of every path, which is not ours to take from "
                "machines that stand",
                hint="ping -M do -s 8972 ADDRESS, by hand",
            )
        if isinstance(probe, Failover):
            _has_legs(topology, probe, node)
        if isinstance(probe, Isolation):
            _has_vlans(topology, node)
        if isinstance(probe, Rate) and (problem := probe.misfit(topology.mtu, topology.ip)):
            members.get("frame_bytes", node).wrong(f"{topology.name}: {problem}")
        room = topology.mtu - HEADERS_BYTES[topology.ip]
        if isinstance(probe, Udp) and probe.size_bytes > room and not probe.fragments:
            members.get("size_bytes", node).wrong(
                f"{probe.size_bytes} bytes do not fit the MTU {topology.mtu} of {topology.name}: that holds {room}",
                hint=f"size_bytes: {room}, or fragments: on where that is what you want to measure",
            )


def _has_legs(topology: Topology, probe: Failover, node: Node) -> None:
    """Raise WrongInput unless a leg of the topology can fail and another one take its place."""
    if topology.kind != "bond" or topology.bond_mode not in MODES:
        node.mapping()["kind"].wrong(
            f"failover needs a bond of mode {', '.join(MODES)}, and {topology.name} is none",
            hint="{kind: bond, mode: active-backup, legs: 2}",
        )
    if probe.leg > topology.legs:
        node.mapping()["leg"].wrong(f"there is no leg {probe.leg} of {topology.legs} on {topology.name}")


def _has_vlans(topology: Topology, node: Node) -> None:
    """Raise WrongInput unless there are two VLANs, and each end may reach another, to prove that frames pass."""
    there = ENDS[: topology.ends]
    hint = "{kind: vlan, id: 10, ends: 4, vlans: {c: 20, d: 20}}"
    if not topology.vlans:
        node.mapping()["kind"].wrong(f"all ends of {topology.name} may reach each other", hint=hint)
    alone = [end for end in there if not companion(topology, end, there)]
    if alone:
        node.mapping()["kind"].wrong(
            f"{alone[0]} is alone in VLAN {vlan_of(topology, alone[0])} of {topology.name}: nothing would prove that "
            "its frames pass where they may",
            hint=hint,
        )


def _reachable(topology: Topology, ends: tuple[str, str], node: Node) -> None:
    """Raise WrongInput unless a topology has both endpoints, and a way from the client to the server."""
    there = ENDS[: topology.ends]
    for end in ends:
        if end not in there:
            node.wrong(
                f"topology {topology.name} has no endpoint {end!r}: it has {', '.join(there)}",
                hint=f"give the topology ends: {ENDS.index(end) + 1}",
            )
    if vlan_of(topology, ends[0]) != vlan_of(topology, ends[1]):
        node.wrong(f"{ends[0]} and {ends[1]} are in different VLANs on {topology.name}")
    if topology.kind == "nat" and not topology.forward and ends[0] != "a":
        node.wrong(
            f"{ends[0]} cannot connect to {ends[1]}, who is behind NAT on {topology.name}",
            hint="from: a, or a topology with forward: on",
        )


def _blocks(node: Node) -> tuple[int, bool]:
    if isinstance(node.value, dict):
        members = node.mapping(("up_to",))
        if "up_to" not in members:
            node.wrong("write a number, or {up_to: 20}")
        if members["up_to"].integer(6, 20, "blocks") not in {6, 12, 20}:
            members["up_to"].wrong("looks are taken at 6, 12 and 20 blocks; up_to is one of them")
        return members["up_to"].integer(6, 20, "blocks"), True
    return node.integer(2, 1000, "blocks"), False


def _treatments(node: Node | None, check: SettingCheck, *, fixed: bool) -> dict[str, tuple[SettingSpec, ...]]:
    found: dict[str, tuple[SettingSpec, ...]] = {}
    for name, treatment in (node.mapping() if node is not None else {}).items():
        if not document.NAME.fullmatch(name) or name in CURRENT_ARMS:
            treatment.wrong(f"{name!r} cannot be a treatment's name: small letters, digits, . _ -; not {CURRENT}")
        members = treatment.mapping()
        target: Target | None = None
        if "settings" in members:
            treatment.mapping(("settings", "target"))
            if "target" in members:
                target = cast("Target", members["target"].choice(_TARGETS))
            members = members["settings"].mapping()
        if not members:
            treatment.wrong("a treatment without a setting is current, which is always there")
        specs: list[SettingSpec] = []
        for key, given in ((key, one) for key, all_ in members.items() for one in _each(all_)):
            value, own = given, target
            if isinstance(given.value, dict):
                parts = given.mapping(("value", "target"))
                value = parts.get("value", given)
                own = cast("Target", parts["target"].choice(_TARGETS)) if "target" in parts else target
            if any((each.setting, each.target) == (key, own) for each in specs):
                given.wrong(f"{key} is set twice on one target", hint=f"{key}: [{{value: 1, target: guest}}, …]")
            problem, hint = check(key, value.setting())
            if not problem and fixed and key in {"congestion_control", "net.ipv4.tcp_congestion_control"}:
                problem, hint = "the tcp probe's own congestion_control would override this", "take it out of the probe"
            if problem:
                value.wrong(problem, hint=hint)
            specs.append(SettingSpec(key, value.setting(), own))
        found[name] = tuple(specs)
    return found


def _each(given: Node) -> Sequence[Node]:
    """A setting's values: one, or a list of long forms for several targets."""
    listed = given.items() if isinstance(given.value, list) else ()
    return listed if listed and all(isinstance(each.value, dict) for each in listed) else (given,)
