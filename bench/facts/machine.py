"""What a machine is: kernel, CPU, virtualisation, how CPU time is accounted, tool versions. Read once per run."""

import base64
import gzip
import re
import zlib
from collections.abc import Mapping, Sequence

from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host

_QUESTIONS: Mapping[str, Command] = {
    "kernel": Command(("uname", "-srvm")),
    "cpuinfo": Command(("grep", "-m1", "model name", "/proc/cpuinfo")),
    "cpus": Command(("getconf", "_NPROCESSORS_ONLN")),
    "memory": Command(("grep", "-m1", "MemTotal", "/proc/meminfo")),
    "os": Command(("grep", "-m1", "^PRETTY_NAME=", "/etc/os-release")),
    "virtualisation": Command(("systemd-detect-virt",)),
    "governor": Command(("cat", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
    "smt": Command(("cat", "/sys/devices/system/cpu/smt/active")),
    "clocksource": Command(("cat", "/sys/devices/system/clocksource/clocksource0/current_clocksource")),
    "mitigations": Command(("grep", "-rs", ".", "/sys/devices/system/cpu/vulnerabilities")),
    "congestion controls": Command(("cat", "/proc/sys/net/ipv4/tcp_available_congestion_control")),
    "iperf3": Command(("iperf3", "--version")),
    "irtt": Command(("irtt", "version")),
    "sockperf": Command(("sockperf", "--version")),
    "wrk": Command(("wrk", "-v")),
    "haproxy": Command(("haproxy", "-v")),
    "ethtool": Command(("ethtool", "--version")),
    "iproute2": Command(("ip", "-V")),
}


def read(host: Host) -> dict[str, str]:
    """The facts by name, in words; one that the machine does not tell reads "absent"."""
    outcomes = dict(zip(_QUESTIONS, host.run_all(tuple(_QUESTIONS.values())), strict=True))
    facts = {name: parse(name, outcome) for name, outcome in outcomes.items()}
    facts["CPU accounting"] = cpu_accounting(kernel_config(host))
    if in_user_namespace(host):
        facts["user namespace"] = "yes"
    return facts


def in_user_namespace(host: Host) -> bool:
    """True where root is not the machine's root: the first user namespace alone maps all ids to themselves."""
    ids = host.run(Command(("cat", "/proc/self/uid_map"))).stdout.split()
    return bool(ids) and ids != ["0", "0", "4294967295"]  # user_namespaces(7)


def parse(name: str, outcome: Outcome) -> str:
    """One answer in one line."""
    text = outcome.stdout.strip()
    if not text:
        return "absent"
    match name:
        case "cpuinfo" | "memory":
            return " ".join(text.partition(":")[2].split())
        case "os":
            return text.partition("=")[2].strip('"')
        case "mitigations":
            vulnerable = [
                line.rsplit("/", 1)[-1].partition(":")[0] for line in text.splitlines() if "Vulnerable" in line
            ]
            return f"vulnerable: {', '.join(sorted(vulnerable))}" if vulnerable else "mitigated or not affected"
        case _:
            return text.splitlines()[0]


def available_congestion_controls(host: Host) -> Sequence[str]:
    """What the running kernel offers without loading a module."""
    return host.run(_QUESTIONS["congestion controls"]).require().stdout.split()


def kernel_config(host: Host) -> str:
    """The kernel's build configuration, "" where it does not tell."""
    release = host.run(Command(("uname", "-r"))).stdout.strip()
    plain = host.run(Command(("cat", f"/boot/config-{release}")))
    if plain.ok:
        return plain.stdout
    packed = host.run(Command(("base64", "/proc/config.gz")))
    return _unpacked(packed.stdout) if packed.ok else ""


def cpu_accounting(config: str) -> str:
    """How /proc/stat comes by its numbers: sampled at each tick, or measured at every switch."""
    ticks = re.search(r"^CONFIG_HZ=(\d+)$", config, re.MULTILINE)
    hertz = f" at {ticks.group(1)} Hz" if ticks else ""
    irq = ", interrupt time apart" if "CONFIG_IRQ_TIME_ACCOUNTING=y" in config else ""
    if "CONFIG_VIRT_CPU_ACCOUNTING_GEN=y" in config:
        return f"tick-sampled{hertz}, full on nohz_full cores{irq}"
    if "CONFIG_TICK_CPU_ACCOUNTING=y" in config:
        return f"tick-sampled{hertz}{irq}"
    return "unknown"


def _unpacked(text: str) -> str:
    try:
        return gzip.decompress(base64.b64decode(text)).decode("utf-8", "replace")
    except (OSError, ValueError, EOFError, zlib.error):
        return ""
