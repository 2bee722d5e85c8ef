"""What QEMU takes at a guest's start alone: queues, ring and largest MTU of its NICs. Setting one starts it anew.

Their facts are `vm/…` of the guest (bench.labs.guests.facts), and their writer is the lab, which has its guests' QEMU.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.labs.guests import QUEUES_MOST, RINGS, STARTED_WITH
from bench.labs.lab import Lab, Target
from bench.labs.restarting import Wanted
from bench.labs.topology import MTU_RANGE
from tuning.knobs.knob import Change, Knob, NotSettable, OneWord

_KEY = "vm/"


@dataclass(frozen=True, slots=True)
class StartedWith(OneWord):
    """`vm-queues: 4`: so many, between `least` and `most`, for every guest on the target."""

    kind: str
    least: int
    most: int
    drags: str  # pattern of the facts that are others with it, in the guest and at its tap
    by_hand: str  # the line of an operator of Proxmox VE, with {value}
    caution: str
    power_of_two: bool = False
    target: Target = "guest"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return key == _KEY + self.kind

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        number = int(value) if re.fullmatch(r"[1-9][0-9]{0,5}", value) else 0
        odd = self.power_of_two and number & (number - 1)
        if odd or not self.least <= number <= self.most:
            what = "power of two" if self.power_of_two else "whole number"
            return f"{setting} {value!r} is no {what} from {self.least} to {self.most}"
        return ""

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. Refused where we started no guest, for other NICs, and below the MTU that the path has."""
        key = _KEY + self.kind
        found = []
        for host in dict.fromkeys(lab.hosts_of(target)):
            facts = now[host.name].facts
            if _KEY + "nic" in facts and key not in facts:
                raise NotSettable(
                    f"not settable here: the NIC of {host.name} is a {facts[_KEY + 'nic']}, of which QEMU takes no "
                    f"{setting}. lab: {{provider: qemu, nic: virtio-net}}"
                )
            if key not in facts:
                continue
            for each in lab.devices(target) if self.kind == "vm-host-mtu" else ():
                mtu = facts.get(f"link/{each.device}/mtu", "0") if each.host is host else "0"
                if int(value) < int(mtu):
                    raise NotSettable(
                        f"not settable here: {host.name}/{each.device} has an MTU of {mtu}, {setting} {value} is less"
                    )
            found.append(Change(host.name, key, value))
        if not found:
            raise NotSettable(
                f"not settable here: on the target {target!r} is no guest that nettune starts, whose {setting} could "
                "be chosen. lab: {provider: qemu}"
            )
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes. No Command on the guest does it: `wanted_of` is what its lab is told."""
        del changes
        return ()

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        del setting
        return self.by_hand.format(value=value)


def wanted_of(changes: Sequence[Change]) -> Wanted:
    """By guest: what of these changes takes a new start."""
    found: dict[str, dict[str, str]] = {}
    for change in changes:
        if change.key.removeprefix(_KEY) in STARTED_WITH:
            found.setdefault(change.host, {})[change.key] = change.wanted
    return found


_ANEW = "it takes a full stop and start of the VM (a reboot inside is not enough)"
# As for `channels`, and what the driver says it takes; the tap has as many queues as the NIC.
_QUEUES = (
    r"(channel/[^/]+/combined(-most)?|queue/[^/]+/[rt]x-[0-9]+/.*|qdisc/[^/]+/.*|link/[^/]+/(qdisc|num_[rt]x_queues)"
    r"|irq/[^/]+/.+)"
)
STARTED: dict[str, Knob] = {
    each.kind: each
    for each in (
        StartedWith("vm-queues", 1, QUEUES_MOST, _QUEUES,
                    "qm set VMID --netN virtio=MAC,bridge=BRIDGE,queues={value}",
                    f"{_ANEW}; more queues than vCPUs are of no use, and each costs a vhost thread"),
        StartedWith("vm-rx-queue-size", *RINGS, r"ring/[^/]+/rx(-most)?",
                    "-device virtio-net-pci,…,rx_queue_size={value}   # of QEMU",
                    f"{_ANEW}; Proxmox VE itself starts every virtio NIC with 1024 (machine 7.1 and later)",
                    power_of_two=True),
        StartedWith("vm-host-mtu", *MTU_RANGE, r"(?!)", "qm set VMID --netN virtio=MAC,bridge=BRIDGE,mtu={value}",
                    f"{_ANEW}; the bridge and every device of its segment must take the size"),
    )
}  # fmt: skip
