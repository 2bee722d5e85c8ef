"""Running counters of hosts: read before and after a probe, one round trip each; pure functions for what they say.

/proc/stat and softnet_stat are the machine's, whatever the namespace; /proc/net/dev, snmp and netstat the namespace's.
A queue that is full drops without the device counting it, so queues are asked too where one can drop (4 ms a host);
the table of connections is asked where the path tracks them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.facts import carriers, tailed
from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host, ask_everywhere
from results.errors import NotAble

_FILES = ("/proc/uptime", "/proc/stat", "/proc/net/dev", "/proc/net/softnet_stat", "/proc/net/snmp",
          "/proc/net/netstat", "/proc/net/snmp6")  # fmt: skip
QUESTION = Command(("tail", "-v", "-n", "+1", *_FILES))
QUEUES = Command(("tc", "-s", "-j", "qdisc", "show"))
_TABLE = "/proc/sys/net/netfilter/nf_conntrack_"
_TRACKING = "/proc/net/stat/nf_conntrack"  # a line for each CPU, in hexadecimal, under a line of names
CONNECTIONS = Command(("tail", "-v", "-n", "+1", _TABLE + "count", _TABLE + "max", _TRACKING))
# A frame that found no room in the ring: many drivers count it here and not as rx_fifo_errors. /proc/net/dev has it in
# its "drop" column, together with what the stack had no use for (net/core/net-procfs.c).
_MISSED = "/sys/class/net/{}/statistics/rx_missed_errors"
# Columns of /proc/stat's cpu line (proc(5)); guest and guest_nice are inside user and nice too.
_CPU = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
_DEVICE = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "rx_fifo", "rx_frame", "rx_compressed", "rx_multicast",
           "tx_bytes", "tx_packets", "tx_errors", "tx_dropped", "tx_fifo", "tx_colls", "tx_carrier",
           "tx_compressed")  # fmt: skip
USER_HZ = 100  # the unit of /proc/stat on every architecture that Proxmox or Debian run on
_IDLE_CPUS = 16  # a window is known to 10 ms (/proc/uptime), on each CPU: beyond this many, ticks are the better count


@dataclass(frozen=True, slots=True)
class Counters:
    """One host's counters at one moment."""

    uptime_s: float
    cpu: Mapping[str, int]  # ticks of 1/USER_HZ s, all cores together
    devices: Mapping[str, Mapping[str, int]]
    softnet: Mapping[str, int]  # processed, dropped, time_squeeze, all cores together
    stack: Mapping[str, int]  # "Tcp.RetransSegs", "TcpExt.TCPTimeouts", "Udp6InErrors", …
    queues: Mapping[str, int] = field(default_factory=dict)  # device -> packets its root queue dropped; where asked
    each_cpu: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # "cpu3" -> ticks in interrupts, all ticks
    connections: Mapping[str, int] = field(default_factory=dict)  # nf_conntrack's count, max, drop, …; where asked
    carriers: Mapping[str, int] = field(default_factory=dict)  # bench.facts.carriers.parse; where asked


def missed(devices: Sequence[str]) -> Command:
    """What a host is asked of NICs that count the frames for which their ring had no room."""
    return Command(("tail", "-v", "-n", "+1", *(_MISSED.format(each) for each in devices)))


def questions(
    hosts: Iterable[Host], beside: Mapping[Host, Sequence[Command]] | None = None
) -> dict[Host, tuple[Command, ...]]:
    """What each host is asked; `beside` has more for some: QUEUES, CONNECTIONS, missed, carriers.question."""
    more = beside or {}
    return {host: (QUESTION, *more.get(host, ())) for host in hosts}


def told(answers: Mapping[Host, Sequence[Outcome]]) -> dict[str, Counters]:
    """The counters in the answers to `questions`, keyed by host name."""
    found = {}
    for host, (first, *more) in answers.items():
        found[host.name] = parse(first)
        for outcome in more:
            if outcome.command.argv == QUEUES.argv:
                found[host.name] = replace(found[host.name], queues=parse_queues(outcome))
            elif carriers.is_question(outcome):
                found[host.name] = replace(found[host.name], carriers=carriers.parse(outcome))
            elif outcome.command.argv[-1].endswith("/rx_missed_errors"):
                found[host.name] = _with_missed(found[host.name], outcome)
            else:
                found[host.name] = replace(found[host.name], connections=parse_connections(outcome))
    return found


