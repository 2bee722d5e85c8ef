"""What a NIC with queues of its own has: how many queues (channels) and how long their rings are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.facts import rss
from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.labs.lab import Lab, PathDevice, Target
from tuning.knobs.knob import Change, NotSettable, OneWord


@dataclass(frozen=True, slots=True)
class NicNumber(OneWord):
    """`channels: 2`, `rx-ring: 1024`: `ethtool -L DEV combined N`, `ethtool -G DEV rx N`."""

    kind: str
    fact: str  # "channel" or "ring", the kind of its facts
    word: str  # as ethtool has it: "combined", "rx", "tx"
    option: str  # of ethtool
    drags: str  # pattern of the facts that the driver moves with it
    caution: str
    target: Target = "guest"  # a tap or veth has neither; on a node it is the physical NIC's

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return re.fullmatch(rf"{self.fact}/[^/]+/{self.word}", key) is not None

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        return "" if re.fullmatch(r"[1-9][0-9]{0,5}", value) else f"{setting} {value!r} is no number from 1 up"

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. Refuses a device without, and a number above what its driver says it takes."""
        found = []
        for each in lab.devices(target):
            facts = now[each.host.name].facts
            key = f"{self.fact}/{each.device}/{self.word}"
            most = facts.get(f"{key}-most", "")
            if key not in facts:
                continue  # a bridge, a VLAN on top
            if most.isdecimal() and int(value) > int(most):
                raise NotSettable(
                    f"not settable here: {each.host.name}/{each.device} takes at most {most} ({setting} {value} asked)"
                )
            if self.fact == "channel":
                _holds_the_table(each, facts.get(f"rss/{each.device}/table", ""), value)
            found.append(Change(each.host.name, key, value))
        if not found:
            raise NotSettable(f"not settable here: no device on the target {target!r} has {setting} that can be chosen")
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(
            Command(("ethtool", self.option, change.key.split("/")[1], self.word, change.wanted)) for change in changes
        )

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        del setting
        return f"ethtool {self.option} DEVICE {self.word} {value}"


def _holds_the_table(at: PathDevice, table: str, channels: str) -> None:
    """Drivers reset a chosen RSS table with channels: it must be one that can be put back. Raises NotSettable.

    Fewer than it needs the kernel refuses (net/ethtool/channels.c: ethnl_set_channels).
    """
    if table.startswith(rss.CUSTOM):
        raise NotSettable(
            f"not settable here: {at.host.name}/{at.device} has an RSS table that ethtool cannot write back, should "
            "its driver reset that"
        )
    if table != "default" and table and rss.queues(table) > int(channels):
        raise NotSettable(
            f"not settable here: the RSS table of {at.host.name}/{at.device} ({table}) needs {rss.queues(table)} "
            f"channels: `ethtool -X {at.device} default` gives it up"
        )


# Netdev queues come and go with channels, and with them their steering and the leaves of mq (net/core/dev.c:
# netif_set_real_num_tx_queues); virtio spreads XPS anew (drivers/net/virtio_net.c: virtnet_set_affinity).
_QUEUES = r"(queue/[^/]+/[rt]x-[0-9]+/.*|qdisc/[^/]+/.*|link/[^/]+/(qdisc|num_[rt]x_queues)|irq/[^/]+/.+|rss/[^/]+/.+)"
# Drivers ask for their interrupts anew with new rings, and some set up the whole NIC.
_RINGS = "ring/[^/]+/{}|(irq|rss)/[^/]+/.+"
_RESET = "the driver resets its queues: packets on their way are lost, for some drivers the link goes down a moment"
NIC_NUMBERS = (
    NicNumber("channels", "channel", "combined", "-L", _QUEUES, _RESET),
    NicNumber(
        "rx-ring", "ring", "rx", "-G", _RINGS.format("tx"), _RESET + "; a longer ring is a longer wait when full"
    ),
    NicNumber(
        "tx-ring", "ring", "tx", "-G", _RINGS.format("rx"), _RESET + "; a longer ring is a longer wait when full"
    ),
)
