"""A lab whose kernels are dictionaries: they take the Commands of the knobs and of undo, and can misbehave."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from bench.facts.sheet import FactSheet, Sheets
from bench.facts.state import sysctl_name
from bench.hosts.command import Command, HostFault, Outcome
from bench.labs.guests import Guests, facts
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.restarting import Restarting
from bench.labs.standing import LabBroken
from bench.labs.topology import Kind, Topology
from tests.unit.bench.fakes import FakeHost

RMEM = "net.ipv4.tcp_rmem"
CC = "net.ipv4.tcp_congestion_control"
_ENDS: dict[str, str] = {
    f"sysctl/{RMEM}": "4096 131072 6291456",
    f"sysctl/{CC}": "cubic",
    "sysctl/net.ipv4.tcp_allowed_congestion_control": "reno cubic",
    "sysctl/net.ipv4.tcp_ecn": "2",
}
_FEATURES = {
    "tx-scatter-gather": "on", "tx-checksum-ip-generic": "on", "tx-checksum-ipv4": "off [fixed]", "rx-gro": "off",
    "tx-tcp-segmentation": "on", "tx-tcp6-segmentation": "on", "tx-tcp-mangleid-segmentation": "on",
    "tx-generic-segmentation": "on", "rx-lro": "off [fixed]",
}  # fmt: skip


def _device(name: str, kind: str) -> dict[str, str]:
    return {
        f"link/{name}/mtu": "1500", f"link/{name}/kind": kind, f"link/{name}/flags": "UP",
        **{f"feature/{name}/{feature}": value for feature, value in _FEATURES.items()},
    }  # fmt: skip


Reaction = Callable[["Kernel", str, str], "str | None"]  # (kernel, key, value) -> what it becomes; None: not taken


def obey(kernel: "Kernel", key: str, value: str) -> str:
    """A kernel that does what it is told."""
    return value


@dataclass(eq=False)
class Kernel(FakeHost):
    """One host: facts that Commands change, by way of `react`."""

    facts: dict[str, str] = field(default_factory=dict)
    react: Reaction = obey
    dead: bool = False
    read_lost: int = 0  # how often it was read while its link had no carrier

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        self.asked.append(command)
        if self.dead:
            raise HostFault(f"on {self.name}: gone")
        match command.argv:
            case ("test", "-w", path):
                return Outcome(command, self.name, int(f"sysctl/{sysctl_name(path)}" not in self.facts), "", "", 0.0)
            case ("tee", path):
                self.set(f"sysctl/{sysctl_name(path)}", " ".join(command.stdin.split()))
            case ("ip", "link", "set", "dev", device, "mtu", value):
                self.set(f"link/{device}/mtu", value)
            case ("ethtool", "-K", device, *words):
                for name, value in zip(words[::2], words[1::2], strict=True):
                    self.set(f"feature/{device}/{name}", value)
            case ("ip", "address", "replace", address, "dev", device, *words):
                self.facts[f"address/{device}/{address}"] = " ".join(word for word in words if word != "nodad")
            case ("ip", "-4" | "-6", "route", "append", *words):
                self.facts[f"route/{' '.join(words)}"] = "present"
            case _:
                return Outcome(command, self.name, 2, "", f"nobody knows {command}", 0.0)
        return Outcome(command, self.name, 0, "", "", 0.0)

    def set(self, key: str, value: str) -> None:
        """Write one fact; a fixed or unknown one is left alone, as kernels do."""
        if key not in self.facts or "[fixed]" in self.facts[key]:
            return
        became = self.react(self, key, value)
        if became is not None:
            self.facts[key] = became


@dataclass(frozen=True)
class KernelLab(Lab):
    """A Lab whose state is that of its Kernels."""

    def read(self) -> Sheets:
        """See Lab.read."""
        return {host.name: FactSheet(host.name, dict(host.facts)) for host in self.kernels}

    def reread(self, sheets: Sheets, keys: Iterable[tuple[str, str]]) -> Sheets:
        """See Lab.reread; nothing else is told with them."""
        now, facts = self.read(), {name: dict(sheet.facts) for name, sheet in sheets.items()}
        for host, key in keys:
            facts[host].pop(key, None)
            facts[host] |= {key: now[host].facts[key]} if key in now[host].facts else {}
        return {name: FactSheet(name, own) for name, own in facts.items()}

    def begin(self, host: str, commands: Sequence[Command]) -> Callable[[], tuple[Outcome, ...]]:
        """See Lab.begin; each is done at once."""
        outcomes = self.named(host).run_all(commands)
        return lambda: outcomes

    @property
    def kernels(self) -> Sequence[Kernel]:
        """Its hosts, as what they are."""
        return [host for host in self.hosts if isinstance(host, Kernel)]


def lab(kind: Kind = "bridge", react: Reaction = obey) -> KernelLab:
    """Two ends and, unless they are wired directly, a node."""
    a = Kernel("a", facts=_device("eth0", "veth") | _ENDS, react=react)
    b = Kernel("b", facts=_device("eth0", "veth") | _ENDS, react=react)
    node = Kernel("node", facts=_device("port-a", "veth") | _device("port-b", "veth") | _device("br0", "bridge"),
                  react=react)  # fmt: skip
    path = [PathDevice(a, "eth0"), PathDevice(b, "eth0")]
    if kind != "direct":
        path[1:1] = [PathDevice(node, "port-a"), PathDevice(node, "port-b")]
    if kind == "bridge":
        path.insert(2, PathDevice(node, "br0", counts=False))
    ends = (Endpoint(a, "eth0", "198.18.0.1"), Endpoint(b, "eth0", "198.18.0.2"))
    return KernelLab(Topology(kind), ends, () if kind == "direct" else (node,), tuple(path))


@dataclass
class Guest:
    """A Kernel as a guest: a new start forgets what was set inside. It does not come up with more than it `bears`."""

    kernel: Kernel
    fresh: dict[str, str]
    bears: int = 16
    begun: list[int] = field(default_factory=list)  # queues

    def begin(self, guests: Guests) -> None:
        """See Startable.begin."""
        self.begun.append(guests.queues)
        self.kernel.facts = {**self.fresh, **facts(guests, 1500)}

    def wait(self) -> None:
        """See Startable.wait."""
        if self.begun[-1] > self.bears:
            raise LabBroken(f"guest {self.kernel.name} ended; the console of guest {self.kernel.name}: too many")


def with_guests(bears: int = 16) -> tuple[KernelLab, list[Guest]]:
    """A lab whose two ends can be started anew."""
    plain = lab()
    guests = [Guest(each, dict(each.facts), bears) for each in plain.kernels if each.name in "ab"]
    anew = Restarting(Guests(), 1500, {each.kernel.name: each for each in guests}, furnish=lambda _: None,
                      settle=lambda: None)  # fmt: skip
    for each in guests:
        each.kernel.facts |= facts(Guests(), 1500)
    return replace(plain, restarting=anew), guests
