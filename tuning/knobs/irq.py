"""Which CPUs serve a NIC's interrupts: dealt over them one by one, in the order of their numbers."""

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
    """`smp_affinity_list: spread` over the CPUs of the NIC's NUMA node, or `0-3` over these."""

    kind: str = irqs.SETTING
    caution: str = "irqbalance must not run, or must be told to leave these alone; numbers change with the queues"
    drags: str = "(?!)"
    target: Target = "path"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return re.fullmatch(r"irq/[^/]+/[0-9]+", key) is not None

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
        found = []
        for each in lab.devices(target):
            facts = now[each.host.name].facts
            keys = sorted(
                (key for key in facts if self.owns(key) and key.split("/")[1] == each.device),
                key=lambda key: int(key.rpartition("/")[2]),
            )
            if keys and each.host.run(irqs.BALANCER).ok:
                raise NotSettable(
                    f"not settable here: irqbalance runs on {each.host.name} and moves interrupts itself; stop it, or "
                    "leave them to it"
                )
            on = irqs.cpus_of(facts[f"irq/{each.device}/near"] if value == SPREAD else value) if keys else ()
            found += [Change(each.host.name, key, str(on[index % len(on)])) for index, key in enumerate(keys)]
        if not found:
            raise NotSettable(
                f"not settable here: no device on the target {target!r} has interrupts that can be moved (a veth, tap "
                "or bridge has none)"
            )
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(Command(("tee", irqs.path(change.key)), stdin=change.wanted) for change in changes)

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        cpu = "CPU" if value == SPREAD else value
        return f"for each interrupt of DEVICE: echo {cpu} > /proc/irq/NUMBER/{setting}"
