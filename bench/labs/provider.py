"""Providers: who stands a plan's labs. A plan names one, and everything else of it is the same."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.labs import capability, namespaces
from bench.labs import standing as stood
from bench.labs.blueprint import Blueprint, drawn_up
from bench.labs.cabling import PATCH, cables, cabling, needs
from bench.labs.deploying import Deployed
from bench.labs.guests import Guests, notes
from bench.labs.inventory import Inventory
from bench.labs.kit import Kit, prepared
from bench.labs.lab import Endpoint, Lab
from bench.labs.site import Here, Site, opened
from bench.labs.topology import Topology
from bench.pve.deployment import Deployment, reached
from bench.pve.guarding import Guards

_PACKAGES = {"tc": "iproute2", "nft": "nftables"}


class Provider(Protocol):
    """Stands topologies, and says what is true of all labs that it stands."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a result from here says of other machines, and what it cannot."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """What the run keeps of it beside the machine's own facts."""
        ...

    def lacking(self, topology: Topology, local: Host, leases_folder: Path) -> str:
        """What the machine lacks for a topology, with the command that would change it; "" when nothing."""
        ...

    def fit(self, topologies: Sequence[Topology]) -> None:
        """Asked before the first of them stands: there is room for all at the same time. Raises NotAble."""
        ...

    def standing(self, topology: Topology, *, leases_folder: Path) -> AbstractContextManager[Lab]:
        """The Lab, removed on leaving. Raises NotAble."""
        ...

    def ends_run_on(self, lab: Lab, local: Host) -> Host:
        """A host that has the tools and the kernel of the endpoints."""
        ...

    def machine(self, lab: Lab, local: Host) -> Host:
        """The machine that a run is told of: what stands is made by its kernel, of its CPUs."""
        ...


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Every host is a network namespace of this machine."""

    @property
    def notes(self) -> tuple[str, ...]:
        """See Provider.notes."""
        return namespaces.TRANSFER

    @property
    def facts(self) -> Mapping[str, str]:
        """See Provider.facts."""
        return {}

    def lacking(self, topology: Topology, local: Host, leases_folder: Path) -> str:
        """See Provider.lacking."""
        return _lacking(topology.needs, topology.tools, Here(local), leases_folder)

    def fit(self, topologies: Sequence[Topology]) -> None:
        """See Provider.fit: namespaces take next to none."""
        del topologies

    def standing(self, topology: Topology, *, leases_folder: Path) -> AbstractContextManager[Lab]:
        """See Provider.standing."""
        return namespaces.standing(topology, leases_folder=leases_folder)

    def ends_run_on(self, lab: Lab, local: Host) -> Host:
        """See Provider.ends_run_on: they share this machine's files and kernel."""
        del lab
        return local

    def machine(self, lab: Lab, local: Host) -> Host:
        """See Provider.machine."""
        del lab
        return local


@dataclass(frozen=True, slots=True)
class Qemu:
    """The endpoints are QEMU guests, on Debian's kernel; with `kit.guests.nodes` all that stands between them too."""

    kit: Kit

    @property
    def notes(self) -> tuple[str, ...]:
        """See Provider.notes."""
        return notes(self.kit.guests, self.kit.accelerator)

    @property
    def facts(self) -> Mapping[str, str]:
        """See Provider.facts."""
        image = self.kit.image
        return {
            "guests": self.kit.guests.words,
            **({"node": str(self.kit.guests.node)} if self.kit.guests.node else {}),
            "guest kernel": image.release,
            "guest image": image.digest[:16],
            "guest CPU": "emulated (TCG), mitigations off" if self.kit.accelerator == "tcg" else "the machine's (KVM)",
            "vhost": "on" if self.kit.vhost else "off: QEMU itself moves every packet",
        }

    def lacking(self, topology: Topology, local: Host, leases_folder: Path) -> str:
        """See Provider.lacking."""
        nodes = self.kit.guests.nodes
        with opened(self.kit.guests.node, local) as site:
            tools = () if nodes else topology.tools
            said = _lacking(needs(topology, nodes=nodes), tools, site, leases_folder)
        return f"on {site.host.name}: {said}" if said and self.kit.guests.node else said

    def fit(self, topologies: Sequence[Topology]) -> None:
        """See Provider.fit: each guest is asked about when it starts."""
        del topologies

    def standing(self, topology: Topology, *, leases_folder: Path) -> AbstractContextManager[Lab]:
        """See Provider.standing."""
        from bench.labs import qemu  # noqa: PLC0415 - paramiko takes its time to import, which namespaces need not pay

        return qemu.standing(topology, self.kit, leases_folder=leases_folder)

    def ends_run_on(self, lab: Lab, local: Host) -> Host:
        """See Provider.ends_run_on: the first guest, whose image is that of all."""
        del local
        return lab.a.host

    def machine(self, lab: Lab, local: Host) -> Host:
        """See Provider.machine: a namespace of the node shows the node's kernel and CPUs."""
        return lab.machine if self.kit.guests.node and lab.machine else local


