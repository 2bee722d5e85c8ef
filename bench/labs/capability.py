"""What this machine's kernel can do for a lab, found without making it load a module.

Creating a link or qdisc of a kind whose module is not loaded makes the kernel load it for the whole machine. So a
thing is tried (in a throwaway namespace) only where it is built in, loaded, or cannot be loaded at all; otherwise the
command that would load it is named with its side effect, and left to the operator.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs import lease as leases
from bench.labs.site import Here, Site

Word = Literal["yes", "no", "not loaded"]


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing a lab may need: the module it is in, and how it is tried in an empty namespace."""

    name: str
    what_for: str
    module: str
    tries: tuple[tuple[str, ...], ...]
    also: tuple[str, ...] = ()  # further modules that trying it would load

    @property
    def modules(self) -> tuple[str, ...]:
        """Every module that trying it would load: what is tried on a veth makes the veth first."""
        return (*(("veth",) if any("veth" in argv for argv in self.tries) else ()), self.module, *self.also)


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the machine can; `reason` and `command` say why not and what would change it."""

    name: str
    what_for: str
    word: Word
    reason: str = ""
    command: str = ""


def _link(name: str, what_for: str, module: str, *options: str) -> Capability:
    return Capability(name, what_for, module, (("ip", "link", "add", "t0", "type", name, *options),))


def _qdisc(name: str, what_for: str, *options: str) -> Capability:
    qdisc = ("tc", "qdisc", "add", "dev", "t0", "root", name, *options)
    return Capability(name, what_for, f"sch_{name}", (("ip", "link", "add", "t0", "type", "veth"), qdisc))


_BRIDGE = ("ip", "link", "add", "t0", "type", "bridge")
_OVER_VETH = ("ip", "link", "add", "link", "t0", "name", "t1", "type")
_ON_VETH = ("ip", "link", "add", "t0", "type", "veth")
CAPABILITIES: tuple[Capability, ...] = (
    _link("veth", "every topology", "veth"),
    _link("bridge", "topology bridge", "bridge"),
    Capability("vlan", "topology vlan", "8021q", (_ON_VETH, (*_OVER_VETH, "vlan", "id", "10"))),
    Capability("vlan-aware bridge", "VLANs on a bridge", "bridge", ((*_BRIDGE, "vlan_filtering", "1"),)),
    _link("bond", "topology bond", "bonding"),
    _link("vxlan", "overlays", "vxlan", "id", "1", "dstport", "4789"),
    Capability("macvlan", "macvlan paths", "macvlan", (_ON_VETH, (*_OVER_VETH, "macvlan"))),
    _link("dummy", "placeholders", "dummy"),
    Capability("tun", "virtual machines", "tun", (("ip", "tuntap", "add", "t0", "mode", "tap"),)),
    Capability("mirred", "cables between virtual machines", "act_mirred", (
        _ON_VETH,
        ("tc", "qdisc", "add", "dev", "t0", "ingress"),
        ("tc", "filter", "add", "dev", "t0", "parent", "ffff:", "protocol", "all", "u32", "match", "u32", "0", "0",
         "action", "mirred", "egress", "redirect", "dev", "t0"),
    ), also=("cls_u32", "sch_ingress")),
    _qdisc("tbf", "rate limits", "rate", "1gbit", "burst", "64kb", "latency", "10ms"),
    _qdisc("netem", "delay, loss and reordering", "delay", "1ms"),
    _qdisc("fq", "pacing"),
    _qdisc("fq_codel", "queue management"),
    Capability("br_netfilter", "inet rules on a bridged path", "br_netfilter", (
        ("test", "-e", "/proc/sys/net/bridge/bridge-nf-call-iptables"),
    )),
    Capability("nft", "topologies nat and firewall", "nf_tables", (("nft", "add", "table", "inet", "t0"),)),
    Capability("nft bridge", "firewall on a bridged path", "nf_tables", (("nft", "add", "table", "bridge", "t0"),)),
    Capability("nft nat", "topology nat", "nft_chain_nat", (
        ("nft", "add", "table", "ip", "t0"),
        ("nft", "add chain ip t0 c { type nat hook postrouting priority 100 ; }"),
    )),
)  # fmt: skip


def answers(
    local: Host, leases_folder: Path, names: Sequence[str] = (), *, site: Site | None = None
) -> tuple[Answer, ...]:
    """What the machine can do, by trying it in a throwaway namespace; `names` limits the list.

    `local` is the host of `site`, where labs stand: this machine, or a node.
    """
    return tuple(
        _answer(local, leases_folder, capability, site or Here())
        for capability in CAPABILITIES
        if not names or capability.name in names
    )


def _answer(local: Host, leases_folder: Path, capability: Capability, site: Site) -> Answer:
    module = next((each for each in capability.modules if not loads_nothing(local, each)), "")
    if module:
        return Answer(
            capability.name,
            capability.what_for,
            "not loaded",
            f"module {module} is there but not loaded, and nettune loads none",
            f"modprobe {module}  # stays loaded until reboot, for the whole machine",
        )
    with _throwaway(leases_folder, site) as host:
        for argv in capability.tries:
            outcome = host.run(Command(argv))
            if not outcome.ok:
                said = (outcome.stderr or outcome.stdout).strip().splitlines()
                reason = said[-1] if said else f"exit {outcome.returncode}"
                if "not supported" in reason.lower() or "unknown" in reason.lower():
                    reason = f"this kernel was built without it ({reason})"
                return Answer(capability.name, capability.what_for, "no", reason, str(outcome.command))
    return Answer(capability.name, capability.what_for, "yes")


def loads_nothing(host: Host, module: str) -> bool:
    """True when trying cannot load the module: it is in the kernel already, or there is nothing to load."""
    directory = module.replace("-", "_")
    if not host.run(Command(("test", "-e", "/proc/modules"))).ok:
        return True  # a kernel without loadable modules
    if host.run(Command(("test", "-e", f"/sys/module/{directory}"))).ok:
        return True
    # Without modinfo it is not known: then nothing is tried. Built-in modules have no file name.
    told = host.run(Command(("modinfo", "-F", "filename", module)))
    return "(builtin)" in told.stdout or (told.returncode == 1 and "not found" in told.stderr)


@contextlib.contextmanager
def _throwaway(leases_folder: Path, site: Site) -> Iterator[Host]:
    with leases.held(leases_folder) as lease, site.rooms(lease, ("try",)) as found:
        found["try"].run(Command(("ip", "link", "set", "lo", "up")))
        yield found["try"]
