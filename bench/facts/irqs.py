"""Which CPUs serve a NIC's interrupts: /proc/irq/N/smp_affinity_list of its message-signalled ones, as facts. Pure.

    irq/eth0/virtio1-input.0         "0-3"   the CPUs that may serve it
    irq/eth0/virtio1-input.0/on      "2"     the one that does (effective_affinity_list), where the kernel tells
    irq/eth0/near                    "0-3"   those of the device's NUMA node

Interrupts go by their names, since their numbers are others once a driver has asked for them anew. A device of virtio
has none itself, its parent on the PCI bus has. Where irqbalance runs they move by themselves: whoever asks must know
that it does not.
"""

import re
from collections.abc import Mapping, Sequence

from bench.hosts.command import Command

SETTING = "smp_affinity_list"  # of a plan: the kernel's own word
AROUND = ("rps_cpus", "others")  # of a plan: a setting and value that go by the CPUs of interrupts
BALANCER = Command(("pgrep", "-x", "irqbalance"))  # exits with 0 where it runs
# $1 … are devices. An interrupt's name is a folder beside its files (kernel/irq/proc.c: register_handler_proc).
_SCRIPT = """\
for device; do
at=/sys/class/net/$device/device
[ -e "$at/features" ] && [ ! -d "$at/msi_irqs" ] && at=$at/..
[ -d "$at/msi_irqs" ] || continue
near=; { read -r near <"$at/local_cpulist"; } 2>/dev/null
[ -n "$near" ] || read -r near </sys/devices/system/cpu/online
printf '%s near %s\\n' "$device" "$near"
for irq in "$at/msi_irqs"/*; do
of=/proc/irq/${irq##*/}
for name in "$of"/*/; do
name=${name%/}; cpus= on=
[ -d "$name" ] || continue
{ read -r cpus <"$of/smp_affinity_list"; } 2>/dev/null || continue
printf '%s %s %s\\n' "$device" "${name##*/}" "$cpus"
{ read -r on <"$of/effective_affinity_list"; } 2>/dev/null && [ -n "$on" ] &&
printf '%s %s/on %s\\n' "$device" "${name##*/}" "$on"
break
done
done
done
true
"""
_SHELL = ("sh", "-c", _SCRIPT, "irqs")
_LINE = re.compile(r"(\S+) (.+) ([0-9,-]+)")
# $1 the name, $2 the CPUs.
_WRITE = 'for name in /proc/irq/*/"$1"; do printf %s "$2" >"${name%/*}/smp_affinity_list"; done'
# virtio1-input.0, ens1f0-TxRx-3, i40e-eth0-TxRx-0, mlx5_comp3@pci:0000:01:00.0; not virtio1-config, mlx5_async0@…
_QUEUE = re.compile(r".*(?:put|rx|tx|comp|fp|queue)[-_.]?(\d+)(?:@.*)?", re.IGNORECASE)


def question(devices: Sequence[str]) -> Command:
    """What a host is asked of these devices."""
    return Command((*_SHELL, *devices))


def parse(text: str) -> dict[str, str]:
    """The facts above; none for a device without."""
    found = (_LINE.fullmatch(line) for line in text.split("\n"))
    return {f"irq/{each[1]}/{each[2]}": each[3] for each in found if each is not None}


def writing(key: str, cpus: str) -> Command:
    """What lets these CPUs serve the interrupt of a fact."""
    return Command(("sh", "-c", _WRITE, "irq", key.split("/")[2], cpus))


def chosen(key: str, facts: Mapping[str, str]) -> bool:
    """Whether a fact is which of the CPUs that may serve an interrupt does: no file sets that.

    The kernel moves it once an interrupt comes, and refuses (EBUSY) until the last move has ended: on an idle NIC not.
    """
    name, _, last = key.rpartition("/")
    known = key.startswith("irq/") and last == "on" and {name, key} <= facts.keys()
    return known and {*cpus_of(facts[key])} <= {*cpus_of(facts[name])}


def queue(key: str) -> int | None:
    """The queue that an interrupt is of; None for the device's own (configuration, events)."""
    found = _QUEUE.fullmatch(key.split("/")[2])
    return int(found[1]) if found else None


def cpus_of(listed: str) -> tuple[int, ...]:
    """The CPUs of a kernel's list ("0-3,8"), in its order; none of a part that runs backwards."""
    found: list[int] = []
    for part in listed.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)
