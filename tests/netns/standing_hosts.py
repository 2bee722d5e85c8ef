"""Two machines that already stand, as nettune sees them: an sshd each, a network for SSH, and a bridge for data.

All of it is network namespaces; at the `desk` nettune itself runs. /etc and /var/lib are each machine's own.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import schedule
from bench.facts import state
from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from results.records import CURRENT_ARMS
from tests.netns import sshd
from tuning.guard import ROOT

DATA = {"a": "192.0.2.1", "b": "192.0.2.2"}
CONTROL = {"a": "203.0.113.1", "b": "203.0.113.2", "node": "203.0.113.3"}
DESK = "203.0.113.9"
RMEM = "net.ipv4.tcp_rmem"
_OWN = """\
mount -t tmpfs none /mnt && cp -a /etc /mnt && mount --bind /mnt/etc /etc && umount -l /mnt &&
mount -t tmpfs none /var/lib
"""


@dataclass(frozen=True)
class Machines:
    """`a` and `b`, the `node` whose bridge joins them, and the `desk`, which is on the network for SSH alone."""

    a: Namespace
    b: Namespace
    node: Namespace
    desk: Namespace
    folder: Path
    servers: Mapping[str, sshd.Server] = field(default_factory=dict)

    @property
    def both(self) -> tuple[Namespace, Namespace]:
        """The measured ones."""
        return self.a, self.b

    @property
    def prefix(self) -> tuple[str, ...]:
        """Runs a program at the desk."""
        return ("ip", "netns", "exec", self.desk.netns)

    def inventory(self, **changed: str) -> Path:
        """The file; `changed` replaces what it says of a: device, address; `node` is the devices of the node."""
        nodes = changed.pop("node", "")
        ends = {name: {"device": "eth0", "address": DATA[name]} for name in ("a", "b")}
        ends["a"] |= changed
        text = "ends:\n" + "".join(self._machine(name, said) for name, said in ends.items())
        text += f"nodes:\n{self._machine('node', {'devices': nodes})}" if nodes else ""
        path = self.folder / "hosts.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def _machine(self, name: str, said: Mapping[str, str]) -> str:
        login = {
            "ssh": f"ssh://root@{CONTROL[name]}:{sshd.PORT}",
            "keys": f"[{self.folder}/{name}/user]",
            "known_hosts": "known_hosts",
        }
        return f"  {name}:\n" + "".join(f"    {key}: {value}\n" for key, value in {**login, **said}.items())

    def rewrite(self, words: Mapping[str, str]) -> None:
        """Other words in the inventory that was written last."""
        path = self.folder / "hosts.yaml"
        text = path.read_text(encoding="utf-8")
        for old, new in words.items():
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def plan(self, treatments: str, probes: str, *, blocks: int = 2, grace_s: int = 1, primary: str = "latency.rtt_p50",
             **changed: str) -> str:  # fmt: skip
        """A plan file over the inventory; its name."""
        path = self.folder / "plan.yaml"
        path.write_text(
            f"name: standing\nlab: {{provider: hosts, inventory: {self.inventory(**changed)}, grace_s: {grace_s}}}\n"
            f"topologies: [standing]\nprobes: {probes}\nprimary: {primary}\nblocks: {blocks}\n"
            f"treatments: {treatments}\n",
            encoding="utf-8",
        )
        return str(path)

    def facts(self, *of: str) -> Sheets:
        """The whole state of those; of all three where none is named."""
        named = (("a", self.a, ["eth0"]), ("b", self.b, ["eth0"]), ("node", self.node, ["port-a", "port-b"]))
        return {
            name: replace(next(iter(state.read({host: devices}, bridged=[host]).values())), host=name)
            for name, host, devices in named
            if not of or name in of
        }


def value(host: Namespace, name: str) -> str:
    """A sysctl as one line."""
    return " ".join(host.run(Command(("sysctl", "-n", name))).require().stdout.split())


def mtu(host: Namespace, device: str = "eth0") -> int:
    """Of a device."""
    return int(host.run(Command(("cat", f"/sys/class/net/{device}/mtu"))).require().stdout)


def tso(host: Namespace) -> str:
    """Of the data device."""
    rows = json.loads(host.run(Command(("ethtool", "--json", "-k", "eth0"))).require().stdout)
    return "on" if rows[0]["tx-tcp-segmentation"]["active"] else "off"


def guards(host: Namespace) -> list[str]:
    """Their folders on a machine."""
    listed = host.run(Command(("sh", "-c", 'ls "$1" 2>/dev/null', "sh", ROOT))).stdout.split()
    return [name for name in listed if name != "lock"]


def restored(host: Namespace) -> bool:
    """Whether a machine's one guard has run to its end."""
    return len(guards(host)) == 1 and host.run(Command(("test", "-e", f"{ROOT}/{guards(host)[0]}/restored"))).ok


