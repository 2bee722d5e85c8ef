"""Words for the steering of a device's queues, and what they come to on a host: Documentation/networking/scaling.rst.

rps_cpus: all       every CPU; of one queue, where NUMA does not matter
rps_cpus: others    every CPU but the one that serves the queue's interrupt, which has work enough at high rates
xps_cpus: spread    each CPU sends by one queue, neighbours (which share a cache) by the same
rps_flow_cnt: shared   the entries of net.core.rps_sock_flow_entries (32768 where there are none), dealt to the queues
"""

import re
from collections.abc import Mapping, Sequence

from bench.facts import irqs
from bench.hosts.command import Command
from bench.hosts.host import Host
from tuning.knobs.knob import NotSettable

ALL, OTHERS, SPREAD, SHARED = "all", "others", "spread", "shared"
WORDS: Mapping[str, Sequence[str]] = {"rps_cpus": (ALL, OTHERS), "xps_cpus": (SPREAD,), "rps_flow_cnt": (SHARED,)}
FLOWS = 32768  # scaling.rst, RFS: "for moderately loaded servers"
ONLINE = Command(("cat", "/sys/devices/system/cpu/online"))
_SENDS = re.compile(r"out|tx(?!-?rx)", re.IGNORECASE)  # virtio1-output.0, eth0-tx-0; not i40e-eth0-TxRx-0


def values(word: str, keys: Sequence[str], facts: Mapping[str, str], host: Host) -> list[str]:
    """What each queue (keys of facts, "queue/eth0/rx-0/rps_cpus") gets; raises NotSettable with the reason."""
    device = keys[0].split("/")[1]
    if word == SHARED:
        entries = int(facts.get("sysctl/net.core.rps_sock_flow_entries", "0")) or FLOWS
        return [str(max(1, entries // len(keys)))] * len(keys)
    told = host.run(ONLINE)
    cpus = irqs.cpus_of(told.stdout.strip()) if re.fullmatch(r"[0-9,-]+", told.stdout.strip()) else ()
    if len(cpus) < 2:
        raise NotSettable(f"not settable here: {host.name} has one CPU: there is no other to steer to")
    if word == ALL:
        return [mask(cpus)] * len(keys)
    numbers = [int(key.split("/")[2].partition("-")[2]) for key in keys]
    if word == SPREAD:
        return [mask(each) for each in dealt(cpus, numbers)]
    found = []
    for number in numbers:
        own = serving(device, number, facts, alone=len(keys) == 1)
        if not own:
            raise NotSettable(
                f"not settable here: no fact tells which CPU serves queue {number} of {host.name}/{device} (a veth or "
                "tap has no interrupt; irqbalance moves those of NICs)"
            )
        if not set(cpus) - own:
            raise NotSettable(f"not settable here: every CPU of {host.name} serves queue {number} of {device}")
        found.append(mask([each for each in cpus if each not in own]))
    return found


def dealt(cpus: Sequence[int], queues: Sequence[int]) -> list[list[int]]:
    """The CPUs of each queue: every CPU on one, neighbours together; of more queues than CPUs several have the same."""
    count, order = len(queues), sorted(queues)
    places = {queue: order.index(queue) for queue in queues}
    if count > len(cpus):
        return [[cpus[places[queue] % len(cpus)]] for queue in queues]
    return [[cpu for at, cpu in enumerate(cpus) if at * count // len(cpus) == places[queue]] for queue in queues]


def serving(device: str, queue: int, facts: Mapping[str, str], *, alone: bool) -> set[int]:
    """The CPUs on which interrupts of a receive queue come in, of an `alone` one whatever they are called."""
    keys = [key for key in facts if re.fullmatch(rf"irq/{re.escape(device)}/[^/]+/on", key)]
    names = [key for key in keys if irqs.queue(key.removesuffix("/on")) == queue] or (keys if alone else [])
    receiving = [key for key in names if not _SENDS.search(key.split("/")[2])]
    return {cpu for key in receiving or names for cpu in irqs.cpus_of(facts[key])}


def mask(cpus: Sequence[int]) -> str:
    """As the kernel takes it: hexadecimal, in groups of 32 bits with commas between them (lib/bitmap-str.c)."""
    digits = f"{sum(1 << cpu for cpu in cpus):x}"
    first = len(digits) % 8
    groups = ([digits[:first]] if first else []) + [digits[at : at + 8] for at in range(first, len(digits), 8)]
    return ",".join(groups)
