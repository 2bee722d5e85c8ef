"""Offload features of network devices, by ethtool's short names (groups) or the kernel's own strings."""

import fnmatch
import re
from collections.abc import Mapping, Sequence

from bench.facts.sheet import Difference, Sheets
from bench.hosts.command import Command
from bench.labs.lab import Lab, Target
from tuning.knobs.knob import Change, NotSettable

# ethtool(8)'s short names and the kernel strings that each stands for (off_flag_def in ethtool's common.c).
SHORT: Mapping[str, str] = {
    "rx": "rx-checksum",
    "tx": "tx-checksum-*",
    "sg": "tx-scatter-gather*",
    "tso": "tx-tcp*-segmentation",
    "gso": "tx-generic-segmentation",
    "gro": "rx-gro",
    "lro": "rx-lro",
    "rxvlan": "rx-vlan-hw-parse",
    "txvlan": "tx-vlan-hw-insert",
    "ntuple": "rx-ntuple-filter",
    "rxhash": "rx-hashing",
}
# The strings of net/ethtool/common.c, netdev_features_strings, as of Linux 6.18.
_STRINGS = """
    tx-scatter-gather tx-checksum-ipv4 tx-checksum-ip-generic tx-checksum-ipv6 highdma tx-scatter-gather-fraglist
    tx-vlan-hw-insert rx-vlan-hw-parse rx-vlan-filter tx-vlan-stag-hw-insert rx-vlan-stag-hw-parse rx-vlan-stag-filter
    vlan-challenged tx-generic-segmentation rx-gro rx-gro-hw rx-lro tx-tcp-segmentation tx-gso-robust
    tx-tcp-ecn-segmentation tx-tcp-accecn-segmentation tx-tcp-mangleid-segmentation tx-tcp6-segmentation
    tx-fcoe-segmentation tx-gre-segmentation tx-gre-csum-segmentation tx-ipxip4-segmentation tx-ipxip6-segmentation
    tx-udp_tnl-segmentation tx-udp_tnl-csum-segmentation tx-gso-partial tx-tunnel-remcsum-segmentation
    tx-sctp-segmentation tx-esp-segmentation tx-udp-segmentation tx-gso-list tx-checksum-fcoe-crc tx-checksum-sctp
    rx-ntuple-filter rx-hashing rx-checksum tx-nocache-copy loopback rx-fcs rx-all l2-fwd-offload hw-tc-offload
    esp-hw-offload esp-tx-csum-hw-offload rx-udp_tunnel-port-offload tls-hw-record tls-hw-tx-offload
    tls-hw-rx-offload rx-gro-list macsec-hw-offload rx-udp-gro-forwarding hsr-tag-ins-offload hsr-tag-rm-offload
    hsr-fwd-offload hsr-dup-offload
"""
KERNEL = tuple(_STRINGS.split())
CUTS_TRAFFIC = frozenset({"loopback", "rx-fcs", "rx-all"})  # policy X of the catalogue: never a candidate


def members(word: str) -> tuple[str, ...]:
    """The kernel's strings that one of ethtool's short names stands for; () for any other word."""
    return tuple(fnmatch.filter(KERNEL, SHORT[word])) if word in SHORT else ()


class Feature:
    """`tso: off`, `rx-udp-gro-forwarding: on`."""

    kind = "feature"
    target: Target = "path"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return key.startswith("feature/")

    def words(self) -> Sequence[str]:
        """See Knob.words."""
        return (*SHORT, *KERNEL)

    def takes(self, setting: str) -> bool:
        """See Knob.takes."""
        return setting in SHORT or setting in KERNEL

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        if setting in CUTS_TRAFFIC:
            return f"{setting} cuts off or mangles traffic; it is never tuned"
        return "" if value in {"on", "off"} else f"{setting} takes on or off, not {value!r}"

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. Fixed features of a group are left out; a device on which all are fixed is refused."""
        pattern = SHORT.get(setting, setting)
        found: list[Change] = []
        for each in lab.devices(target):
            if not each.counts:
                continue  # a bridge's own features act on the node's own traffic, not on what it forwards
            features = now[each.host.name].of(f"feature/{each.device}/")
            members = [name for name in features if fnmatch.fnmatchcase(name, pattern)]
            free = [name for name in members if "[fixed]" not in features[name]]
            if not free:
                why = "fixed by its driver" if members else "not a feature of this kernel or device"
                raise NotSettable(f"not settable here: {setting} on {each.host.name}/{each.device} is {why}")
            found += [Change(each.host.name, f"feature/{each.device}/{name}", value) for name in free]
        if not found:
            raise NotSettable(f"not settable here: this topology has no device on the target {target!r}")
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes. All features of a device in one call, since the kernel drops what lacks its prerequisite."""
        by_device: dict[str, list[str]] = {}
        for change in changes:
            _, device, name = change.key.split("/", 2)
            by_device.setdefault(device, []).extend((name, wanted_bit(change.wanted)))
        return tuple(Command(("ethtool", "-K", device, *words)) for device, words in by_device.items())

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds. What counts is what is active; a bit that is only wanted does not hold."""
        return actual == wanted

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains. netdev_fix_features couples features of one device (no checksum: no TSO, …)."""
        del setting
        return bool(re.match(r"feature/|link/[^/]+/(gso|tso|gro)_", difference.key))

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        return f"ethtool -K DEVICE {setting} {wanted_bit(value)}"

    def risk(self, setting: str) -> str:
        """See Knob.risk."""
        del setting
        return "may reset queues or the link on hardware NICs; some drivers hang or corrupt: soak before trusting it"


def wanted_bit(value: str) -> str:
    """The bit to ask for, so that a feature reads `value` again: "off [requested on]" was asked to be on."""
    found = re.search(r"\[requested (on|off)\]", value)
    return found.group(1) if found else next(iter(value.split()), "")
