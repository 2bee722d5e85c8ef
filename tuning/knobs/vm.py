"""What belongs to a guest's virtual NIC outside of the guest: queues, ring, largest MTU, model, rate, firewall.

Most of it is taken at a guest's start alone, so that setting it starts it anew; rate and firewall while it runs. Their
facts are `vm/…` of the guest (bench.labs.guests.facts, bench.pve.vnic.facts), and their writer is the lab: it has its
guests' QEMU, or the API that does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.facts import vm_nics
from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.labs.guests import ANEW, LIVE, QUEUES_MOST, RINGS, STARTED_WITH
from bench.labs.lab import Lab, Target
from bench.labs.restarting import Wanted
from bench.labs.topology import MTU_RANGE
from bench.pve import vnic
from tuning.knobs.knob import Change, Knob, NotSettable, OneWord

_KEY = "vm/"
_VIRTIO = frozenset({"vm-queues", "vm-rx-queue-size", "vm-host-mtu"})


@dataclass(frozen=True, slots=True)
class VirtualNic(OneWord):
    """`vm-queues: 4`: so many, between `least` and `most`, or one of `words_of`; for every guest on the target."""

    kind: str
    least: int
    most: int
    drags: str  # pattern of the facts that are others with it, in the guest and at its tap
    by_hand: str  # the line of an operator of Proxmox VE, with {value}
    caution: str
    power_of_two: bool = False
    words_of: Mapping[str, str] = field(default_factory=dict)  # in place of a number: a plan's word -> the fact's
    target: Target = "guest"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        if key == _KEY + self.kind:
            return True
        match = vm_nics.KEY.fullmatch(key)
        return match is not None and match[3] == vnic.WORDS.get(self.kind)

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        if self.words_of:
            return "" if value in self.words_of else f"{setting} {value!r} is none of {', '.join(self.words_of)}"
        number = int(value) if re.fullmatch(r"0|[1-9][0-9]{0,5}", value) else -1
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
            standing = [each for each in facts if each.startswith(vm_nics.PREFIX) and self.owns(each)]
            if standing:  # a node that stands, on which somebody named a VM; of its NICs those that can have it
                found += [Change(host.name, each, self.words_of.get(value, value)) for each in standing
                          if self.kind not in _VIRTIO or _model(facts, each) == "virtio"]  # fmt: skip
                continue
            if facts.get(_KEY + "vm-model", "virtio") != "virtio" and self.kind in _VIRTIO:
                raise NotSettable(
                    f"not settable here: the NIC of {host.name} is a {facts[_KEY + 'vm-model']}, which takes no "
                    f"{setting}: virtio alone does"
                )
            if _KEY + "nic" in facts and key not in facts and self.kind in STARTED_WITH:
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
            found.append(Change(host.name, key, self.words_of.get(value, value)))
        if not found:
            providers = "proxmox" if self.kind not in STARTED_WITH else "qemu" if self.kind == "vm-rx-queue-size" else (
                "qemu}, or {provider: proxmox")  # fmt: skip
            raise NotSettable(
                f"not settable here: on the target {target!r} is no guest that nettune starts, whose {setting} could "
                f"be chosen. lab: {{provider: {providers}}}"
            )
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes. No Command on a guest of ours does it: `wanted_of` is what its lab is told."""
        standing = [each for each in changes if vm_nics.KEY.fullmatch(each.key)]
        return tuple(vm_nics.set_(each.key, {each.key.rpartition("/")[2]: each.wanted}) for each in standing)

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds. What does not stand in a VM's configuration means something too."""
        name = vnic.WORDS.get(self.kind, "")
        return actual is not None and vnic.meaning(name, wanted) == vnic.meaning(name, actual)

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        del setting
        return self.by_hand.format(value=self.words_of.get(value, value))


def _model(facts: Mapping[str, str], key: str) -> str:
    """Of the virtual NIC that a fact is of."""
    return facts.get(f"{key.rpartition('/')[0]}/model", "")


def wanted_of(changes: Sequence[Change]) -> Wanted:
    """By guest: what of these changes the lab is told, in place of Commands."""
    found: dict[str, dict[str, str]] = {}
    for change in changes:
        if change.key.removeprefix(_KEY) in {*ANEW, *LIVE}:
            found.setdefault(change.host, {})[change.key] = change.wanted
    return found


_ANEW = "it takes a full stop and start of the VM (a reboot inside is not enough)"
# As for `channels`, and what the driver says it takes; the tap has as many queues as the NIC.
_QUEUES = (
    r"(channel/[^/]+/combined(-most)?|queue/[^/]+/[rt]x-[0-9]+/.*|qdisc/[^/]+/.*|link/[^/]+/(qdisc|num_[rt]x_queues)"
    r"|irq/[^/]+/.+)"
)
_NIC = (
    r"((feature|ring|channel|coalesce|queue|qdisc|irq|napi)/[^/]+/.*"
    r"|link/[^/]+/(mtu|txqlen|qdisc|num_[rt]x_queues|g[sr]o_.*|tso_.*)|sysctl/net\.ipv6\.conf\.[^.]+\.mtu)"
)
_SET = "qm set VMID --netN virtio=MAC,bridge=BRIDGE,{}={{value}}"
_SWITCH = {"on": "1", "off": "0", "1": "1", "0": "0"}
VIRTUAL: dict[str, Knob] = {
    each.kind: each
    for each in (
        VirtualNic("vm-queues", 1, QUEUES_MOST, _QUEUES,
                   _SET.format("queues"),
                    f"{_ANEW}; more queues than vCPUs are of no use, and each costs a vhost thread"),
        VirtualNic("vm-rx-queue-size", *RINGS, r"ring/[^/]+/rx(-most)?",
                    "-device virtio-net-pci,…,rx_queue_size={value}   # of QEMU",
                    f"{_ANEW}; Proxmox VE itself starts every virtio NIC with 1024 (machine 7.1 and later)",
                    power_of_two=True),
        VirtualNic("vm-host-mtu", *MTU_RANGE, r"(link/[^/]+/mtu|sysctl/net\.ipv6\.conf\.[^.]+\.mtu)",
                   _SET.format("mtu"),
                   f"{_ANEW}; the bridge and every device of its segment must take the size"),
        VirtualNic("vm-model", 0, 0, _NIC, "qm set VMID --netN {value}=MAC,bridge=BRIDGE",
                   f"{_ANEW}; its NIC is another, and may have another name: addresses by name are lost",
                   words_of={each: each for each in vnic.MODELS}),
        VirtualNic("vm-rate", 0, 10240, r"(qdisc/[^/]+/.*|link/[^/]+/qdisc)", _SET.format("rate"),
                   "in MB/s, 0 for none: a measurement finds the limit, not the path"),
        VirtualNic("vm-firewall", 0, 0, r"(link/[^/]+/(master|promiscuity|flags|qdisc)|qdisc/[^/]+/.*|fdb/.*"
                   r"|sysctl/net\.(bridge|ipv[46]\.(conf|neigh)\.(tap|fw)[^.]+)\..*)", _SET.format("firewall"),
                   "off takes the guest's firewall away; on adds a bridge and two devices to its path",
                   words_of=_SWITCH),
    )
}  # fmt: skip
