"""How CPUs clock down and sleep: set on every CPU of a machine, through sysfs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.facts import cpus
from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.labs.lab import Lab, Target
from tuning.knobs.knob import Change, NotSettable, OneWord

OF_A_MACHINE = "sysctl/net.core.netdev_max_backlog"  # absent in every network namespace but the machine's own


@dataclass(frozen=True, slots=True)
class CpuFile(OneWord):
    """`scaling_governor: performance`: a file of each CPU, or of each group that shares a clock."""

    kind: str  # the file's name
    pattern: str  # what a value may be
    shape: str  # the same in words
    caution: str
    drags: str = "(?!)"  # pattern of the facts that the driver moves with it
    target: Target = "path"  # every machine: guests and namespaces have neither clocks nor sleep of their own

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return re.fullmatch(rf"cpu/[a-z]+[0-9]+/{self.kind}", key) is not None

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        return "" if re.fullmatch(self.pattern, value) else f"{setting} {value!r} is no {self.shape}"

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. Refuses a namespace, also one on another machine: it sees the machine's own CPUs."""
        found = []
        for host in dict.fromkeys(lab.hosts_of(target)):
            facts = now[host.name].facts
            if OF_A_MACHINE in facts:
                found += [Change(host.name, key, value) for key in facts if self.owns(key)]
        if not found:
            raise NotSettable(
                f"not settable here: on the target {target!r} is no machine of its own with {setting} (a namespace has "
                "the machine's CPUs, a guest those of its hypervisor)"
            )
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(Command(("tee", cpus.path(change.key)), stdin=change.wanted) for change in changes)

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        folder = cpus.FOLDERS[setting].format("policy*" if "cpufreq" in cpus.FOLDERS[setting] else "cpu*")
        return f"echo {value} | tee /sys/devices/system/cpu/{folder}{setting}"


_WORD, _SHAPE = "[a-z_]{1,30}", "word of the kernel's, as performance"
# The energy preference comes after the governor: under `performance` intel_pstate has that one only, and moves it
# (Documentation/admin-guide/pm/intel_pstate.rst).
CPU_FILES = (
    CpuFile("scaling_governor", _WORD, _SHAPE, "more power and heat; where tuned is installed it sets its own",
            drags="cpu/policy[0-9]+/energy_performance_preference"),
    CpuFile("energy_performance_preference", _WORD, _SHAPE, "more power and heat"),
    CpuFile("pm_qos_resume_latency_us", "[0-9]{1,7}|n/a", "number of microseconds (0 for no limit)",
            "more power and heat, and less room for single CPUs to clock up"),
)  # fmt: skip
