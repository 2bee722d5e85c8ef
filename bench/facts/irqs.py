"""Which CPUs serve a NIC's interrupts: /proc/irq/N/smp_affinity_list of its message-signalled ones, as facts. Pure.

A device of virtio has none itself, its parent on the PCI bus has. Where irqbalance runs they move by themselves:
whoever asks must know that it does not.
"""

import re
from collections.abc import Sequence

from bench.hosts.command import Command

SETTING = "smp_affinity_list"  # of a plan: the kernel's own word
FILE = "/proc/irq/{}/" + SETTING
BALANCER = Command(("pgrep", "-x", "irqbalance"))  # exits with 0 where it runs
# $1 … are devices. `near` are the CPUs of its NUMA node, all that are online where the device has no node.
_SCRIPT = """\
for device; do
at=/sys/class/net/$device/device
[ -e "$at/features" ] && [ ! -d "$at/msi_irqs" ] && at=$at/..
[ -d "$at/msi_irqs" ] || continue
near=; { read -r near <"$at/local_cpulist"; } 2>/dev/null
[ -n "$near" ] || read -r near </sys/devices/system/cpu/online
printf '%s near %s\\n' "$device" "$near"
for irq in "$at/msi_irqs"/*; do
number=${irq##*/}; cpus=
{ read -r cpus <"/proc/irq/$number/smp_affinity_list"; } 2>/dev/null && printf '%s %s %s\\n' "$device" "$number" "$cpus"
done
done
true
"""
_SHELL = ("sh", "-c", _SCRIPT, "irqs")
_LINE = re.compile(r"(\S+) (near|[0-9]+) ([0-9,-]+)")


def question(devices: Sequence[str]) -> Command:
    """What a host is asked of these devices."""
    return Command((*_SHELL, *devices))


def parse(text: str) -> dict[str, str]:
    """Facts "irq/eth0/26" with the CPUs that may serve it, and "irq/eth0/near"; none for a device without."""
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {f"irq/{each[1]}/{each[2]}": each[3] for each in found if each is not None}


def path(key: str) -> str:
    """The file behind the fact of an interrupt."""
    return FILE.format(key.rpartition("/")[2])


def cpus_of(listed: str) -> tuple[int, ...]:
    """The CPUs of a kernel's list ("0-3,8"), in its order; none of a part that runs backwards."""
    found: list[int] = []
    for part in listed.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)