class _Elsewhere:
    """What providers have alike whose labs stand on other machines: this one only drives them."""

    __slots__ = ()

    def lacking(self, topology: Topology, local: Host, leases_folder: Path) -> str:
        """See Provider.lacking: this machine's kernel has no part in it."""
        del topology, local, leases_folder
        return ""

    def ends_run_on(self, lab: Lab, local: Host) -> Host:
        """See Provider.ends_run_on."""
        del local
        return lab.a.host

    def machine(self, lab: Lab, local: Host) -> Host:
        """See Provider.machine: the one that drives them; each tells its own."""
        del lab
        return local


@dataclass(frozen=True, slots=True)
class Hosts(_Elsewhere):
    """The endpoints are machines that already stand; `trial_s` is the longest that one trial may take."""

    inventory: Inventory
    trial_s: float
    share_pct: float = 0.0  # of a link that others use, which load may take; 0: no load there
    instead: str | None = None  # what to do where others use a link, None: as runs say it; "": no load is meant

    @property
    def notes(self) -> tuple[str, ...]:
        """See Provider.notes."""
        from bench.labs import hosts  # noqa: PLC0415 - paramiko, as for Qemu

        return hosts.notes(self.share_pct)

    @property
    def facts(self) -> Mapping[str, str]:
        """See Provider.facts."""
        return {f"host {each.name}": f"{each.login}, {', '.join(each.devices)}" for each in self.inventory.machines}

    def fit(self, topologies: Sequence[Topology]) -> None:
        """See Provider.fit: they stand."""
        del topologies

    def standing(self, topology: Topology, *, leases_folder: Path) -> AbstractContextManager[Lab]:
        """See Provider.standing: nothing is made, so no lease is held."""
        from bench.labs import hosts  # noqa: PLC0415 - paramiko, as for Qemu

        del leases_folder
        instead = hosts.INSTEAD if self.instead is None else self.instead
        return hosts.standing(topology, self.inventory, trial_s=self.trial_s, share_pct=self.share_pct,
                              instead=instead)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proxmox(_Elsewhere):
    """The endpoints are VMs that Proxmox VE makes for the lab; `guards`: of networks that are made for them."""

    of: Deployment
    trial_s: float
    guards: Guards | None = None
    say: Callable[[str], None] = lambda _: None
    share_pct: float = 0.0  # as of Hosts

    @property
    def notes(self) -> tuple[str, ...]:
        """See Provider.notes."""
        from bench.pve import lab  # noqa: PLC0415 - requests and paramiko, as for Qemu

        return lab.notes(self.of, self.share_pct)

    @property
    def facts(self) -> Mapping[str, str]:
        """See Provider.facts."""
        return {"nodes": ", ".join(dict.fromkeys(self.of.nodes)), "VMs made of": self.of.source}

    def fit(self, topologies: Sequence[Topology]) -> None:
        """See Provider.fit."""
        from bench.pve import lab  # noqa: PLC0415 - as above

        lab.fit(self.of, len(topologies))

    def standing(self, topology: Topology, *, leases_folder: Path) -> AbstractContextManager[Lab]:
        """See Provider.standing."""
        from bench.pve import lab  # noqa: PLC0415 - as above

        return lab.standing(topology, self.of, leases_folder=leases_folder, trial_s=self.trial_s, guards=self.guards,
                            say=self.say, share_pct=self.share_pct)  # fmt: skip

    def machine(self, lab: Lab, local: Host) -> Host:
        """See Provider.machine: a node that is reached shows the kernel and CPUs under the VMs."""
        return lab.machine if lab.nodes and lab.machine else local


