"""Which features are toggled, in which order, and on which ground. Pure.

Grounds: `found` is the pair as it stands. On `plain` the other end cuts up its segments and datagrams itself, so that
what it sends are packets as on a wire, also where no wire is (veth, virtio), and the NIC's hardware merges nothing; on
`unmerged` the other end computes its checksums, too, and the kernel merges nothing at the NIC. On `handed` the
other end sends as it does, and the kernel merges nothing at the NIC: what comes large, the NIC merged, or took as it
was sent where no wire is between; with either off it comes cut up. On `vlans` both are without LRO: a VLAN device takes
it from the NIC below, and leaves it off (netdev_sync_lower_features in net/core/dev.c).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.labs.lab import Target
from bench.plan import SettingSpec
from tuning.knobs.feature import KERNEL, members
from tuning.offload import features
from tuning.offload.features import BY_DEVICE, Ground
from tuning.offload.inventory import Nic

# The NIC's own lab (validating) has it at a "guest", the other end at a "node".
NIC: Target = "guest"
OTHER: Target = "node"
_NAMES: Mapping[Ground, str] = {
    "found": "as found", "plain": "plain packets", "unmerged": "plain packets, unmerged", "handed": "unmerged",
    "vlans": "without LRO",
}  # fmt: skip
# What is off on each, at the other end and at the NIC.
_OTHER: Mapping[Ground, Sequence[str]] = {
    # Not "tx" as well: before Linux 6.11 a kernel cuts up no datagrams for a device that sums none (udp_send_skb).
    "plain": ("tso", "tx-udp-segmentation"),
    "unmerged": ("tx", "tso"),
    "handed": (),
    "vlans": ("rx-lro",),
}
_OFF: Mapping[Ground, Sequence[str]] = {
    "plain": BY_DEVICE, "unmerged": ("rx-gro",), "handed": ("rx-gro",), "vlans": ("rx-lro",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a pair must be told for each ground: the other end's words, and the NIC's, that are to be off."""

    other: Mapping[Ground, tuple[str, ...]]
    nic: Mapping[Ground, tuple[str, ...]]

    def differs(self, ground: Ground) -> bool:
        """Whether a ground is another than the pair as found."""
        return ground != "found" and bool(self.other[ground] or self.nic[ground])


@dataclass(frozen=True, slots=True)
class Arm:
    """One state of the pair: a ground, and on it one feature in the other position. `feature` is "" for the ground."""

    ground: Ground
    feature: str = ""
    value: str = ""

    @property
    def name(self) -> str:
        """`tx-tcp-segmentation off`."""
        return f"{self.feature} {self.value}" if self.feature else _NAMES[self.ground]

    def settings(self, grounds: Grounds) -> tuple[SettingSpec, ...]:
        """What is set for it."""
        own = (SettingSpec(self.feature, self.value, NIC),) if self.feature else ()
        if self.ground == "found":
            return own
        below = tuple(SettingSpec(word, "off", NIC) for word in grounds.nic[self.ground])
        return (*(SettingSpec(word, "off", OTHER) for word in grounds.other[self.ground]), *below, *own)


def grounds(nic: Nic, other: Nic) -> Grounds:
    """What can be set of what the grounds ask for, and is not so already."""
    return Grounds(
        {ground: tuple(word for word in words if _can_go(word, other)) for ground, words in _OTHER.items()},
        {ground: tuple(word for word in words if _can_go(word, nic)) for ground, words in _OFF.items()},
    )


def _can_go(word: str, nic: Nic) -> bool:
    """Whether something of it is on, and the driver lets something of it be changed."""
    own = set(members(word) or (word,))
    return any(nic.features.get(each) == "on" for each in own) and bool(own & set(nic.free))


def toggled(nic: Nic, only: Collection[str] = (), *, exercised: bool = False) -> tuple[str, ...]:
    """Features that are toggled, harmless ones first; with `exercised` those alone that payload has to do with."""
    free = [name for name in nic.free if name in KERNEL and (not only or name in only)]
    return tuple(sorted((name for name in free if not exercised or name in features.EXERCISED), key=features.rank))


def arms(nic: Nic, other: Nic, only: Collection[str] = (), *, exercised: bool = False) -> tuple[Arm, ...]:
    """Every arm: the pair as found, then each toggle on the ground on which it can be seen, harmless ones first.

    A ground is as dangerous as the worst of what it sets at either end: it comes right before its first toggle.
    """
    there = grounds(nic, other)
    listed: list[Arm] = []
    for name in toggled(nic, only, exercised=exercised):
        ground = features.ground(name)
        listed.append(Arm(ground if there.differs(ground) else "found", name, nic.turned(name)))
    listed.sort(key=lambda arm: _danger(arm, there))
    found = [Arm("found")]
    for arm in listed:
        found += [Arm(arm.ground)] if Arm(arm.ground) not in found else []
        found.append(arm)
    return tuple(found)


def _danger(arm: Arm, there: Grounds) -> int:
    """The place in the order of danger of the worst that an arm sets."""
    words = [each.setting for each in arm.settings(there)]
    return max((features.rank(each)[0] for word in words for each in members(word) or (word,)), default=0)
