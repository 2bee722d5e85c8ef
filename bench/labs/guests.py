"""What the guests of a `qemu` lab are, and the QEMU command of each: pure.

A guest's first NIC is for control alone: QEMU's own user network with one forwarded port on the loopback of the
namespace that QEMU runs in, so it is on no path that is measured, on no network, and two labs cannot meet there. Every
further NIC is a tap of that namespace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from bench.hosts.command import Command
from bench.hosts.login import Login

Model = Literal["virtio-net", "vmxnet3", "e1000", "e1000e", "rtl8139"]
MODELS: tuple[str, ...] = get_args(Model)
PHYSICAL: tuple[Model, ...] = ("e1000", "e1000e", "rtl8139")  # Debian's cloud kernel has no driver of these
Accelerator = Literal["kvm", "tcg"]
_DEVICES: Mapping[str, str] = {"virtio-net": "virtio-net-pci"}  # a model whose device has another name
QEMU = "qemu-system-x86_64"
VERSION = Command((QEMU, "--version"))
CONTROL = "mgmt0"  # the name of the control NIC inside
CONTROL_ADDRESS = "10.0.2.15/24"  # of QEMU's user network (qemu-options: "the first address the DHCP server gives")
CONTROL_MAC = "52:54:00:6e:74:01"  # of every guest: each is alone on its user network
USUAL_MTU = 9000  # the least that a guest's NIC can be set to: host_mtu caps what the driver takes
QUEUES_MOST = 16
RINGS = (256, 1024)  # receive entries that QEMU takes, a power of two; transmit ones stay 256 (hw/net/virtio-net.c)
# What QEMU's virtio-net offers its driver and can be told not to (virtio_net_properties in hw/net/virtio-net.c).
WITHHELD = ("csum", "guest_csum", "gso", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo", "host_tso4", "host_tso6",
            "host_ecn", "host_ufo", "ctrl_guest_offloads", "ctrl_vlan", "mrg_rxbuf", "event_idx")  # fmt: skip
RING = 256  # receive entries where nothing is said
FOR_EVER_S = 1e9
# Settings of a plan that QEMU takes at its start alone, and the option of ours behind each.
STARTED_WITH: Mapping[str, str] = {"vm-queues": "queues", "vm-rx-queue-size": "ring", "vm-host-mtu": "host_mtu"}
# Of a plan's settings on virtual NICs: those for which guests are started anew, whoever starts them, and those that a
# running guest's NIC takes (of Proxmox VE alone). The backend of a node's firewall plugs a VM in at its start.
BACKEND = "pve-nftables"
ANEW = (*STARTED_WITH, "vm-model", BACKEND)
LIVE = ("vm-rate", "vm-firewall")
# What TCG translated is found again by its virtual address (tb_lookup compares pc), so that every start of a program at
# a random address is translated anew: 45 ms in place of 11 (n = 30 each). What guards a processor that is none, clears
# pages and asks about every file that is opened costs a fifth more: reading a guest's state takes 267 ms, not 213, and
# a boot 6.2 s, not 5.2 (n = 10 and 2). Under KVM a guest is as it comes.
_EMULATED = "norandmaps mitigations=off init_on_alloc=0 apparmor=0 audit=0"


@dataclass(frozen=True, slots=True)
class Guests:
    """One kind for all guests of a lab."""

    cpus: int = 1
    memory_mb: int = 512
    nic: Model = "virtio-net"
    queues: int = 1  # receive and transmit queues of each measured NIC, and of its tap
    ring: int = 0  # entries of the receive ring; 0: QEMU's own default (256)
    host_mtu: int = 0  # the largest MTU that a guest's NIC takes; 0: 9000, or the topology's where that is larger
    nic_off: tuple[str, ...] = ()  # of WITHHELD: what the measured NICs do not offer
    nodes: bool = False  # the nodes between the endpoints are guests too, on Debian's kernel
    node: Login | None = None  # the machine that they stand on, and all between them; None: this one
    settings: tuple[str, ...] = ()  # of ANEW and LIVE: what a plan's treatments change

    @property
    def tap_queues(self) -> int:
        """Queues of QEMU's end of a tap: at least two where the number is to change, as the tap takes one or many."""
        return max(self.queues, 2 if "vm-queues" in self.settings else 1)

    @property
    def words(self) -> str:
        """As reports have it."""
        more = [f"{self.queues} queues"] if self.queues > 1 else []
        more += [f"ring {self.ring}"] if self.ring else []
        more += [f"without {', '.join(self.nic_off)}"] if self.nic_off else []
        return ", ".join([f"{self.cpus} CPU", f"{self.memory_mb} MB", self.nic, *more])


def notes(guests: Guests, accelerator: Accelerator) -> tuple[str, ...]:
    """What a result from such guests says of other machines, and what it cannot."""
    emulated = (
        "Emulated CPU: the guests' instructions were translated by QEMU (TCG), about ten times slower than a processor "
        "runs them, and mitigations were off. Directions and large ratios of the software path transfer; rates, "
        "latencies and the cost of a packet do not."
    )
    between = "The node between them was a guest too. " if guests.nodes else ""
    virtual = (
        f"{between}Guests had {guests.words} each. There is no physical NIC and no DMA on the path: nothing here about "
        "hardware offloads, interrupt moderation or packet rates transfers to one."
    )
    stood = f"All of it stood on {guests.node}: CPU figures are that machine's." if guests.node else ""
    where = "TCP settings act where the sockets are, in the guests; a node that only bridges never uses its own tcp_*."
    return (*((emulated,) if accelerator == "tcg" else ()), virtual, *((stood,) if stood else ()), where)


