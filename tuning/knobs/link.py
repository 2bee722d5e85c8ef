"""Numbers of a link beside its MTU: length of the transmit queue, size of the packets that offloads build."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.facts.sheet import Difference, Sheets
from bench.hosts.command import Command
from bench.labs.lab import Lab, Target
from tuning.knobs.knob import Change, NotSettable, OneWord

GSO_RANGE = (2048, 524_280)  # GSO_MAX_SIZE = 8 * GSO_MAX_SEGS (net/core, since 5.19); a device says how much it takes


@dataclass(frozen=True, slots=True)
class LinkNumber(OneWord):
    """`txqueuelen: 5000`, `gso_max_size: 131072`: `ip link set DEV WORD N`."""

    kind: str  # the word that `ip link set` takes
    field: str  # of `ip -j -d link`
    unit: str
    low: int
    high: int
    caution: str
    target: Target = "path"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return re.fullmatch(rf"link/[^/]+/{self.field}", key) is not None

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        if not re.fullmatch(r"[0-9]{1,6}", value) or not self.low <= int(value) <= self.high:
            return f"{setting} {value!r} is no number of {self.unit} from {self.low} to {self.high}"
        return ""

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. A bridge itself is left out: it takes such limits over from its ports."""
        found = []
        for each in lab.devices(target):
            if not each.counts:
                continue
            facts = now[each.host.name].facts
            key = f"link/{each.device}/{self.field}"
            most = int(facts.get(f"link/{each.device}/tso_max_size", "0"))
            if key not in facts:
                raise NotSettable(f"not settable here: this kernel or iproute2 shows no {setting} of {each.device}")
            if self.field.startswith("gso") and int(value) > most > 0:
                raise NotSettable(
                    f"not settable here: {each.host.name}/{each.device} builds packets of at most {most} bytes "
                    "(tso_max_size)"
                )
            found.append(Change(each.host.name, key, value))
        if not found:
            raise NotSettable(f"not settable here: this topology has no device on the target {target!r}")
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(
            Command(("ip", "link", "set", "dev", change.key.split("/")[1], self.kind, change.wanted))
            for change in changes
        )

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains. The kernel keeps gso_ipv4_max_size at or below the older limit, and a bridge follows."""
        del setting
        family = "(gso|gro|tso)_[a-z0-9_]+" if self.field.startswith(("gso", "gro")) else self.field
        return re.fullmatch(rf"link/[^/]+/{family}", difference.key) is not None

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        return f"ip link set dev DEVICE {setting} {value}"


_BIG = "above 65536 only where every device of the path takes it (BIG TCP); captures and old firewalls may not"
LINK_NUMBERS = (
    LinkNumber("txqueuelen", "txqlen", "packets", 1, 100_000, "a longer queue is a longer wait when the link is full"),
    LinkNumber("gso_max_size", "gso_max_size", "bytes", *GSO_RANGE, _BIG),
    LinkNumber("gro_max_size", "gro_max_size", "bytes", *GSO_RANGE, _BIG),
    LinkNumber("gso_ipv4_max_size", "gso_ipv4_max_size", "bytes", *GSO_RANGE, _BIG),
    LinkNumber("gro_ipv4_max_size", "gro_ipv4_max_size", "bytes", *GSO_RANGE, _BIG),
)