def read(hosts: Iterable[Host], beside: Mapping[Host, Sequence[Command]] | None = None) -> dict[str, Counters]:
    """Every host's counters, all asked at the same time; see `questions`. Keyed by host name."""
    return told(ask_everywhere(questions(hosts, beside)))


def _with_missed(found: Counters, outcome: Outcome) -> Counters:
    """The same, with `rx_missed` of those devices that tell it."""
    devices = dict(found.devices)
    for path, text in tailed.files(outcome.stdout).items():
        name = path.split("/")[4]
        if name in devices and text.strip().isdecimal():
            devices[name] = {**devices[name], "rx_missed": int(text)}
    return replace(found, devices=devices)


def parse_connections(outcome: Outcome) -> dict[str, int]:
    """The Outcome of CONNECTIONS: "count" and "max" of the table, and the statistics of all CPUs together.

    {} where nf_conntrack is not loaded. The kernel names the columns itself; `entries` is `count` again in each line.
    """
    files = tailed.files(outcome.stdout)
    try:
        found = {name: int(files[_TABLE + name]) for name in ("count", "max")}
        names, *rows = [line.split() for line in files[_TRACKING].splitlines() if line.strip()]
        columns = zip(names, *rows, strict=True)
        return found | {name: sum(int(word, 16) for word in words) for name, *words in columns if name != "entries"}
    except (KeyError, ValueError):
        return {}


def parse_queues(outcome: Outcome) -> dict[str, int]:
    """Packets dropped per device from the Outcome of QUEUES; raises NotAble for anything else.

    Only root queues: what a leaf drops is counted again at every class above it, up to the root (net/sched/sch_tbf.c).
    """
    try:
        rows = json.loads(outcome.stdout)
        return {str(row["dev"]): int(row["drops"]) for row in rows if row.get("root")}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        said = (outcome.stderr or outcome.stdout).strip()[:200]
        raise NotAble(
            f"on {outcome.host}: `{QUEUES}` cannot be read: {error!r}: {said!r}",
            hint="iproute2 of 4.18 or later prints it",
        ) from error


def parse(outcome: Outcome) -> Counters:
    """Counters from the Outcome of QUESTION; raises NotAble when a file is missing or is not what it should be."""
    files = tailed.files(outcome.stdout)
    try:
        return Counters(
            uptime_s=float(files["/proc/uptime"].split()[0]),
            cpu=_cpu(files["/proc/stat"]),
            devices=_devices(files["/proc/net/dev"]),
            softnet=_softnet(files["/proc/net/softnet_stat"]),
            stack=_stack(files["/proc/net/snmp"])
            | _stack(files["/proc/net/netstat"])
            | _lines(files.get("/proc/net/snmp6", "")),  # absent where IPv6 is off
            each_cpu=_each_cpu(files["/proc/stat"]),
        )
    except (KeyError, ValueError, IndexError) as error:
        raise NotAble(f"on {outcome.host}: counters cannot be read: {error!r}", hint="is /proc mounted?") from error


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """How much each counter grew; one that was not there before grew from 0, one that is gone is left out."""
    return {name: value - before.get(name, 0) for name, value in after.items()}


def growth(before: Counters, after: Counters) -> dict[str, object]:
    """Every counter that grew, by kind, as plain data: kept with the trial as evidence of what moved."""

    def moved(old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, int]:
        return {name: value for name, value in grown(old, new).items() if value}

    seconds = after.uptime_s - before.uptime_s
    return {
        "seconds": round(seconds, 2),
        "cpu_ticks": moved(before.cpu, after.cpu),
        **_busiest(before, after),
        "devices": {name: moved(before.devices.get(name, {}), now) for name, now in after.devices.items()},
        "softnet": moved(before.softnet, after.softnet),
        "stack": moved(before.stack, after.stack),
        **({"queue_drops": moved(before.queues, after.queues)} if after.queues else {}),
        **carriers.busiest(moved(before.carriers, after.carriers), seconds, hertz=USER_HZ),
        **({"connections": moved(before.connections, after.connections) | _fill(after)} if after.connections else {}),
    }


