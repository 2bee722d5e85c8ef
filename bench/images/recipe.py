"""What a guest image is made of, as data; its digest tells one recipe from the next.

`LAB` is the image that a lab's guests boot from, `NICS` the same on a kernel with drivers of physical NICs; that of
Proxmox's guests is in `disk_recipe`.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from importlib.resources import files

PACKAGES = (
    "busybox-static",  # init, and what runs before the root file system is there
    "conntrack",
    "ethtool",
    "haproxy",
    "iperf3",
    "iproute2",
    "iputils-ping",
    "irtt",
    "kmod",
    "mount",
    "nftables",
    "openssh-server",
    "procps",
    "python3",  # whole, as the project's own tests run in guests too; python3-minimal lacks json and ctypes
    "qemu-guest-agent",
    "sockperf",
    "tcpdump",
    "util-linux",
    "wrk",
)
# Its dependency is the kernel: the name of that changes with each point release.
KERNEL = "linux-image-cloud-amd64"

# q35 boots from virtio disks behind PCI; all else is loaded from the root file system. Dependencies are modules.dep's.
INITRD_MODULES = ("virtio_pci", "virtio_blk", "squashfs", "overlay")
# Below /lib/modules/RELEASE/kernel: what a network guest can use, and what that needs (modules.dep). Of 1121 modules
# of 6.1.0-56-cloud-amd64 the rest (file systems, disks, media) is half of the size.
KEPT_MODULES = (
    "arch/x86/crypto/",
    "crypto/",
    "drivers/block/virtio_blk",
    "drivers/char/",
    "drivers/net/",
    "drivers/ptp/",
    "drivers/vhost/",
    "drivers/virtio/",
    "fs/fuse/",
    "fs/overlayfs/",
    "fs/squashfs/",
    "lib/",
    "net/",
)

# Never in the image: what no guest reads, and what differs between two builds or tells of the machine that built it.
DROPPED = (
    "boot/*",
    "dev/*",  # devtmpfs
    "etc/apt/*",  # names the machine's mirrors
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "etc/resolv.conf",
    "etc/ssh/moduli",  # 0.5 MB for key exchanges that are not offered
    "etc/ssh/ssh_host_*",  # a key that many guests share protects none: the seed brings one
    "run/*",
    "tmp/*",
    "usr/lib/*/libperl.so*",  # perl is here for its dependants' installation only: 46 of 214 MB
    "usr/lib/*/perl/*",
    "usr/share/perl/*",
    "usr/share/bash-completion/*",
    "usr/share/doc/*",
    "usr/share/info/*",
    "usr/share/lintian/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "usr/share/zoneinfo/*",
    "var/cache/*",
    "var/lib/apt/*",
    "var/lib/dpkg/info/*",
    "var/lib/dpkg/*-old",
    "var/lib/systemd/*",
    "var/log/*",
)
UNPACKED_NEVER = ("usr/share/doc/*", "usr/share/info/*", "usr/share/locale/*", "usr/share/man/*")  # saves the writing

# The guest's own files: path, mode, name in files/. /sbin is a link to /usr/sbin in every suite since Debian 12.
OWN_FILES = (
    ("etc/inittab", 0o644, "inittab"),
    ("etc/modprobe.d/nettune.conf", 0o644, "modprobe.conf"),
    ("etc/ssh/sshd_config", 0o644, "sshd_config"),
    ("usr/lib/nettune/boot", 0o755, "boot"),
    ("usr/lib/nettune/ready", 0o755, "ready"),
    ("usr/lib/nettune/serve", 0o755, "serve"),
    ("usr/sbin/shutdown", 0o755, "shutdown"),
)
OWN_LINKS = (
    ("usr/lib/nettune/init", "/usr/bin/busybox"),
    ("usr/sbin/halt", "/usr/bin/busybox"),
    ("usr/sbin/init", "/usr/bin/busybox"),
    ("usr/sbin/poweroff", "/usr/bin/busybox"),
    ("usr/sbin/reboot", "/usr/bin/busybox"),
    # Before Debian's own on the PATH, for what nettune asks all the time: one static program starts 5 ms sooner on an
    # emulated CPU, and the kernel clears as much memory per sysctl as a reader has room for: grep's 96 KiB, or 4.
    # Not setsid: what busybox's starts is busybox's too, where it has a program of that name (ip).
    ("usr/local/bin/grep", "/usr/bin/busybox"),
    ("usr/local/bin/tail", "/usr/bin/busybox"),
)
OWN_FOLDERS = (("dev", 0o755), ("proc", 0o555), ("root/.ssh", 0o700), ("run", 0o755), ("sys", 0o555), ("tmp", 0o1777))
# The date of every file, so that two builds are the same bytes (reproducible-builds.org, SOURCE_DATE_EPOCH).
EPOCH_S = 1_600_000_000
# Measured, n = 4 each: lz4 packs in 0.5 s and boots in 4.8 s; zstd 15 packs in 17 s, boots in 5.9 s, and is 55 in place
# of 87 MB. The guest unpacks on an emulated processor. Smaller blocks (32 K) gain nothing.
COMPRESSION = ("-comp", "lz4")
# The kernel as it comes: a vmlinux starts no sooner (n = 6), and mitigations stay what a reader expects.
CMDLINE = "console=ttyS0 quiet panic=-1"
FORMAT = 1  # raised when the code that turns all this into an image changes what comes out


def text(name: str) -> str:
    """One of the guest's own files."""
    return files("bench.images").joinpath("files", name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One kind of image as data; paths are relative to the guest's root."""

    packages: tuple[str, ...]
    initrd_modules: tuple[str, ...]
    kept_modules: tuple[str, ...]  # below /lib/modules/RELEASE/kernel
    dropped: tuple[str, ...]
    own_files: tuple[tuple[str, int, str], ...]
    own_links: tuple[tuple[str, str], ...]
    own_folders: tuple[tuple[str, int], ...]
    initrd_init: str
    compression: tuple[str, ...]
    cmdline: str
    format: int = FORMAT
    kernel: str = KERNEL
    epoch_s: int = EPOCH_S
    fetched: tuple[str, ...] = ()  # packages that are unpacked for the build and not installed, besides the kernel's
    layout: tuple[tuple[str, str | int], ...] = ()  # of a disk: what else decides over its bytes

    def digest(self) -> str:
        """SHA-256 of everything above: another recipe, another image."""
        told: dict[str, object] = {
            "format": self.format,
            "packages": self.packages,
            "kernel": self.kernel,
            "initrd": self.initrd_modules,
            "kept": self.kept_modules,
            "dropped": self.dropped,
            "files": [(path, mode, text(name)) for path, mode, name in self.own_files],
            "links": self.own_links,
            "folders": self.own_folders,
            "init": text(self.initrd_init),
            "epoch": self.epoch_s,
            "compression": self.compression,
            "cmdline": self.cmdline,
        }
        # left out where there is none: the digests of images that were built before stay what they were
        told |= {"fetched": self.fetched} if self.fetched else {}
        told |= {"layout": self.layout} if self.layout else {}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


LAB = Recipe(
    packages=PACKAGES,
    initrd_modules=INITRD_MODULES,
    kept_modules=KEPT_MODULES,
    dropped=DROPPED,
    own_files=OWN_FILES,
    own_links=OWN_LINKS,
    own_folders=OWN_FOLDERS,
    initrd_init="initrd-init",
    compression=COMPRESSION,
    cmdline=CMDLINE,
)
# The cloud kernel drives none of the physical NICs that QEMU emulates. Debian's whole kernel drives all that there are,
# in 120 MB of modules: those of QEMU's models by name, and what a network is made of.
NICS = replace(
    LAB,
    kernel="linux-image-amd64",
    kept_modules=(
        *(each for each in KEPT_MODULES if each not in {"drivers/char/", "drivers/net/"}),
        "drivers/char/hw_random/",
        *(f"drivers/net/{each}" for each in (
            "bonding/", "dummy", "ethernet/intel/e1000", "ethernet/realtek/8139", "geneve", "ifb", "ipvlan/", "macvlan",
            "macvtap", "net_failover", "tap", "team/", "tun", "veth", "virtio_net", "vmxnet3/", "vrf", "vxlan",
            "wireguard/")),
    ),
)  # fmt: skip
