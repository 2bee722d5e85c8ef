"""netN of a VM's configuration: parsed, changed in some words, printed; all others stand as they stood. Pure.

Source: qm.conf(5), and qemu-server (PVE/QemuServer/Network.pm, vmconfig_update_net) for what a change does to a VM that
runs. Setting netN replaces all of it: without its MAC a VM gets another, without its trunks it loses its VLANs.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from results.errors import NotAble

MODELS = ("virtio", "e1000", "e1000e", "vmxnet3", "rtl8139", "e1000-82540em", "e1000-82544gc", "e1000-82545em",
          "i82551", "i82557b", "i82559er", "ne2k_isa", "ne2k_pci", "pcnet")  # fmt: skip
UNSET = "unset"  # an option that does not stand there
# Words of a plan, and the option of netN behind each.
WORDS: Mapping[str, str] = {
    "vm-queues": "queues", "vm-host-mtu": "mtu", "vm-model": "model", "vm-rate": "rate", "vm-firewall": "firewall",
}  # fmt: skip
_DEFAULTS = {"queues": "1", "rate": "0", "firewall": "0"}  # what an option that is unset means; mtu: by the version
_UNPLUG = frozenset({"model", "macaddr", "queues", "mtu", "host-tunnel"})
_VIRTIO_ONLY = ("queues", "mtu", "host-tunnel")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


class NotAVnic(NotAble):
    """A text that is no netN; the message says why."""


@dataclass(frozen=True, slots=True)
class Vnic:
    """`words`: (key, value) as they stand, in their order; value None where there is no "="."""

    words: tuple[tuple[str, str | None], ...]

    def __str__(self) -> str:
        return ",".join(key if value is None else f"{key}={value}" for key, value in self.words)

    @property
    def options(self) -> Mapping[str, str]:
        """By the names of qm.conf(5), however it is spelt: virtio=MAC is model and macaddr. The order is of no account.

        A MAC is in small letters.
        """
        found: dict[str, str] = {}
        for key, value in self.words:
            if key in MODELS:
                found["model"] = key
                if value is not None:
                    found["macaddr"] = value.lower()
            elif value is None:
                found["model"] = key
            else:
                found[key] = value.lower() if key == "macaddr" else value
        return found

    def option(self, name: str) -> str:
        """Its value; UNSET where it does not stand there."""
        return self.options.get(name, UNSET)

    def changed(self, wanted: Mapping[str, str]) -> "Vnic":
        """With these options, by the names of qm.conf(5); UNSET takes one away. New ones stand at the end."""
        words = list(self.words)
        for name, value in wanted.items():
            place = next((at for at, each in enumerate(words) if _names(each) == name), None)
            if name == "model":
                at = 0 if place is None else place
                words[at] = (words[at][0], value) if words[at][0] == "model" else (value, words[at][1])
            elif place is not None:
                words[place : place + 1] = [] if value == UNSET else [(name, value)]
            elif value != UNSET:
                words.append((name, value))
        return Vnic(tuple(words))


def parse(text: str) -> Vnic:
    """A netN. Raises NotAVnic."""
    words = tuple(
        (key, value if equals else None) for key, equals, value in (word.partition("=") for word in text.split(","))
    )
    names = [_names(each) for each in words]
    for key, value in words:
        if not key or value == "" or (value is None and key not in MODELS):
            raise NotAVnic(f"{text!r}: {key or 'an empty word'} has no value")
    if twice := [each for each in names if names.count(each) > 1]:
        raise NotAVnic(f"{text!r}: {twice[0]} stands twice")
    found = Vnic(words)
    if found.options.get("model") not in MODELS:
        raise NotAVnic(f"{text!r} names no model of a NIC")
    if (mac := found.options.get("macaddr")) and not _MAC.fullmatch(mac):
        raise NotAVnic(f"{text!r}: {mac!r} is no MAC")
    return found


def problem(of: Vnic, asked: Collection[str]) -> str:
    """Why Proxmox VE would ignore an option that is asked for (it warns in a task's log); "" where it does not."""
    given = of.options
    for each in _VIRTIO_ONLY:
        if (
            each in asked
            and given["model"] != "virtio"
            and meaning(each, given.get(each, UNSET)) not in {UNSET, "1", "0"}
        ):
            return f"a {given['model']} takes no {each}: virtio alone does"
    return ""


def meaning(name: str, value: str) -> str:
    """An option's value, or what its absence means."""
    return _DEFAULTS.get(name, UNSET) if value == UNSET else value


def differing(before: Vnic, after: Vnic) -> frozenset[str]:
    """The options that are others, in what they mean."""
    old, new = before.options, after.options
    return frozenset(
        each for each in old.keys() | new.keys()
        if meaning(each, old.get(each, UNSET)) != meaning(each, new.get(each, UNSET))
    )  # fmt: skip


def unplugs(before: Vnic, after: Vnic) -> frozenset[str]:
    """The options for which a VM that runs loses its NIC and gets another: they wait for a start where it must not.

    A bridge that comes or goes is one: without it the NIC is QEMU's own user network.
    """
    other = differing(before, after)
    between = {"bridge"} if ("bridge" in before.options) != ("bridge" in after.options) else set()
    return (other & _UNPLUG) | between


def facts(of: Vnic) -> dict[str, str]:
    """Of the options that have a word, by that word."""
    return {word: of.option(name) for word, name in WORDS.items()}


def _names(word: tuple[str, str | None]) -> str:
    """The option that a word is."""
    key, value = word
    return "model" if key in MODELS or value is None else key
