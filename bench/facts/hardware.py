"""What decides whether advice is for a host: its release, what is below it, its NICs' drivers and speeds. Read only.

Facts beside those of bench.facts.state:

    host/release             "6.8.12-4-pve"
    host/virtual             "kvm", "none"; absent where nothing tells
    host/pve                 "yes", "no"
    host/mounts              "yes" where NFS, SMB or CephFS is mounted
    device/eth0/driver       "virtio_net"; absent for a device that is no hardware
    device/eth0/speed        "10000", in Mbit/s; absent where the driver does not know it
"""

import re
from collections.abc import Mapping, Sequence

from bench.facts import state
from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host

OF_NIC = ("driver", "firmware", "speed")
# What these tell for a speed is a figure of the hypervisor's, or a constant; they pass what its CPUs can.
NO_SPEED = ("virtio_net", "vmxnet3", "hv_netvsc", "xen_netfront", "vif", "veth", "tun")
_DEVICES = "/sys/class/net"
# A line a device: name, driver, speed, "-" for what it does not tell. Constant text, no parameter.
NICS = Command(("sh", "-c", """\
for each in /sys/class/net/*; do
  [ -e "$each/device" ] || continue
  driver=$(basename "$(readlink "$each/device/driver" 2>/dev/null)" 2>/dev/null)
  speed=$(cat "$each/speed" 2>/dev/null)
  printf '%s %s %s\\n' "${each##*/}" "${driver:--}" "${speed:--}"
done"""))  # fmt: skip
QUESTIONS: Mapping[str, Command] = {
    "release": Command(("uname", "-r")),
    "virtual": Command(("systemd-detect-virt", "--vm")),
    "cpu": Command(("grep", "-m1", "^flags", "/proc/cpuinfo")),
    "pve": Command(("test", "-x", "/usr/bin/pveversion")),
    "mounts": Command(("grep", "-cE", " (nfs4?|cifs|ceph) ", "/proc/mounts")),
    "nics": NICS,
}


def read(host: Host, devices: Sequence[str] = ()) -> tuple[dict[str, str], tuple[str, ...]]:
    """Everything that a host tells, its changeable state included, and the devices in question.

    These are `devices`, or the NICs that are hardware (or a hypervisor's), or all but the loopback where none is.
    Raises HostFault where a tool is missing, NotAble where an answer cannot be read.
    """
    facts = parse(dict(zip(QUESTIONS, host.run_all(tuple(QUESTIONS.values())), strict=True)))
    nics = tuple(dict.fromkeys(key.split("/")[1] for key in facts if key.startswith("device/")))
    wanted = tuple(devices) or nics or _all_but_loopback(host)
    return facts | state.parse(host.run_all(state.questions(wanted, machine=True, clocked=True))), wanted


def is_device(name: str) -> Command:
    """The question whether a host has that network device; it fails where it has not."""
    return Command(("test", "-e", f"{_DEVICES}/{name}"))


def parse(told: Mapping[str, Outcome]) -> dict[str, str]:
    """The facts above from the Outcomes of QUESTIONS."""
    facts = {}
    if release := told["release"].stdout.strip():
        facts["host/release"] = release
    if below := _below(told["virtual"].stdout.strip(), told["cpu"].stdout):
        facts["host/virtual"] = below
    facts["host/pve"] = "yes" if told["pve"].ok else "no"
    if re.fullmatch(r"[1-9][0-9]*", told["mounts"].stdout.strip()):
        facts["host/mounts"] = "yes"
    return facts | _nics(told["nics"].stdout)


def of_run(host: Host, devices: Sequence[str]) -> dict[str, str]:
    """What a run keeps of a machine that stands, by name: "kernel of a", "virtualisation of a", "driver of eno1 on a".

    Of each NIC among `devices` driver, firmware and speed (Mbit/s), as far as they tell.
    """
    versions = [Command(("ethtool", "-i", each)) for each in devices]
    asked = (*(QUESTIONS[name] for name in ("release", "virtual", "cpu", "nics")), *versions)
    release, virtual, cpu, nics, *told = host.run_all(asked)
    found = {"kernel": release.stdout.strip(), "virtualisation": _below(virtual.stdout.strip(), cpu.stdout)}
    kept = {f"{word} of {host.name}": value for word, value in found.items() if value}
    facts = _nics(nics.stdout)
    for device, answer in zip(devices, told, strict=True):
        firmware = re.search(r"^firmware-version:[ \t]*(\S.*)$", answer.stdout, re.MULTILINE)
        if firmware and firmware[1].strip() != "N/A" and f"device/{device}/driver" in facts:
            facts[f"device/{device}/firmware"] = firmware[1].strip()
        for word in OF_NIC:
            if value := facts.get(f"device/{device}/{word}"):
                kept[f"{word} of {device} on {host.name}"] = value
    return kept


def drivers(host: Host, devices: Sequence[str]) -> tuple[str, ...]:
    """The drivers of those among `devices` that are hardware, or a hypervisor's."""
    facts = _nics(host.run(NICS).stdout)
    return tuple(facts[key] for each in devices if (key := f"device/{each}/driver") in facts)


def kept_of_nics(machine: Mapping[str, str], word: str) -> dict[tuple[str, str], str]:
    """(host, device) -> driver, firmware or speed, of the facts that a run keeps: see of_run."""
    found = {}
    for key, value in machine.items():
        if named := re.fullmatch(rf"{word} of (\S+) on (\S+)", key):
            found[named[2], named[1]] = value
    return found


def _nics(text: str) -> dict[str, str]:
    facts: dict[str, str] = {}
    for line in text.splitlines():
        device, driver, speed, *_ = [*line.split(), "-", "-", "-"]
        facts |= {f"device/{device}/driver": driver} if driver != "-" else {}
        # A link that is down, or a virtio NIC that was told none, reads -1 or 4294967295 (SPEED_UNKNOWN).
        facts |= {f"device/{device}/speed": speed} if re.fullmatch(r"[1-9][0-9]{0,6}", speed) else {}
    return facts


def is_virtual(host: Host) -> bool:
    """True for a virtual machine; what tells nothing is none."""
    told, cpu = host.run_all((QUESTIONS["virtual"], QUESTIONS["cpu"]))
    return _below(told.stdout.strip(), cpu.stdout) not in {"", "none"}


def _below(told: str, flags: str) -> str:
    """What a host runs on: systemd's word for it, "none" on bare metal; "" where nothing tells."""
    if told:  # it prints "none" and exits with 1 on bare metal
        return told
    if flags.startswith("flags"):  # x86 alone has them; the bit is the hypervisor's own word (CPUID 1, ECX 31)
        return "a hypervisor" if "hypervisor" in flags.split() else "none"
    return ""


def _all_but_loopback(host: Host) -> tuple[str, ...]:
    return tuple(each for each in host.run(Command(("ls", _DEVICES))).require().stdout.split() if each != "lo")