def cores(before: Counters, after: Counters) -> dict[str, float]:
    """CPU by use, in cores: busy, softirq, system, user (without guests), guest, steal.

    Busy is what idle time leaves of the window where CPUs are few: the kernel measures that at every switch, and only
    samples the rest at its ticks, which at a few tenths of a core says little of a second (docs/adr/0037).
    """
    seconds = max(after.uptime_s - before.uptime_s, 1 / USER_HZ)
    ticks = {name: max(0, value) / USER_HZ / seconds for name, value in grown(before.cpu, after.cpu).items()}
    guest = ticks["guest"] + ticks["guest_nice"]
    user = max(0.0, ticks["user"] + ticks["nice"] - guest)
    busy = user + guest + ticks["system"] + ticks["irq"] + ticks["softirq"] + ticks["steal"]
    count = len(after.each_cpu)
    if 0 < count <= _IDLE_CPUS and after.each_cpu.keys() == before.each_cpu.keys():
        busy = max(0.0, count - ticks["idle"] - ticks["iowait"])
    return {"busy": busy, "softirq": ticks["softirq"], "system": ticks["system"], "user": user, "guest": guest,
            "steal": ticks["steal"]}  # fmt: skip


def _busiest(before: Counters, after: Counters) -> dict[str, object]:
    """The CPU that spent the largest share of its time in interrupts, soft ones included; {} where none is told."""
    shares = {}
    for name, (interrupted, ticks) in after.each_cpu.items():
        first = before.each_cpu.get(name, (0, 0))
        shares[name] = (interrupted - first[0]) / max(ticks - first[1], 1)
    if not shares:
        return {}
    most = max(shares, key=lambda name: shares[name])
    return {"busiest_softirq": {"cpu": most, "share": round(shares[most], 3)}}


def _fill(after: Counters) -> dict[str, int]:
    """How full the table of connections is, which is no growth."""
    return {name: after.connections[name] for name in ("count", "max")}


def _each_cpu(text: str) -> dict[str, tuple[int, int]]:
    found = {}
    for line in text.splitlines()[1:]:
        name, *words = line.split()
        if not name.startswith("cpu"):
            break
        ticks = [int(word) for word in words[:8]]  # guest and guest_nice are inside user and nice
        found[name] = (sum(ticks[5:7]), sum(ticks))
    return found


def _cpu(text: str) -> dict[str, int]:
    first = text.split("\n", 1)[0].split()
    if first[0] != "cpu":
        raise ValueError(f"/proc/stat begins with {first[0]!r}")
    numbers = [int(word) for word in first[1:]]
    return dict(zip(_CPU, numbers + [0] * (len(_CPU) - len(numbers)), strict=False))


def _devices(text: str) -> dict[str, dict[str, int]]:
    rows = (line.partition(":") for line in text.splitlines()[2:] if ":" in line)
    return {
        name.strip(): dict(zip(_DEVICE, (int(word) for word in numbers.split()), strict=True))
        for name, _, numbers in rows
    }


def _softnet(text: str) -> dict[str, int]:
    rows = [[int(word, 16) for word in line.split()] for line in text.splitlines() if line.strip()]
    return {name: sum(row[column] for row in rows) for column, name in enumerate(("processed", "dropped", "squeezed"))}


def _lines(text: str) -> dict[str, int]:
    """A counter a line: "Udp6InErrors 0"."""
    return {name: int(value) for name, value in (line.split() for line in text.splitlines() if line.strip())}


def _stack(text: str) -> dict[str, int]:
    lines = text.splitlines()
    found = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        group, _, words = names.partition(":")
        for name, value in zip(words.split(), values.partition(":")[2].split(), strict=True):
            found[f"{group}.{name}"] = int(value)
    return found
