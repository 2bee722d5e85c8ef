"""What this machine cannot give a tcp probe, told before the first trial: iperf3 would refuse it in each of them."""

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.probes.iperf3 import Tcp
from results.errors import NotAble

_BUFFERS = ("net.core.rmem_max", "net.core.wmem_max")
_ONLINE = "/sys/devices/system/cpu/online"


def check(host: Host, probe: Tcp) -> None:
    """Raise NotAble for a CPU that is not online, or a window that the kernel would cut short."""
    if probe.cpus:
        online = cpus(host.run(Command(("cat", _ONLINE))).require().stdout)
        missing = sorted(set(probe.cpus) - online)
        if missing:
            raise NotAble(
                f"probe {probe.name}: CPU {', '.join(map(str, missing))} is not online on {host.name}",
                hint=f"CPUs that are: {', '.join(map(str, sorted(online)))}",
            )
    for name in _BUFFERS if probe.window_bytes else ():
        most = int(host.run(Command(("sysctl", "-n", name))).require().stdout)
        # The kernel doubles what is asked for, up to twice the limit, and iperf3 compares with that (socket(7)).
        if probe.window_bytes > 2 * most:
            raise NotAble(
                f"probe {probe.name}: window_bytes {probe.window_bytes} is beyond what {host.name} grants, "
                f"twice the {most} of {name}",
                hint=f"window_bytes of at most {2 * most}, or a larger {name}",
            )


def cpus(text: str) -> frozenset[int]:
    """The CPUs of a list as the kernel writes it: "0-1,3"."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)
