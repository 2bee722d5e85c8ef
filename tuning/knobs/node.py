"""What a lab's node does to packets that it forwards: filter rules, address translation. Only on nodes that a lab made.

On a host that stands by itself the firewall has an owner (pve-firewall, the admin): no knob touches it there.
"""

import re
from collections.abc import Mapping, Sequence

from bench.facts.sheet import Difference, Sheets
from bench.hosts.command import Command
from bench.labs import rulesets
from bench.labs.lab import Lab, Target
from tuning.knobs.knob import Change, NotSettable


class FirewallRules:
    """`firewall_rules: 5000`: so many nft rules that match nothing, in the forward chain of a `firewall` topology."""

    kind = "firewall_rules"
    target: Target = "node"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return re.fullmatch(r"firewall/[a-z]+/rules", key) is not None

    def words(self) -> Sequence[str]:
        """See Knob.words."""
        return (self.kind,)

    def takes(self, setting: str) -> bool:
        """See Knob.takes."""
        return setting == self.kind

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        if not re.fullmatch(r"[0-9]{1,6}", value) or int(value) > rulesets.RULES_MOST:
            return f"{setting} {value!r} is no number of rules from 0 to {rulesets.RULES_MOST}"
        return ""

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes."""
        del setting
        found = []
        for host in lab.hosts_of(target):
            for key, rules in now[host.name].facts.items():
                if not self.owns(key):
                    continue
                if rules == "foreign":
                    raise NotSettable(f"not settable here: rules that are not ours stand in {key} of {host.name}")
                found.append(Change(host.name, key, str(int(value))))
        if not found:
            raise NotSettable("not settable here: only the node of a `firewall` topology has a chain for rules")
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(
            Command(("nft", "-f", "-"), stdin=text)
            for change in changes
            for text in rulesets.refilled(change.key.split("/")[1], int(change.wanted))
        )

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds."""
        return wanted == actual

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains."""
        del setting
        return self.owns(difference.key) or difference.key.startswith("nft/")

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        del setting
        return f"nft -f FILE   # {value} rules in the forward chain"

    def risk(self, setting: str) -> str:
        """See Knob.risk."""
        del setting
        return "a measure of what rules cost, no setting to keep"


class Nat:
    """`nat: masquerade`: whatever the node forwards leaves under its own address; `nat: off`."""

    kind = "nat"
    target: Target = "node"
    _states: Mapping[str, str] = {"masquerade": "on", "off": "off"}

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return key == "nat/masquerade"

    def words(self) -> Sequence[str]:
        """See Knob.words."""
        return (self.kind,)

    def takes(self, setting: str) -> bool:
        """See Knob.takes."""
        return setting == self.kind

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        return "" if value in self._states else f"{setting} takes masquerade or off, not {value!r}"

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. Without conntrack(8) one arm's connections would be handed on to the next."""
        del setting
        if not lab.topology.routes:
            raise NotSettable("not settable here: only a node that routes can translate addresses")
        hosts = [host for host in lab.hosts_of(target) if self.kind + "/masquerade" in now[host.name].facts]
        for host in hosts:
            if not host.run(Command(("conntrack", "--version"))).ok:
                raise NotSettable(
                    f"not settable here: {host.name} has no conntrack, which forgets connections between arms. "
                    "Debian: apt-get install --no-install-recommends conntrack"
                )
        if not hosts:
            raise NotSettable(f"not settable here: this topology has no node on the target {target!r}")
        return tuple(Change(host.name, "nat/masquerade", self._states[value]) for host in hosts[:1])

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(
            Command(("nft", "-f", "-"), stdin=rulesets.masquerading(change.wanted == "on")) for change in changes
        )

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds."""
        return wanted == actual

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains. The first NAT rule of a namespace switches connection tracking on for it."""
        del setting
        return self.owns(difference.key) or bool(re.match(r"nft/|sysctl/net\.netfilter\.nf_conntrack", difference.key))

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        del setting
        return f"nft -f FILE   # {value} in postrouting"

    def risk(self, setting: str) -> str:
        """See Knob.risk."""
        del setting
        return "peers see the node's address in place of the sender's; connections that run are cut"
