"""Which CPUs serve a NIC's interrupts: dealt over them queue by queue."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.facts import irqs
from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.labs.lab import Lab, Target
from tuning.knobs.knob import Change, NotSettable, OneWord

SPREAD = "spread"
_LIST = r"[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?){0,63}"


@dataclass(frozen=True, slots=True)
class IrqAffinity(OneWord):
    """`smp_affinity_list: spread` over the CPUs of the NIC's NUMA node, or `0-3` over these.

    Queue by queue, receive and transmit of one queue together; a host's devices go on where the one before ended.
    Where several CPUs may serve an interrupt the kernel leaves it where it is, so undo writes the one that did first.
    """

    kind: str = irqs.SETTING
    caution: str = "irqbalance must not run, or must be told to leave these alone; a driver that is reset chooses anew"
    drags: str = r"irq/[^/]+/[^/]+/on"
    target: Target = "path"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return re.fullmatch(r"irq/[^/]+/(?!near$)[^/]+", key) is not None

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        if value == SPREAD:
            return ""
        if re.fullmatch(_LIST, value) is None:
            return f"{setting} {value!r} is neither {SPREAD} nor a list of CPUs, as 0-3"
        backwards = [part for part in value.split(",") if "-" in part and not irqs.cpus_of(part)]
        return f"{setting} {value!r}: {backwards[0]} runs backwards" if backwards else ""

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. Refuses where irqbalance runs, and where no NIC on the target has interrupts of its own."""
        del setting
        found: list[Change] = []
        dealt: dict[str, int] = {}  # queues of each host so far
        for each in lab.devices(target):
            facts = now[each.host.name].facts
            keys = [key for key in facts if self.owns(key) and key.split("/")[1] == each.device]
            if keys and each.host.run(irqs.BALANCER).ok:
                raise NotSettable(
                    f"not settable here: irqbalance runs on {each.host.name} and moves interrupts itself; stop it, or "
                    "leave them to it"
                )
            queues = {key: number for key in keys if (number := irqs.queue(key)) is not None}
            queues = queues or {key: place for place, key in enumerate(keys)}  # names that tell no queue
            on = irqs.cpus_of(facts[f"irq/{each.device}/near"] if value == SPREAD else value) if keys else ()
            first = dealt.get(each.host.name, 0)
            found += [Change(each.host.name, key, str(on[(first + queue) % len(on)])) for key, queue in queues.items()]
            dealt[each.host.name] = first + len(set(queues.values()))
        if not found:
            raise NotSettable(
                f"not settable here: no device on the target {target!r} has interrupts that can be moved (a veth, tap "
                "or bridge has none)"
            )
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(irqs.writing(change.key, change.wanted) for change in changes)

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        cpu = "CPU" if value == SPREAD else value
        return f"for each interrupt of DEVICE: echo {cpu} > /proc/irq/NUMBER/{setting}"
