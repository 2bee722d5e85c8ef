"""Level 1: what the NIC says of itself. Read only; what a driver does not tell is left out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.facts import state
from bench.facts.hardware import is_device, is_virtual
from bench.facts.sheet import FactSheet
from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host
from results.errors import NotAble, WrongInput
from tuning.knobs.feature import CUTS_TRAFFIC
from tuning.offload import bitmaps
from tuning.offload.bitmaps import Bits

_FILES = ("carrier", "carrier_changes", "mtu", "device/vendor", "device/device", "device/subsystem_vendor",
          "device/subsystem_device", "device/current_link_speed", "device/current_link_width", "device/max_link_speed",
          "device/max_link_width", "device/numa_node")  # fmt: skip
# A line a file, "name value"; those that are not there, or refuse, are left out.
_SYSFS = """\
device=$1; shift
for each; do
  value=$(cat "/sys/class/net/$device/$each" 2>/dev/null) && printf '%s %s\\n' "$each" "$value"
done
:"""
_LANE_GBPS = {"2.5": 2.0, "5.0": 4.0, "8.0": 7.877, "16.0": 15.754, "32.0": 31.508, "64.0": 60.5}  # GT/s, less coding


@dataclass(frozen=True, slots=True)
class Nic:
    """One device as it was found: what identifies it, its numbers, and its features by the kernel's strings.

    `features` values are those of bench.facts.state: "on", "off [fixed]", "off [requested on]".
    """

    host: str
    device: str
    identity: Mapping[str, str]
    features: Mapping[str, str]
    bits: Bits = field(default_factory=dict)  # the kernel's own bitmaps; {} where it does not tell them
    unread: str = ""  # why it does not

    @property
    def driver(self) -> str:
        """Its driver's name."""
        return self.identity.get("driver", "")

    @property
    def pci_id(self) -> str:
        """`8086:15f3`, "" for what is no PCI device."""
        vendor, device = (self.identity.get(each, "") for each in ("vendor", "device"))
        return f"{vendor.removeprefix('0x')}:{device.removeprefix('0x')}" if vendor and device else ""

    @property
    def free(self) -> tuple[str, ...]:
        """Features that the driver lets be changed and that may be touched."""
        changed = [name for name, value in self.features.items() if "[fixed]" not in value]
        return tuple(name for name in changed if name not in CUTS_TRAFFIC)

    def queues(self, direction: str) -> int:
        """How many queues it uses that way ("tx", "rx"), by its channels and RSS table; 1 where it does not tell."""
        found = (self.identity.get(f"channels {name}", "0") for name in (direction, "combined"))
        many = max(1, sum(int(word) for word in found if word.isdecimal()))
        table = re.search(r"over (\d+) queues", self.identity.get("RSS", "")) if direction == "rx" else None
        return min(many, int(table[1])) if table else many

    def turned(self, feature: str) -> str:
        """The other position of a feature: "on" or "off"."""
        return "on" if self.features.get(feature, "").startswith("off") else "off"


def questions(device: str) -> tuple[Command, ...]:
    """What is asked; the same of any host."""
    return (
        Command(("ethtool", "-i", device)),
        Command(("ethtool", device)),
        Command(("ethtool", "-l", device)),
        Command(("ethtool", "-g", device)),
        Command(("ethtool", "-x", device)),
        Command(("ip", "-d", "link", "show", "dev", device)),
        Command(("sh", "-c", _SYSFS, "sysfs", device, *_FILES)),
        Command(("uname", "-r")),
        state.features(device),
    )


def asked(host: Host, device: str) -> Nic:
    """The NIC as it is now. Raises WrongInput where there is none, NotAble where it is down or has no carrier."""
    if not host.run(is_device(device)).ok:
        there = host.run(Command(("ls", "/sys/class/net"))).stdout.split()
        raise WrongInput(f"on {host.name}: there is no device {device!r}", hint=f"there are {', '.join(sorted(there))}")
    nic = parse(host.name, device, host.run_all(questions(device)))
    if nic.identity.get("carrier") != "1":
        why = "has no carrier" if nic.identity.get("carrier") == "0" else "is down"
        raise NotAble(
            f"on {host.name}: {device} {why}", hint=f"is the cable in? ip link set {device} up; ip link show {device}"
        )
    machine = {"machine": "virtual"} if nic.pci_id and is_virtual(host) else {}
    bits, unread = bitmaps.asked(host, device)
    return replace(nic, bits=bits, unread=unread, identity={**nic.identity, **machine})


