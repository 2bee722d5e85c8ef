"""MTU of the devices on the path. Lowered at the endpoints first, raised there last: nobody sends what none takes."""

import re
from collections.abc import Sequence

from bench.facts.sheet import Difference, Sheets
from bench.hosts.command import Command
from bench.labs.lab import Lab, PathDevice, Target
from bench.labs.topology import MTU_RANGE
from tuning.knobs.knob import Change, NotSettable

# net.ipv6.conf.DEV.mtu follows the link; below 1280 IPv6 leaves the device with all that hung on it (RFC 8200, 5).
_DRAGS = re.compile(r"link/[^/]+/mtu$|sysctl/net\.ipv6\.conf\.[^.]+\.mtu$")
_DRAGS_IPV6 = re.compile(
    r"sysctl/net\.ipv6\.|(address|neighbour)/[^/]+/[0-9a-f]*:|route/[^ ]*(?:[0-9a-f]*:|\S+ [0-9a-f]*:)|fdb/"
)
_IPV6_MINIMUM = 1280


class Mtu:
    """`mtu: 9000`, in bytes."""

    kind = "mtu"
    target: Target = "path"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return re.fullmatch(r"link/[^/]+/mtu", key) is not None

    def words(self) -> Sequence[str]:
        """See Knob.words."""
        return ("mtu",)

    def takes(self, setting: str) -> bool:
        """See Knob.takes."""
        return setting == "mtu"

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        low, high = MTU_RANGE
        if not re.fullmatch(r"[0-9]{1,6}", value) or not low <= int(value) <= high:
            return f"{setting} {value!r} is no MTU: a whole number of bytes from {low} to {high}"
        return ""

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes.

        A bridge takes the least MTU of its ports by itself, until somebody sets it by hand. That bit
        (BROPT_MTU_SET_BY_USER) can be neither read nor cleared, so a bridge is written only where it does not follow
        its ports, that is, where somebody had set it before.
        """
        del setting
        devices = lab.devices(target)
        if not devices:
            raise NotSettable(f"not settable here: this topology has no device on the target {target!r}")
        for each in devices:
            facts = now[each.host.name].facts
            bridge = facts.get(f"link/{each.device}/kind") == "bridge"
            if bridge and int(value) < _IPV6_MINIMUM and f"sysctl/net.ipv6.conf.{each.device}.mtu" in facts:
                raise NotSettable(
                    f"not settable here: below {_IPV6_MINIMUM} bytes the bridge {each.host.name}/{each.device} leaves "
                    "IPv6's all-snoopers group for good (br_multicast_join_snoopers runs only when it is brought up)"
                )
        ends = [end.host for end in lab.endpoints]
        raising = any(
            int(value) > int(now[each.host.name].facts.get(f"link/{each.device}/mtu", "0")) for each in devices
        )

        def late(each: PathDevice) -> tuple[bool, bool]:  # a VLAN's MTU cannot be above that of the device below it
            above = now[each.host.name].facts.get(f"link/{each.device}/kind") == "vlan"
            return (each.host in ends) == raising, above == raising

        ordered = sorted(devices, key=late)
        return tuple(
            Change(
                each.host.name,
                f"link/{each.device}/mtu",
                value,
                follows=now[each.host.name].facts.get(f"link/{each.device}/kind") == "bridge",
            )
            for each in ordered
        )

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(
            Command(("ip", "link", "set", "dev", change.key.split("/")[1], "mtu", change.wanted)) for change in changes
        )

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds."""
        return wanted == actual

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains."""
        del setting
        if _DRAGS.match(difference.key):
            return True
        return bool(_DRAGS_IPV6.match(difference.key))

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        del setting
        return f"ip link set dev DEVICE mtu {value}"

    def risk(self, setting: str) -> str:
        """See Knob.risk."""
        del setting
        return (
            "every device of the segment, switches and peers included, must take the size; "
            f"below {_IPV6_MINIMUM} bytes a device loses IPv6"
        )
