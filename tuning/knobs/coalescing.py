"""When a NIC interrupts: delay, frames, and whether the driver spaces interrupts by the load (`ethtool -C`)."""

import re
from collections.abc import Sequence

from bench.facts.sheet import Difference, Sheets
from bench.hosts.command import Command
from bench.labs.lab import Lab, Target
from tuning.knobs.knob import Change, NotSettable

# `ethtool -c` prints rx-frame-low where `-C` takes rx-frames-low; those are left out (ethtool 6.1, coalesce.c).
SWITCHES = ("adaptive-rx", "adaptive-tx", "cqe-mode-rx", "cqe-mode-tx")
NUMBERS = ("rx-usecs", "rx-frames", "rx-usecs-irq", "rx-frames-irq", "tx-usecs", "tx-frames", "tx-usecs-irq",
           "tx-frames-irq", "rx-usecs-low", "rx-usecs-high", "tx-usecs-low", "tx-usecs-high", "pkt-rate-low",
           "pkt-rate-high", "sample-interval", "stats-block-usecs")  # fmt: skip
_TUNED = ("adaptive-rx", "adaptive-tx", "rx-usecs", "rx-frames", "tx-usecs", "tx-frames", "rx-usecs-high")


class Coalescing:
    """`rx-usecs: 8`, `adaptive-rx: off`."""

    kind = "coalescing"
    target: Target = "guest"  # as for rings: a tap or veth has none; on a node it is the physical NIC's

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return key.startswith("coalesce/")

    def words(self) -> Sequence[str]:
        """See Knob.words."""
        return _TUNED

    def takes(self, setting: str) -> bool:
        """See Knob.takes."""
        return setting in SWITCHES or setting in NUMBERS

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        if setting in SWITCHES:
            return "" if value in {"on", "off"} else f"{setting} takes on or off, not {value!r}"
        if re.fullmatch(r"[0-9]{1,7}", value):
            return ""
        return f"{setting} {value!r} is no whole number of {'microseconds' if 'usecs' in setting else 'frames'}"

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. Refuses where no device has it. A fixed delay under adaptive mode is left to the driver.

        One treatment may set both, and each setting is asked for by itself: `adaptive-rx: off` belongs beside it.
        """
        found = []
        for each in lab.devices(target):
            facts = now[each.host.name].facts
            key = f"coalesce/{each.device}/{setting}"
            if key in facts:
                found.append(Change(each.host.name, key, value))
        if not found:
            raise NotSettable(
                f"not settable here: no device on the target {target!r} has {setting} (`ethtool -c` says n/a: a veth "
                "or tap, or a driver without it)"
            )
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes. All of a device in one call: drivers take some values only together."""
        by_device: dict[str, list[str]] = {}
        for change in changes:
            _, device, word = change.key.split("/", 2)
            by_device.setdefault(device, []).extend((word, change.wanted))
        return tuple(Command(("ethtool", "-C", device, *words)) for device, words in by_device.items())

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds."""
        return wanted == actual

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains. Drivers couple them: one interrupt for both ways, delays of adaptive mode's own."""
        del setting
        return self.owns(difference.key)

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        return f"ethtool -C DEVICE {setting} {value}"

    def risk(self, setting: str) -> str:
        """See Knob.risk."""
        if setting in SWITCHES:
            return "with adaptive mode the driver chooses the delays itself; without, the fixed ones hold"
        return "a longer delay is fewer interrupts and more latency; without adaptive mode off some drivers ignore it"