@dataclass(frozen=True, slots=True)
class Cable:
    """A measured NIC: its name and address inside, and the tap that carries it."""

    name: str
    mac: str
    tap: str


@dataclass(frozen=True, slots=True)
class Machine:
    """One guest about to be started."""

    name: str
    kernel: Path
    initrd: Path
    root: Path
    cmdline: str
    seed: Path
    port: int  # on the loopback of the namespace that it is started in; 0: nobody logs in
    cables: Sequence[Cable]
    mtu: int
    vhost: bool
    drives: Sequence[Path] = ()  # further disks, read-only: /dev/vdc and so on
    monitor: Path | None = None  # the socket of its QMP monitor
    pid_file: Path | None = None  # where QEMU writes its process's number


def command(guests: Guests, machine: Machine, accelerator: Accelerator) -> Command:
    """The Command that is the guest until it is powered off; its console is standard output.

    It dies with its parent (prctl PR_SET_PDEATHSIG), so that a SIGKILL of nettune leaves no guest running.
    """
    argv = ["setpriv", "--pdeathsig", "KILL", QEMU, "-nodefaults", "-no-user-config", "-machine", "q35",
            "-name", f"{machine.name},debug-threads=on", "-smp", str(guests.cpus), "-m", str(guests.memory_mb),
            "-display", "none", "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
            "-no-reboot"]  # fmt: skip
    # `max` under TCG has AES and SSE4.2 for sshd and checksums; q35, not microvm, which hung in 2 of 27 starts.
    argv += ["-accel", "kvm", "-cpu", "host"] if accelerator == "kvm" else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    cmdline = f"{machine.cmdline} {_EMULATED}" if accelerator == "tcg" else machine.cmdline
    argv += ["-kernel", str(machine.kernel), "-initrd", str(machine.initrd), "-append", cmdline]
    for drive in (machine.root, machine.seed, *machine.drives):
        argv += ["-drive", f"file={_escaped(drive)},format=raw,if=virtio,readonly=on"]
    argv += ["-device", "virtio-rng-pci"]
    forward = f",hostfwd=tcp:127.0.0.1:{machine.port}-:22" if machine.port else ""
    argv += ["-netdev", f"user,id=control,restrict=on,ipv6=off{forward}",
             "-device", f"virtio-net-pci,netdev=control,mac={CONTROL_MAC},romfile="]  # fmt: skip
    for number, cable in enumerate(machine.cables):
        argv += _nic(guests, machine, cable, netdev(number))
    argv += ["-qmp", f"unix:{_escaped(machine.monitor)},server=on,wait=off"] if machine.monitor else []
    argv += ["-pidfile", str(machine.pid_file)] if machine.pid_file else []
    return Command(tuple(argv), deadline_s=FOR_EVER_S)


def netdev(number: int) -> str:
    """QEMU's name of what is behind the guest's measured NIC of that number, counted from 0."""
    return f"net{number}"


def _nic(guests: Guests, machine: Machine, cable: Cable, name: str) -> list[str]:
    back = [f"tap,id={name},ifname={cable.tap},script=no,downscript=no"]
    # A tap made with multi_queue refuses an end of one (tun.c: tun_set_iff, EINVAL). A NIC without mq uses the first
    # queue of two, and QEMU detaches the other.
    back += [f"queues={guests.tap_queues}"] if guests.tap_queues > 1 else []
    back += ["vhost=on"] if machine.vhost and guests.nic == "virtio-net" else []
    front = [f"{_DEVICES.get(guests.nic, guests.nic)},netdev={name},mac={cable.mac},romfile="]
    if guests.nic == "virtio-net":
        # One a queue, control, configuration.
        front += ["mq=on", f"vectors={2 * guests.queues + 2}"] if guests.queues > 1 else []
        front += [f"rx_queue_size={guests.ring}"] if guests.ring else []
        front += [f"{word}=off" for word in guests.nic_off]
        # 802.3ad runs on full duplex links alone (bond_3ad.c: ad_update_actor_keys); virtio says "unknown" by itself.
        front += ["speed=10000", "duplex=full"] if guests.nodes else []
        front += [f"host_mtu={_host_mtu(guests, machine.mtu)}"]
    return ["-netdev", ",".join(back), "-device", ",".join(front)]


def _host_mtu(guests: Guests, mtu: int) -> int:
    return max(mtu, guests.host_mtu or USUAL_MTU)


def facts(guests: Guests, mtu: int) -> dict[str, str]:
    """What QEMU was started with, as facts of a guest on a path of that MTU; only virtio-net has what can be chosen."""
    if guests.nic != "virtio-net":
        return {"vm/nic": guests.nic}
    values = (guests.queues, guests.ring or RING, _host_mtu(guests, mtu))
    return {"vm/nic": guests.nic} | {f"vm/{word}": str(value) for word, value in zip(STARTED_WITH, values, strict=True)}


def started_with(guests: Guests, wanted: Mapping[str, str]) -> Guests:
    """The guests with other values of such facts."""
    values = {STARTED_WITH[key.removeprefix("vm/")]: int(value) for key, value in wanted.items()}
    return replace(guests, **values)  # type: ignore[arg-type]  # whole numbers all


def _escaped(path: Path) -> str:
    """A comma in a value is doubled (qemu-options: "to use a comma in a file name")."""
    return str(path).replace(",", ",,")