def provided(
    of: Deployed | None,
    *,
    trial_s: float,
    cache: Path,
    local: Host,
    say: Callable[[str], None],
    share_pct: float = 0.0,
    guards: Guards | None = None,
    instead: str | None = None,
) -> Provider:
    """The provider of a plan; for guests the image is built here where it is not there. Raises NotAble."""
    if isinstance(of, Inventory):
        return Hosts(of, trial_s, share_pct, instead)
    if isinstance(of, Deployment):
        return Proxmox(of, trial_s, guards, say, share_pct)
    return Namespaces() if of is None else Qemu(prepared(of, cache=cache, local=local, say=say))


def imagined(topology: Topology, of: Deployed | None) -> Lab:
    """The Lab as it would be, on hosts that do not stand: for `--dry-run`."""
    if isinstance(of, Inventory):
        hosts = {each.name: Local(each.name) for each in of.machines}
        ends = tuple(Endpoint(hosts[each.name], each.devices[0], each.address) for each in of.ends)
        return Lab(topology, ends, tuple(hosts[each.name] for each in of.nodes), ())
    if isinstance(of, Deployment):
        plain = [each.partition("/")[0] for each in topology.addresses]
        there = reached(of.cluster)
        nodes = tuple(Local(each) for each in dict.fromkeys(of.nodes) if each in there)
        ends = tuple(Endpoint(Local(name), "eth0", each) for name, each in zip("ab", plain, strict=True))
        return Lab(topology, ends, nodes, ())
    if of is None:
        return namespaces.imagined(topology)
    plan = _drawn(topology, of)
    return stood.lab_of(topology, plan, {name: Local(name) for name in plan.hosts})


def commands(topology: Topology, of: Deployed | None) -> list[tuple[str, str]]:
    """(host, line) of everything that makes a Topology, for `--dry-run`."""
    if isinstance(of, Inventory):
        from bench.labs import hosts  # noqa: PLC0415 - paramiko, as for Qemu

        return hosts.commands(of)
    if isinstance(of, Deployment):
        from bench.pve import lab  # noqa: PLC0415 - as above

        return lab.commands(topology, of)
    if of is None:
        return namespaces.commands(topology)
    cabled = cabling(topology, nodes=of.nodes)
    patched = [
        (PATCH, line) for command in cables(cabled.patched, of.tap_queues) for line in command.stdin.splitlines()
    ]
    started = [(cabled.homes[name], f"QEMU guest {name}: {of.words}, " + ", ".join(
        f"{nic} on tap {tap}" for nic, tap in cabled.nics(name))) for name in cabled.guests]  # fmt: skip
    told = stood.lines(_drawn(topology, of))
    here = [(host, line) for host, line in told if host not in cabled.guests]
    if of.node:
        here = [(of.node.address, f"all of it stands on {of.node}: guests, and a namespace for each other host"), *here]
    return [*here, *patched, *started, *((host, line) for host, line in told if host in cabled.guests)]


def _drawn(topology: Topology, of: Guests) -> Blueprint:
    return drawn_up(topology, guests=cabling(topology, nodes=of.nodes).guests, queues=of.tap_queues)


def _lacking(needed: Sequence[str], tools: Sequence[str], site: Site, leases_folder: Path) -> str:
    answers = capability.answers(site.host, leases_folder, needed, site=site)
    missing = next((answer for answer in answers if answer.word != "yes"), None)
    if missing is not None:
        return f"{missing.name}: {missing.reason}. {missing.command}"
    for tool in tools:
        if not site.host.run(Command(("sh", "-c", 'command -v "$1"', "sh", tool))).ok:
            return f"{tool} is not installed. apt-get install --no-install-recommends {_PACKAGES.get(tool, tool)}"
    return ""