def held_first(topology: str) -> int:
    """A seed with which the first trial holds the only treatment, `held`."""
    names = (*CURRENT_ARMS, "held")
    return next(
        seed
        for seed in range(1000)
        if schedule.groups(dict.fromkeys(names, ""), seed=seed, topology=topology, block=0, attempt=0)[0][0] == "held"
    )


def waited(until: Callable[[], bool], within_s: float) -> float:
    """Seconds until something held; AssertionError where it did not in that time.

    It is asked half of the time at most: what waits must not keep busy what it waits for.
    """
    began = asked = time.monotonic()
    while not until():
        now = time.monotonic()
        assert now < began + within_s, f"not within {within_s} s"
        time.sleep(max(0.05, now - asked))
        asked = time.monotonic()
    return time.monotonic() - began


@contextlib.contextmanager
def standing(folder: Path) -> Iterator[Machines]:
    """All of it, until the block ends."""
    with contextlib.ExitStack() as stack:
        a, b, node, desk = (stack.enter_context(sshd.namespace()) for _ in range(4))
        _wired(a, b, node, desk)
        known, servers = [], {}
        for name, host in (("a", a), ("b", b), ("node", node)):
            host.run(Command(("sh", "-c", _OWN))).require()
            config = f"ListenAddress {CONTROL[name]}\n"
            servers[name] = stack.enter_context(sshd.serving(host, folder / name, config=config))
            known.append(f"[{CONTROL[name]}]:{sshd.PORT} {servers[name].login.pinned}")
        (folder / "known_hosts").write_text("".join(known), encoding="utf-8")
        yield Machines(a, b, node, desk, folder, servers)


def _wired(a: Namespace, b: Namespace, node: Namespace, desk: Namespace) -> None:
    """SSH by mgmt0 and the desk's br0; data by eth0 and the node's br0."""
    ends = {"a": a, "b": b}
    for hub, device, peers in ((desk, "mgmt0", {**ends, "node": node}), (node, "eth0", ends)):
        _batch(hub, "link add br0 type bridge\nlink set br0 up\n")
        addresses = CONTROL if hub is desk else DATA
        for name, host in peers.items():
            _batch(host, f"link add {device} type veth peer name port-{name} netns {hub.netns}\n")
            _batch(hub, f"link set port-{name} master br0 up\n")
            _batch(host, f"link set {device} up\naddr add {addresses[name]}/24 dev {device}\n")
    _batch(desk, f"addr add {DESK}/24 dev br0\n")
    for host in (a, b, desk, node):
        waited(lambda host=host: "tentative" not in host.run(Command(("ip", "-6", "addr"))).stdout, 5)  # type: ignore[misc]


def _batch(host: Namespace, lines: str) -> None:
    """`ip` in a namespace, from where the namespaces have their names."""
    Local().run(Command(("ip", "-netns", host.netns, "-batch", "-"), stdin=lines)).require()
