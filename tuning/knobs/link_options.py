"""Options of a bond and of a bridge that can be changed while it is up (`ip link set DEV type bond|bridge …`).

Those that the kernel takes from a bond that is down alone (mode, lacp_rate, min_links, ad_select, tlb_dynamic_lb:
bond_opts in drivers/net/bonding/bond_options.c, BOND_OPTFLAG_IFDOWN) are none of them: they would cut the path.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.labs.lab import Lab, Target
from tuning.knobs.knob import Change, NotSettable, OneWord


@dataclass(frozen=True, slots=True)
class LinkOption(OneWord):
    """`xmit_hash_policy: layer3+4`, `mcast_snooping: off`: of every bond, or every bridge, on the path."""

    kind: str  # the word that `ip link set DEV type …` takes, and of its JSON
    of: str  # "bond" or "bridge"
    pattern: str  # what a value may be
    shape: str  # the same in words
    caution: str
    switch: bool = False  # on and off for 1 and 0
    drags: str = "(?!)"  # pattern of the facts that the kernel moves with it
    target: Target = "path"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return re.fullmatch(rf"{self.of}/[^/]+/{self.kind}", key) is not None

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        return "" if re.fullmatch(self.pattern, value) else f"{setting} {value!r} is no {self.shape}"

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes."""
        found = []
        for each in lab.devices(target):
            key = f"{self.of}/{each.device}/{self.kind}"
            facts = now[each.host.name].facts
            if key in facts:
                if self.kind == "primary_reselect":
                    _stays(each.device, facts, value)
                found.append(Change(each.host.name, key, self._plain(value)))
        if not found:
            raise NotSettable(f"not settable here: on the target {target!r} is no {self.of} with {setting}")
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(
            Command(("ip", "link", "set", "dev", change.key.split("/")[1], "type", self.of, self.kind, change.wanted))
            for change in changes
        )

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        return f"ip link set dev DEVICE type {self.of} {setting} {self._plain(value)}"

    def _plain(self, value: str) -> str:
        return {"on": "1", "off": "0"}.get(value, value) if self.switch else value


def _stays(bond: str, facts: Mapping[str, str], value: str) -> None:
    """No policy by which a primary leg takes over at once. Raises NotSettable."""
    primary, now = facts.get(f"bond/{bond}/primary"), facts[f"bond/{bond}/primary_reselect"]
    if primary and value != "failure" and now not in {"always", value}:
        raise NotSettable(
            f"not settable here: with {value} in place of {now} {bond} would take its primary leg {primary} at once, "
            "and taking the policy back does not bring the other leg back"
        )


# What is here is read as a fact: state.LINK_OPTIONS.
_HASHES = ("layer2", "layer2+3", "layer3+4", "encap2+3", "encap3+4", "vlan+srcmac")
_SWITCH, _SWITCH_SHAPE = "on|off|0|1", "switch (on or off)"
_TIME, _TIME_SHAPE = "[0-9]{1,7}", "number of milliseconds"
# The bridge is a member of the all-snoopers groups while it snoops (net/bridge/br_multicast.c, br_multicast_toggle).
_SNOOPERS = r"fdb/[^/]+/(01:00:5e|33:33:00):00:00:6a .*"
# With layer3+4 a bond of 802.3ad or balance-xor says that it does TLS in hardware (bond_sk_check, bond_set_tls_features
# in drivers/net/bonding); seen on Debian's kernel with legs that are veth.
_TLS = "feature/[^/]+/tls-hw-[tr]x-offload"
OPTIONS = (
    LinkOption("xmit_hash_policy", "bond", "|".join(map(re.escape, _HASHES)), f"word of {', '.join(_HASHES)}",
               "flows move to other legs at once; layer3+4 may reorder fragments; the switch hashes its own way",
               drags=_TLS),
    LinkOption("miimon", "bond", _TIME, _TIME_SHAPE, "0 watches no link: a dead leg goes on swallowing packets"),
    LinkOption("updelay", "bond", _TIME, _TIME_SHAPE, "a leg that comes back waits that long; a multiple of miimon"),
    LinkOption("downdelay", "bond", _TIME, _TIME_SHAPE, "a dead leg is used that much longer; a multiple of miimon"),
    LinkOption("packets_per_slave", "bond", "[0-9]{1,5}", "number of packets", "balance-rr only; reorders packets"),
    LinkOption("primary_reselect", "bond", "always|better|failure", "word of always, better, failure",
               "decides whether a primary leg that comes back takes over, which costs packets once more"),
    LinkOption("mcast_snooping", "bridge", _SWITCH, _SWITCH_SHAPE, "off floods multicast to every guest", switch=True,
               drags=_SNOOPERS),
    LinkOption("mcast_querier", "bridge", _SWITCH, _SWITCH_SHAPE,
               "the bridge asks for multicast members; a second querier on the segment may take over", switch=True),
    LinkOption("mcast_hash_max", "bridge", "[1-9][0-9]{0,6}", "number of groups", "more memory for each bridge"),
    LinkOption("ageing_time", "bridge", "[0-9]{1,8}", "number of centiseconds", "0 floods everything to every port"),
    LinkOption("forward_delay", "bridge", "[0-9]{1,4}", "number of centiseconds",
               "with a delay a new port, as of a guest that starts, is dead for that long"),
    LinkOption("vlan_stats_enabled", "bridge", _SWITCH, _SWITCH_SHAPE, "a counter more for each packet", switch=True),
)  # fmt: skip