def parse(host: str, device: str, told: Sequence[Outcome]) -> Nic:
    """The answers to `questions`."""
    driver, link, channels, rings, rss, ip, files, kernel, features = told
    facts = parse_driver(driver.stdout) | parse_link(link.stdout) | parse_files(files.stdout)
    facts |= {f"channels {key}": value for key, value in _numbers("channel", device, channels).items()}
    facts |= {f"ring {key}": value for key, value in _numbers("ring", device, rings).items()}
    facts |= parse_rss(rss.stdout)
    facts |= {"kernel": kernel.stdout.strip()} if kernel.stdout.strip() else {}
    if found := re.search(r"\bprog/xdp\w* id (\d+)", ip.stdout):  # a line below that of the flag
        facts["XDP"] = f"program {found[1]}"
    elif re.search(r"\bxdp(?:generic|offload|multi)? ", ip.stdout):
        facts["XDP"] = "a program"
    values = state.parse_features(features)
    return Nic(host, device, facts, {key.split("/", 2)[2]: value for key, value in values.items()})


def parse_driver(text: str) -> dict[str, str]:
    """`ethtool -i`."""
    told = dict(re.findall(r"^([\w-]+): *(\S.*?) *$", text, re.MULTILINE))
    names = {"driver": "driver", "version": "driver version", "firmware-version": "firmware", "bus-info": "bus"}
    return {ours: told[theirs] for theirs, ours in names.items() if told.get(theirs, "N/A") not in {"N/A", ""}}


def parse_link(text: str) -> dict[str, str]:
    """`ethtool DEV`: speed, duplex, negotiation."""
    told = dict(re.findall(r"^\s*([\w -]+): *(\S.*?) *$", text, re.MULTILINE))
    names = {"Speed": "speed", "Duplex": "duplex", "Auto-negotiation": "auto-negotiation", "Port": "port"}
    return {ours: told[theirs] for theirs, ours in names.items() if theirs in told and "Unknown" not in told[theirs]}


def parse_rss(text: str) -> dict[str, str]:
    """`ethtool -x`: over how many queues hashes are spread, and how."""
    table = [int(word) for row in re.findall(r"^\s*\d+:((?:\s+\d+)+)\s*$", text, re.MULTILINE) for word in row.split()]
    hashes = re.findall(r"^\s+(\w+): on$", text, re.MULTILINE)
    facts = {"RSS": f"{len(table)} entries over {len(set(table))} queues"} if table else {}
    return facts | ({"RSS hash": ", ".join(hashes)} if hashes else {})


def parse_files(text: str) -> dict[str, str]:
    """The device's files in sysfs, by their last word; a PCIe link narrower or slower than both ends could is told."""
    facts: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        facts[name.removeprefix("device/")] = value.strip()
    speed, width = facts.pop("current_link_speed", ""), facts.pop("current_link_width", "")
    most_speed, most_width = facts.pop("max_link_speed", ""), facts.pop("max_link_width", "")
    if speed and width and width != "0":
        lane = _LANE_GBPS.get(speed.split()[0], 0.0)
        facts["PCIe"] = f"{speed} x{width}" + (f", {lane * int(width):.0f} Gbit/s each way" if lane else "")
        if (most_speed, most_width) != (speed, width) and most_speed:
            facts["PCIe at most"] = f"{most_speed} x{most_width}"
    return facts


def _numbers(kind: str, device: str, outcome: Outcome) -> dict[str, str]:
    found = state.parse_numbers(kind, device, outcome.stdout)
    return {key.split("/", 2)[2]: value for key, value in found.items()}


def forwards(sheet: FactSheet, device: str) -> bool:
    """Whether packets that a device receives go on to others: it routes, or is a bridge's port."""
    master = sheet.facts.get(f"link/{device}/master", "")
    bridged = sheet.facts.get(f"link/{master}/kind", "") in {"bridge", "openvswitch"}
    routed = [sheet.facts.get(f"sysctl/net.ipv{ip}.conf.{device}.forwarding") == "1" for ip in (4, 6)]
    return bridged or any(routed)


def carrier(host: Host, device: str) -> tuple[bool, int]:
    """Whether it has carrier, and how often that has changed."""
    told = host.run(Command(("sh", "-c", _SYSFS, "sysfs", device, "carrier", "carrier_changes"))).stdout
    facts = parse_files(told)
    return facts.get("carrier") == "1", int(facts.get("carrier_changes", "0"))


def notes(nic: Nic) -> tuple[str, ...]:
    """What cannot be concluded from a device that is no hardware."""
    if nic.driver in {"veth", "tun", "virtio_net", "vmxnet3"}:
        said = (
            f"{nic.driver} is no hardware: what it segments, merges or sums, a CPU does, and nothing here about speed, "
            "DMA, queues or firmware is true of a NIC."
        )
        return (said,)
    if nic.identity.get("machine") == "virtual":
        said = (
            f"{nic.host} is a virtual machine: unless its NIC is passed through, a program acts as one, and "
            "its faults are that program's."
        )
        return (said,)
    return ()
